"""Grouping in shares against pandas, over word sizes, filters, ties and lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.aggregation import distinct, group_extremes, group_openings, group_sums
from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows, row_openings
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import bits_of, columns_of, either_sort, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

few = settings(max_examples=20, deadline=None)


@dataclass(frozen=True)
class Plain:
    """Rows in plain: a key of 7 bits, one of 1 bit, which rows count, and two measures."""

    city: list[int]
    kind: list[int]
    valid: list[int] | None
    amount: list[int]
    size: list[int]

    @property
    def count(self) -> int:
        return len(self.city)

    @property
    def valid_bits(self) -> list[int]:
        return [] if self.valid is None else [1]

    def frame(self) -> pd.DataFrame:
        columns = {"city": self.city, "kind": self.kind, "amount": self.amount, "size": self.size}
        frame = pd.DataFrame(columns, dtype="int64")
        return frame if self.valid is None else frame[np.array(self.valid, dtype=bool)]

    def rows(self) -> list[Rows]:
        city, kind = shared_words(self.city, np.uint16), shared_words(self.kind, np.uint8)
        valid = None if self.valid is None else shared_words(self.valid, np.uint8)
        return [
            Rows((SortKey(city[i], 7), SortKey(kind[i], 1)), None if valid is None else valid[i])
            for i in range(3)
        ]


@st.composite
def tables(draw: st.DrawFn) -> Plain:
    count = draw(st.integers(0, 14))

    def column(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    valid = column(0, 1) if draw(st.booleans()) else None
    largest = draw(st.sampled_from([0, 3, 127]))
    return Plain(column(0, largest), column(0, 1), valid, column(-(1 << 40), 1 << 40), column(0, 99))


EDGES = [
    Plain([], [], None, [], []),
    Plain([], [], [], [], []),
    Plain([127], [1], [0], [-1], [99]),
    Plain([5] * 9, [1] * 9, [0] * 9, [1] * 9, [2] * 9),
    Plain([5] * 9, [1] * 9, None, [1] * 9, list(range(9))),
    Plain([0] * 8, [0] * 8, [1] * 7 + [0], [-1] * 8, [0] * 8),
]


def check_columns(
    valid: npt.NDArray[np.bool_], columns: list[npt.NDArray[np.uint64]], expected: pd.DataFrame
) -> None:
    """Groups come first in their order; what is no group is zero."""
    groups = len(expected)
    np.testing.assert_array_equal(valid, np.arange(valid.size) < groups)
    for found, name in zip(columns, expected.columns, strict=True):
        np.testing.assert_array_equal(decode(found)[:groups], expected[name], err_msg=str(name))
        assert not found[groups:].any()


def check_sums(table: Plain) -> None:
    rows = table.rows()
    amount = shared(np.array(table.amount, dtype=np.int64))
    size = shared(np.array(table.size, dtype=np.int64), WORD32)

    def program(party: Party) -> list[Shared]:
        i = party.index
        groups = group_sums(party, rows[i], [amount[i], size[i]], "g")
        party.finish()
        return columns_of([groups.valid], groups.keys, [groups.counts], groups.sums)

    manifest = Manifest(group_openings("g", table.count, [*table.valid_bits, 7, 1]))
    valid, *columns = opened(run(program, manifest))
    grouped = table.frame().groupby(["city", "kind"])
    expected = grouped.agg(rows=("amount", "size"), amount=("amount", "sum"), size=("size", "sum"))
    check_columns(bits_of(valid, table.count), columns, expected.reset_index())


@few
@given(tables())
def test_sums_and_counts_agree_with_pandas(table: Plain) -> None:
    check_sums(table)


@pytest.mark.parametrize("table", EDGES)
def test_sums_hold_for_no_rows_one_group_and_no_valid_row(table: Plain) -> None:
    check_sums(table)


@few
@given(tables())
def test_extremes_agree_with_pandas(table: Plain) -> None:
    rows, size = table.rows(), shared_words(table.size, np.uint8)

    def program(party: Party) -> list[Shared]:
        i = party.index
        groups = group_extremes(party, rows[i], SortKey(size[i], 7), "g")
        party.finish()
        return columns_of([groups.valid], groups.keys, [groups.least, groups.greatest])

    manifest = Manifest(group_openings("g", table.count, [*table.valid_bits, 7, 1, 7]))
    valid, *columns = opened(run(program, manifest))
    expected = table.frame().groupby(["city", "kind"]).agg(least=("size", "min"), greatest=("size", "max"))
    check_columns(bits_of(valid, table.count), columns, expected.reset_index())


@few
@given(tables())
def test_one_row_of_each_key_is_distinct(table: Plain) -> None:
    rows = table.rows()

    def program(party: Party) -> list[Shared]:
        found = distinct(party, rows[party.index], "d")
        party.finish()
        return columns_of([found.valid], found.keys)

    manifest = Manifest(row_openings("d", table.count, [*table.valid_bits, 7, 1]))
    packed, city, kind = opened(run(program, manifest))
    valid = bits_of(packed, table.count)
    expected = table.frame()[["city", "kind"]].drop_duplicates().sort_values(["city", "kind"])
    np.testing.assert_array_equal(np.stack([city, kind], axis=1)[valid], expected)
    assert not city[~valid].any()
    assert not kind[~valid].any()


def test_values_of_another_length_are_refused() -> None:
    rows = EDGES[4].rows()
    with pytest.raises(InputError):
        run(lambda party: group_sums(party, rows[party.index], [shared([1, 2])[party.index]], "g"))
