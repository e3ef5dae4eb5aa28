"""The join without a leak against nested loops; duplicates beyond the declared bound are an error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import bits_of, columns_of, either_sort, opened, shared_words
from tests.unit.mpc.three_parties import Session, run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

BITS = 5


@dataclass(frozen=True)
class Plain:
    """Two tables in plain: keys, and which rows count; the payload of left row i is i + 1."""

    left: list[int]
    right: list[int]
    left_valid: list[int] | None = None
    right_valid: list[int] | None = None
    most: int = 1

    def expected(self) -> list[set[int]]:
        left_valid = self.left_valid or [1] * len(self.left)
        right_valid = self.right_valid or [1] * len(self.right)
        return [
            {i + 1 for i, key in enumerate(self.left) if key == own and left_valid[i] and counts}
            for own, counts in zip(self.right, right_valid, strict=True)
        ]


@st.composite
def tables(draw: st.DrawFn) -> Plain:
    """Draw tables in which no valid key comes more often than declared on the left; 0 to 12 rows."""
    most = draw(st.integers(1, 3))
    value = st.one_of(st.sampled_from([0, 31]), st.integers(0, 6))
    left: list[int] = []
    for key in draw(st.lists(value, max_size=12)):
        if left.count(key) < most:
            left.append(key)
    right = draw(st.lists(value, max_size=12))

    def bits(count: int) -> list[int] | None:
        if draw(st.booleans()):
            return None
        return draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))

    return Plain(left, right, bits(len(left)), bits(len(right)), most)


def compute(table: Plain) -> tuple[Session[list[Shared]], list[list[int]]]:
    """Run the join; return what each right row was given, latest first."""
    left, right = (shared_words(keys) for keys in (table.left, table.right))
    valid = [
        None if column is None else shared_words(column, np.uint8)
        for column in (table.left_valid, table.right_valid)
    ]
    numbers = np.arange(len(table.left)) + 1
    negatives, narrow, words = shared(-numbers), shared(numbers, WORD32), shared_words(numbers, np.uint8)

    def rows(party: Party, keys: Shared, side: int) -> Rows:
        column = valid[side]
        return Rows((SortKey(keys, BITS),), None if column is None else column[party.index])  # type: ignore[arg-type]

    def program(party: Party) -> list[Shared]:
        i = party.index
        table_left = LeftTable(rows(party, left[i], 0), (words[i],), (negatives[i], narrow[i]))
        matches = join(party, table_left, rows(party, right[i], 1), "j", most=table.most)
        party.finish()
        return [
            column for match in matches for column in columns_of([match.matched], match.words, match.numbers)
        ]

    filtered = table.left_valid is not None or table.right_valid is not None
    openings = join_openings("j", (len(table.left), len(table.right)), [1, BITS] if filtered else [BITS])
    session = run(program, Manifest(openings))
    count = len(table.right)
    given_rows: list[list[int]] = [[] for _ in range(count)]
    columns = iter(opened(session))
    for packed, word, negative, number in zip(columns, columns, columns, columns, strict=True):
        matched = bits_of(packed, count)
        np.testing.assert_array_equal(decode(negative), -number.astype(np.int64))
        np.testing.assert_array_equal(word, number)
        np.testing.assert_array_equal(number > 0, matched)
        for row in np.flatnonzero(matched):
            given_rows[row].append(int(number[row]))
    return session, given_rows


@settings(max_examples=25, deadline=None)
@given(tables())
def test_right_rows_get_all_left_rows_of_their_key(table: Plain) -> None:
    _, found = compute(table)
    assert [set(rows) for rows in found] == table.expected()
    assert all(len(set(rows)) == len(rows) for rows in found)


def test_of_several_left_rows_the_last_comes_first() -> None:
    _, found = compute(Plain([4, 9, 4, 4], [4, 9, 0], most=3))
    assert found == [[4, 3, 1], [2], []]


def test_a_key_of_zero_before_all_left_rows_matches_nothing() -> None:
    # A running sum is zero there too; only the carried mark of a left row tells them apart.
    _, found = compute(Plain([3], [0, 3]))
    assert found == [[], [1]]


def test_missing_keys_match_nothing_not_even_each_other() -> None:
    _, found = compute(Plain([0, 7, 0], [0, 0, 7], [0, 1, 0], [0, 1, 1]))
    assert found == [[], [], [2]]


@pytest.mark.parametrize(
    ("table", "most"),
    [(Plain([2, 5, 2], [2]), 1), (Plain([1, 1, 1, 1], []), 3), (Plain([0, 0], [1], [1, 1]), 1)],
)
def test_more_left_rows_of_a_key_than_declared_are_an_error_before_a_result(table: Plain, most: int) -> None:
    with pytest.raises(InputError, match=f"more than {most} rows"):
        compute(Plain(table.left, table.right, table.left_valid, table.right_valid, most))


def test_two_invalid_rows_of_a_key_are_no_duplicate() -> None:
    _, found = compute(Plain([2, 2, 2], [2], [0, 1, 0]))
    assert found == [[2]]


def test_keys_of_several_columns_agree_in_all_of_them() -> None:
    first, second = shared_words([1, 1, 2], np.uint8), shared_words([5, 6, 5])
    payload = shared([10, 20, 30])

    def program(party: Party) -> list[Shared]:
        i = party.index
        left = Rows((SortKey(first[i], 2), SortKey(second[i], 3)))
        right = Rows((SortKey(first[i][::-1], 2), SortKey(second[i], 3)))
        return list(join(party, LeftTable(left, numbers=(payload[i],)), right, "j")[0].numbers)

    (found,) = opened(run(program, Manifest(join_openings("j", (3, 3), [2, 3]))))
    assert found.tolist() == [30, 20, 10]  # right rows (2, 5), (1, 6), (1, 5)


def test_sides_that_do_not_fit_together_are_refused() -> None:
    word, octet = shared_words([1])[0], shared_words([1], np.uint8)[0]
    left = LeftTable(Rows((SortKey(word, 3),)))
    for right, most in ((SortKey(word, 2), 1), (SortKey(octet, 3), 1), (SortKey(word, 3), 0)):
        with pytest.raises(InputError):
            run(lambda party, right=right, most=most: join(party, left, Rows((right,)), "j", most=most))  # type: ignore[misc]
    keyless = Rows((), octet)
    with pytest.raises(InputError, match="number of keys"):
        run(lambda party: join(party, LeftTable(keyless), keyless, "j"))
    with pytest.raises(InputError):
        LeftTable(left.rows, numbers=(shared([1, 2])[0],))


def test_what_is_sent_does_not_depend_on_the_keys() -> None:
    traces = [
        compute(Plain(left, right))[0].trace()
        for left, right in (([1, 2, 3], [1, 1, 1, 1]), ([31, 0, 9], [4, 5, 6, 7]))
    ]
    assert traces[0] == traces[1]
