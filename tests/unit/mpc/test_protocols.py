"""Every protocol against NumPy, in both rings, over lengths 0 to 20 and the extremes of the signed range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import comparison
from mpc.comparison import (
    at_least,
    equal,
    equal_bits,
    equal_zero,
    is_negative,
    less_than,
    less_than_bits,
    negative_bits,
    zero_bits,
)
from mpc.conversion import all_of, any_of, select, select_columns
from mpc.multiplication import and_, constant, dot, matmul, multiply, share_input
from mpc.party import Party
from mpc.sharing import BYTE, WORD, WORD32, Arithmetic, Boolean
from records.errors import InputError
from tests.unit.mpc.columns import LENGTHS, WIDTHS, Column, columns, highest, lowest, signed, special
from tests.unit.mpc.three_parties import (
    assert_streams_in_step,
    bits_of,
    evaluate,
    run,
    shared,
    values_of,
    words_of,
)

fewer = settings(max_examples=30, deadline=None)
widths = pytest.mark.parametrize("dtype", WIDTHS)


@fewer
@given(columns())
def test_multiplication_agrees_with_numpy(drawn: tuple[np.dtype[Any], list[Column]]) -> None:
    dtype, (x, y) = drawn
    np.testing.assert_array_equal(evaluate(multiply, x, y, dtype=dtype), x * y)


@fewer
@given(columns())
def test_comparisons_agree_with_numpy(drawn: tuple[np.dtype[Any], list[Column]]) -> None:
    dtype, (x, y) = drawn
    for program, expected in ((less_than, x < y), (equal, x == y)):
        np.testing.assert_array_equal(evaluate(program, x, y, dtype=dtype), expected)
    for single, expected in ((equal_zero, x == 0), (is_negative, x < 0)):
        np.testing.assert_array_equal(evaluate(single, x, dtype=dtype), expected)


@fewer
@given(columns())
def test_the_sign_of_the_difference_suffices_within_half_the_range(
    drawn: tuple[np.dtype[Any], list[Column]],
) -> None:
    dtype, (x, y) = drawn
    half_x, half_y = x >> 1, y >> 1
    found = evaluate(lambda p, a, b: less_than(p, a, b, full_range=False), half_x, half_y, dtype=dtype)
    np.testing.assert_array_equal(found, half_x < half_y)


@widths
@pytest.mark.parametrize("length", LENGTHS)
def test_packed_answers_are_those_of_numpy(dtype: np.dtype[Any], length: int) -> None:
    x = signed(np.resize(special(dtype), length), dtype)
    y = x[::-1].copy()
    for program, expected in ((less_than_bits, x < y), (equal_bits, x == y)):
        np.testing.assert_array_equal(bits_of(program, x, y, dtype=dtype), expected)
    for single, expected in ((zero_bits, x == 0), (negative_bits, x < 0)):
        np.testing.assert_array_equal(bits_of(single, x, dtype=dtype), expected)


def test_comparisons_hold_for_every_pair_of_bytes() -> None:
    every = np.arange(-128, 128, dtype=np.int8)
    x, y = (grid.reshape(-1) for grid in np.meshgrid(every, every))
    np.testing.assert_array_equal(bits_of(less_than_bits, x, y, dtype=BYTE), x < y)
    np.testing.assert_array_equal(bits_of(equal_bits, x, y, dtype=BYTE), x == y)


def test_less_than_holds_for_every_pair_of_extremes() -> None:
    for dtype in WIDTHS:
        extremes = signed(special(dtype), dtype)
        x, y = (grid.reshape(-1) for grid in np.meshgrid(extremes, extremes))
        np.testing.assert_array_equal(evaluate(less_than, x, y, dtype=dtype), x < y)


@widths
def test_comparisons_see_every_single_bit(dtype: np.dtype[Any]) -> None:
    bits = 8 * dtype.itemsize
    powers = (dtype.type(1) << np.arange(bits, dtype=dtype)).view(f"i{dtype.itemsize}")
    assert not evaluate(equal_zero, powers, dtype=dtype).any()
    for column in (powers, powers - 1):
        np.testing.assert_array_equal(evaluate(is_negative, column, dtype=dtype), column < 0)


@widths
@pytest.mark.parametrize("negate", [False, True])
def test_carries_run_through_all_bits(dtype: np.dtype[Any], negate: bool) -> None:
    # v = x0 + x1 all ones below a run, w one above it: the carry passes every level of the tree.
    bits = 8 * dtype.itemsize
    runs = (dtype.type(1) << np.arange(bits, dtype=dtype)) - dtype.type(1)
    v, w = (-runs, runs) if negate else (runs, np.ones(bits, dtype))
    zeros = np.zeros(bits, dtype)
    shares = (Arithmetic(v, zeros), Arithmetic(zeros, w), Arithmetic(w, v))
    total = (v + w).view(f"i{dtype.itemsize}")
    for program, expected in ((is_negative, total < 0), (equal_zero, total == 0)):
        session = run(lambda party, program=program: program(party, shares[party.index]))  # type: ignore[misc]
        np.testing.assert_array_equal(values_of(session.results), expected)


def test_long_columns_are_compared_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "BATCH", 16)
    x = np.arange(-20, 21)
    y = x[::-1].copy()
    for length in (15, 16, 17, 41):
        for program, expected in ((less_than_bits, x < y), (equal_bits, x == y)):
            np.testing.assert_array_equal(bits_of(program, x[:length], y[:length]), expected[:length])


@pytest.mark.parametrize("result", [BYTE, WORD32, WORD])
def test_the_width_of_an_answer_is_free(result: np.dtype[Any]) -> None:
    x = np.array([-1, 0, 1])
    for program, expected in ((is_negative, [1, 0, 0]), (equal_zero, [0, 1, 0])):
        session = run(lambda p, f=program: f(p, share(p, x), dtype=result))  # type: ignore[misc]
        assert session.results[0].dtype == result
        assert values_of(session.results).tolist() == expected
    session = run(lambda p: at_least(p, share(p, x), 1, dtype=result))
    assert values_of(session.results).tolist() == [0, 0, 1]


def share(party: Party, values: Column) -> Arithmetic:
    return share_input(party, values if party.index == 0 else None, 0, values.shape)


@fewer
@given(columns(count=1), st.data())
def test_at_least_agrees_with_python_on_counts(
    drawn: tuple[np.dtype[Any], list[Column]], data: st.DataObject
) -> None:
    dtype, (column,) = drawn
    counts = column & highest(dtype)
    threshold = data.draw(st.integers(0, highest(dtype)))
    found = evaluate(lambda p, x: at_least(p, x, threshold), counts, dtype=dtype)
    assert found.tolist() == [int(count >= threshold) for count in counts.tolist()]


@widths
def test_at_least_is_exact_at_its_borders(dtype: np.dtype[Any]) -> None:
    counts = signed([0, 9, 10, 11, highest(dtype)], dtype)
    assert evaluate(lambda p, x: at_least(p, x, 10), counts, dtype=dtype).tolist() == [0, 0, 1, 1, 1]
    assert evaluate(lambda p, x: at_least(p, x, 0), counts, dtype=dtype).all()
    for threshold in (-1, highest(dtype) + 1):
        with pytest.raises(InputError):
            evaluate(lambda p, x, t=threshold: at_least(p, x, t), counts, dtype=dtype)


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 5), (2, 0), (2, 3, 4)])
def test_protocols_keep_every_shape(shape: tuple[int, ...]) -> None:
    x = np.arange(int(np.prod(shape))).reshape(shape) - 3
    for program, expected in (
        (lambda p, a: multiply(p, a, a), x * x),
        (is_negative, x < 0),
        (equal_zero, x == 0),
        (lambda p, a: less_than(p, a, -a), x < -x),
    ):
        result = evaluate(program, x)
        assert result.shape == shape
        np.testing.assert_array_equal(result, expected)


def test_columns_with_gaps_in_memory_are_worked_on_as_they_are() -> None:
    table = np.arange(12).reshape(6, 2) - 5
    found = evaluate(lambda p, x: multiply(p, x[:, 0], x[::-1, 1]), table)
    np.testing.assert_array_equal(found, table[:, 0] * table[::-1, 1])


@widths
@pytest.mark.parametrize("owner", [0, 1, 2])
def test_the_owner_of_an_input_may_be_any_party(owner: int, dtype: np.dtype[Any]) -> None:
    values = signed([lowest(dtype), -1, 0, highest(dtype)], dtype)

    def program(party: Party) -> Arithmetic:
        return share_input(party, values if party.index == owner else None, owner, (4,), dtype)

    session = run(program)
    np.testing.assert_array_equal(values_of(session.results), values)
    assert_streams_in_step(session.positions_bytes)


def test_inputs_of_another_party_shape_or_range_are_refused() -> None:
    with pytest.raises(InputError):
        run(lambda party: share_input(party, [1], 0, (1,)))
    with pytest.raises(InputError):
        run(lambda party: share_input(party, [1, 2] if party.index == 0 else None, 0, (1,)))
    with pytest.raises(InputError):
        run(lambda party: share_input(party, None, 0, (1,)))
    with pytest.raises(InputError):
        run(lambda party: share_input(party, [1 << 32] if party.index == 0 else None, 0, (1,), WORD32))


def test_operands_of_different_rings_or_shapes_are_refused() -> None:
    wide, narrow, short = shared([1, 2])[0], shared([1, 2], WORD32)[0], shared([1])[0]
    party: Any = None  # refused before anything is sent
    for protocol in (multiply, less_than, equal, dot, matmul):
        with pytest.raises(InputError):
            protocol(party, wide, narrow)
    for comparing in (less_than, equal):
        with pytest.raises(InputError):
            comparing(party, wide, short)
    with pytest.raises(InputError):
        dot(party, wide, wide)


@pytest.mark.parametrize("name", ["u1", "u2", "u4", "u8"])
def test_and_agrees_with_numpy(name: str) -> None:
    def program(party: Party) -> tuple[Boolean, Boolean, Boolean]:
        x = party.random_sharing(Boolean, (9,), np.dtype(name))
        y = party.random_sharing(Boolean, (9,), np.dtype(name))
        return x, y, and_(party, x, y)

    x, y, z = zip(*run(program).results, strict=True)
    np.testing.assert_array_equal(words_of(z), words_of(x) & words_of(y))


@widths
def test_matrix_and_inner_products_wrap_as_numpy_does(dtype: np.dtype[Any]) -> None:
    x = signed([[lowest(dtype), 3, -1], [7, highest(dtype), 2]], dtype)
    y = signed([[5, -6], [2, lowest(dtype)], [highest(dtype), 1]], dtype)
    np.testing.assert_array_equal(evaluate(matmul, x, y, dtype=dtype), x @ y)
    expected = (x * y.T).sum(axis=1, dtype=x.dtype)
    np.testing.assert_array_equal(evaluate(dot, x, y.T.copy(), dtype=dtype), expected)


@fewer
@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=7))
def test_all_and_any_fold_along_the_first_axis(rows: list[list[int]]) -> None:
    bits = np.array(rows, dtype=np.int32)
    np.testing.assert_array_equal(evaluate(all_of, bits, dtype=WORD32), bits.all(axis=0))
    np.testing.assert_array_equal(evaluate(any_of, bits, dtype=WORD32), bits.any(axis=0))


def test_all_and_any_of_nothing() -> None:
    nothing = np.zeros((0, 2), dtype=np.int64)
    assert evaluate(all_of, nothing).tolist() == [1, 1]
    assert evaluate(any_of, nothing).tolist() == [0, 0]


@fewer
@given(columns(count=3))
def test_select_takes_one_of_two(drawn: tuple[np.dtype[Any], list[Column]]) -> None:
    dtype, (one, zero, noise) = drawn
    bit = noise & 1
    expected = np.where(bit == 1, one, zero)
    np.testing.assert_array_equal(evaluate(select, bit, one, zero, dtype=dtype), expected)

    def both(party: Party, b: Arithmetic, x: Arithmetic, y: Arithmetic) -> Arithmetic:
        first, second = select_columns(party, b, [x, y], [y, x])
        return first * 3 + second

    swapped = np.where(bit == 1, zero, one)
    np.testing.assert_array_equal(evaluate(both, bit, one, zero, dtype=dtype), expected * 3 + swapped)


def test_select_broadcasts_one_bit_over_columns() -> None:
    bit, one, zero = np.array([[1], [0]]), np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert evaluate(select, bit, one, zero).tolist() == [[1, 2], [7, 8]]
    party: Any = None
    column = shared([1])[0]
    for count in (0, 1):
        with pytest.raises(InputError):
            select_columns(party, column, [column] * count, [])


@widths
def test_constants_and_random_sharings_are_consistent(dtype: np.dtype[Any]) -> None:
    assert values_of(run(lambda party: constant(party, -4, (2,), dtype)).results).tolist() == [-4, -4]
    words = words_of(run(lambda party: party.random_sharing(Arithmetic, (64,), dtype)).results)
    assert len(set(words.tolist())) == 64
