"""Every protocol against NumPy, over lengths 0 to 20 and the extremes of the signed range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.comparison import at_least, equal, equal_zero, is_negative, less_than
from mpc.conversion import all_of, any_of, select
from mpc.multiplication import and_, constant, matmul, multiply, share_input
from mpc.party import Party
from mpc.sharing import Arithmetic, Boolean, Shared
from records.errors import InputError
from tests.unit.mpc.columns import HIGHEST, LOWEST, SPECIAL, integers, pairs_of_columns
from tests.unit.mpc.three_parties import run, shared, values_of, words_of

Column = npt.NDArray[np.int64]
fewer = settings(max_examples=30, deadline=None)


def evaluate(program: Callable[..., Shared], *columns: Column) -> Column:
    shares = [shared(column) for column in columns]
    session = run(lambda party: program(party, *(share[party.index] for share in shares)))
    assert_streams_in_step(session.positions_bytes)
    return values_of(session.results)


def assert_streams_in_step(positions: tuple[dict[tuple[int, str], int], ...]) -> None:
    """Both holders of a key have drawn equally much of each of its streams."""
    for party in range(3):
        for (neighbour, purpose), drawn in positions[party].items():
            assert positions[neighbour].get((party, purpose)) == drawn


@fewer
@given(pairs_of_columns())
def test_multiplication_agrees_with_numpy(columns: tuple[Column, Column]) -> None:
    np.testing.assert_array_equal(evaluate(multiply, *columns), columns[0] * columns[1])


@fewer
@given(pairs_of_columns())
def test_comparisons_agree_with_numpy(columns: tuple[Column, Column]) -> None:
    x, y = columns
    np.testing.assert_array_equal(evaluate(less_than, x, y), x < y)
    np.testing.assert_array_equal(evaluate(equal, x, y), x == y)
    np.testing.assert_array_equal(evaluate(equal_zero, x), x == 0)
    np.testing.assert_array_equal(evaluate(is_negative, x), x < 0)


def test_less_than_holds_for_every_pair_of_extremes() -> None:
    x, y = (grid.reshape(-1) for grid in np.meshgrid(np.array(SPECIAL), np.array(SPECIAL)))
    np.testing.assert_array_equal(evaluate(less_than, x, y), x < y)


def test_comparisons_see_every_single_bit() -> None:
    powers = (np.uint64(1) << np.arange(64, dtype=np.uint64)).view(np.int64)
    assert not evaluate(equal_zero, powers).any()
    np.testing.assert_array_equal(evaluate(is_negative, powers), powers < 0)
    np.testing.assert_array_equal(evaluate(is_negative, powers - 1), powers - 1 < 0)


@pytest.mark.parametrize("negate", [False, True])
def test_carries_run_through_all_bits(negate: bool) -> None:
    # v = x0 + x1 all ones below a run, w one above it: the carry passes every level of the tree.
    runs = (np.uint64(1) << np.arange(64, dtype=np.uint64)) - np.uint64(1)
    v, w = (-runs, runs) if negate else (runs, np.ones(64, dtype=np.uint64))
    zeros = np.zeros(64, dtype=np.uint64)
    shares = (Arithmetic(v, zeros), Arithmetic(zeros, w), Arithmetic(w, v))
    for program, expected in ((is_negative, (v + w).view(np.int64) < 0), (equal_zero, v + w == 0)):
        session = run(lambda party, program=program: program(party, shares[party.index]))  # type: ignore[misc]
        np.testing.assert_array_equal(values_of(session.results), expected)


@fewer
@given(st.lists(st.integers(0, HIGHEST), max_size=12), st.integers(0, HIGHEST))
def test_at_least_agrees_with_python_on_counts(counts: list[int], threshold: int) -> None:
    expected = [count >= threshold for count in counts]
    assert (
        evaluate(lambda p, x: at_least(p, x, threshold), np.array(counts, dtype=np.int64)).tolist()
        == expected
    )


def test_at_least_is_exact_at_its_borders() -> None:
    counts = np.array([0, 9, 10, 11, HIGHEST])
    assert evaluate(lambda p, x: at_least(p, x, 10), counts).tolist() == [0, 0, 1, 1, 1]
    assert evaluate(lambda p, x: at_least(p, x, 0), counts).all()
    for threshold in (-1, 1 << 63):
        with pytest.raises(InputError):
            evaluate(lambda p, x, t=threshold: at_least(p, x, t), counts)


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


@pytest.mark.parametrize("owner", [0, 1, 2])
def test_the_owner_of_an_input_may_be_any_party(owner: int) -> None:
    values = np.array([LOWEST, -1, 0, HIGHEST])

    def program(party: Party) -> Arithmetic:
        return share_input(party, values if party.index == owner else None, owner, (4,))

    session = run(program)
    np.testing.assert_array_equal(values_of(session.results), values)
    assert_streams_in_step(session.positions_bytes)


def test_inputs_of_another_party_or_shape_are_refused() -> None:
    with pytest.raises(InputError):
        run(lambda party: share_input(party, [1], 0, (1,)))
    with pytest.raises(InputError):
        run(lambda party: share_input(party, [1, 2] if party.index == 0 else None, 0, (1,)))
    with pytest.raises(InputError):
        run(lambda party: share_input(party, None, 0, (1,)))


def test_and_agrees_with_numpy() -> None:
    def program(party: Party) -> tuple[Boolean, Boolean, Boolean]:
        x = party.random_sharing(Boolean, (9,), np.dtype(np.uint16))
        y = party.random_sharing(Boolean, (9,), np.dtype(np.uint16))
        return x, y, and_(party, x, y)

    x, y, z = zip(*run(program).results, strict=True)
    np.testing.assert_array_equal(words_of(z), words_of(x) & words_of(y))


def test_matrix_products_wrap_as_numpy_does() -> None:
    x = np.array([[LOWEST, 3, -1], [7, HIGHEST, 2]])
    y = np.array([[5, -6], [2, LOWEST], [HIGHEST, 1]])
    np.testing.assert_array_equal(evaluate(matmul, x, y), x @ y)


@fewer
@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=7))
def test_all_and_any_fold_along_the_first_axis(rows: list[list[int]]) -> None:
    bits = np.array(rows)
    np.testing.assert_array_equal(evaluate(all_of, bits), bits.all(axis=0))
    np.testing.assert_array_equal(evaluate(any_of, bits), bits.any(axis=0))


def test_all_and_any_of_nothing() -> None:
    nothing = np.zeros((0, 2), dtype=np.int64)
    assert evaluate(all_of, nothing).tolist() == [1, 1]
    assert evaluate(any_of, nothing).tolist() == [0, 0]


@fewer
@given(st.lists(st.tuples(st.integers(0, 1), integers, integers), min_size=1, max_size=8))
def test_select_takes_one_of_two(rows: list[tuple[int, int, int]]) -> None:
    bit, one, zero = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    np.testing.assert_array_equal(evaluate(select, bit, one, zero), np.where(bit == 1, one, zero))


def test_select_broadcasts_one_bit_over_columns() -> None:
    bit, one, zero = np.array([[1], [0]]), np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert evaluate(select, bit, one, zero).tolist() == [[1, 2], [7, 8]]


def test_constants_and_random_sharings_are_consistent() -> None:
    assert values_of(run(lambda party: constant(party, -4, (2,))).results).tolist() == [-4, -4]
    words = words_of(run(lambda party: party.random_sharing(Arithmetic, (64,))).results)
    assert len(set(words.tolist())) == 64
