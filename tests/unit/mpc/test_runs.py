"""Values carried over runs of rows, against a loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.multiplication import constant
from mpc.party import Party
from mpc.relational.bit_columns import packed_bits
from mpc.relational.runs import (
    carry_backward,
    carry_forward,
    carry_openings,
    run_sums,
    shifted_bits,
    sums_before,
)
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import bits_of, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

Rows = list[tuple[int, int]]
"""A mark and a value each."""
Carry = Callable[..., tuple[Shared, ...]]
marked = st.lists(st.tuples(st.integers(0, 1), st.integers(-(1 << 63), (1 << 63) - 1)), max_size=20)


def latest(rows: Rows) -> list[int]:
    """Return the value of the latest marked row at or before each row."""
    found, carried = 0, []
    for mark, value in rows:
        found = value if mark else found
        carried.append(found)
    return carried


def check_carried(carry: Carry, rows: Rows, expected: list[int]) -> None:
    marks = shared_words([mark for mark, _ in rows], np.uint8)
    values = np.array([value for _, value in rows], dtype=np.int64)
    wide, narrow = shared(values), shared(values.astype(np.int32), WORD32)
    word, octet = (
        shared_words(values.view(np.uint64), np.uint64),
        shared_words(values.astype(np.uint8), np.uint8),
    )

    def program(party: Party) -> tuple[Shared, ...]:
        i = party.index
        carried = carry(party, marks[i], [wide[i], word[i], narrow[i], octet[i]], "c")
        party.finish()
        return carried

    columns = opened(run(program, Manifest(carry_openings("c", len(rows)))))
    as_words = np.array(expected, dtype=np.int64).view(np.uint64)
    for column in columns:
        np.testing.assert_array_equal(column, as_words.astype(column.dtype))


@settings(max_examples=20, deadline=None)
@given(marked)
def test_a_marked_row_gives_its_values_to_the_rows_behind_it(rows: Rows) -> None:
    check_carried(carry_forward, rows, latest(rows))


@settings(max_examples=20, deadline=None)
@given(marked)
def test_a_marked_row_gives_its_values_to_the_rows_before_it(rows: Rows) -> None:
    check_carried(carry_backward, rows, latest(rows[::-1])[::-1])


@pytest.mark.parametrize("rows", [[], [(0, 5)], [(1, -5)], [(0, 1)] * 9, [(1, k) for k in range(9)]])
@pytest.mark.parametrize("carry", [carry_forward, carry_backward])
def test_values_are_carried_where_all_rows_are_marked_or_none(carry: Carry, rows: Rows) -> None:
    check_carried(carry, rows, [mark * value for mark, value in rows])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-99, 99)), min_size=1, max_size=20))
@settings(max_examples=20, deadline=None)
def test_a_row_gets_the_sums_before_its_run_and_with_it(rows: Rows) -> None:
    starts = [1, *(mark for mark, _ in rows[1:])]
    values = [value for _, value in rows]
    run_of = np.cumsum(starts)
    packed, number = shared_words(starts, np.uint8), shared(values)

    def program(party: Party) -> tuple[Shared, ...]:
        i = party.index
        running = [sums_before(constant(party, 1, (len(rows),), WORD32)), sums_before(number[i])]
        terms = [(1, 1, 0), (1, 0, 1), (0, -2, 3)]
        return run_sums(party, packed_bits(packed[i]), running, terms, "c")

    before, through, places = opened(run(program, Manifest(carry_openings("c", len(rows)))))
    sums = np.concatenate([[0], np.cumsum(values)])
    bounds = [(int((run_of < k).sum()), int((run_of <= k).sum())) for k in run_of]
    assert decode(before).tolist() == [sums[start] for start, _ in bounds]
    assert decode(through).tolist() == [sums[stop] for _, stop in bounds]
    assert decode(places).tolist() == [3 * stop - 2 * start for start, stop in bounds]


@pytest.mark.parametrize("by", [-20, -9, -1, 0, 1, 8, 9, 20])
def test_packed_bits_move_along_the_rows_and_zeros_move_in(by: int) -> None:
    bits = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1]
    column = shared_words(bits, np.uint8)
    (packed,) = opened(run(lambda p: [shifted_bits(packed_bits(column[p.index]), 11, by)]))
    expected = [bits[row - by] if 0 <= row - by < 11 else 0 for row in range(11)]
    assert bits_of(packed, 11).tolist() == expected


def test_columns_that_do_not_fit_the_marks_are_refused() -> None:
    marks, wide, number = shared_words([1, 0], np.uint8), shared_words([1, 0]), shared([1, 2, 3])
    with pytest.raises(InputError, match="one byte"):
        run(lambda p: carry_forward(p, marks[p.index], [number[p.index]], "c"))
    with pytest.raises(InputError, match="one byte"):
        run(lambda p: carry_forward(p, wide[p.index], [wide[p.index]], "c"))
    with pytest.raises(InputError, match="at least one"):
        run(lambda p: carry_forward(p, marks[p.index], [], "c"))
