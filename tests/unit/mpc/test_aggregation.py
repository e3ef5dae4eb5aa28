"""Grouping in shares against a dictionary, over word sizes, filters, ties and lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.aggregation import (
    GroupedRows,
    distinct,
    group_openings,
    group_rows,
    total_openings,
    total_rows,
)
from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows, row_openings
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import (
    PlainKey,
    columns_of,
    either_sort,
    key_columns,
    opened,
    shared_words,
    sort_keys,
    stable_order,
)
from tests.unit.mpc.three_parties import run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

few = settings(max_examples=20, deadline=None)


@dataclass(frozen=True)
class Plain:
    """Rows in plain: keys, an order, which rows count and are counted, and numbers of 64 and 32 bits."""

    keys: list[PlainKey]
    order: list[PlainKey]
    valid: list[int] | None
    countable: list[int] | None
    amount: list[int]

    @property
    def count(self) -> int:
        return len(self.amount)

    @property
    def key_bits(self) -> list[int]:
        return [*([] if self.valid is None else [1]), *(key[0] for key in self.keys), *self.order_bits]

    @property
    def order_bits(self) -> list[int]:
        return [*([] if self.countable is None else [1]), *(key[0] for key in self.order)]

    def groups(self) -> list[list[int]]:
        """Return the valid rows of each group, groups in the order of keys, rows by countable and order."""
        countable: list[PlainKey] = [] if self.countable is None else [(1, "u1", False, self.countable)]
        by = [*self.keys, *countable, *self.order] or [(1, "u1", False, [0] * self.count)]
        rows = [row for row in stable_order(by) if self.valid is None or self.valid[row]]
        found: dict[tuple[int, ...], list[int]] = {}
        for row in rows:
            found.setdefault(tuple(key[3][row] for key in self.keys), []).append(row)
        return list(found.values())

    def expected(self, rows: list[int]) -> list[int]:
        """Return counts, both sums, the row of the last columns, and the distinct values of one group."""
        counted = [row for row in rows if self.countable is None or self.countable[row]]
        values = {tuple(key[3][row] for key in self.order) for row in counted}
        total = sum(self.amount[row] for row in rows)
        last = rows[-1] if rows else -1
        distinct_values = [len(values)] if self.order else []
        return [len(rows), total % (1 << 64), total % (1 << 32), last + 1, last + 1, *distinct_values]


@st.composite
def tables(draw: st.DrawFn) -> Plain:
    keys = draw(key_columns())
    count = len(keys[0][3])
    bits = st.lists(st.integers(0, 1), min_size=count, max_size=count)
    value = st.integers(0, 3)
    ordered = draw(st.booleans())
    order: list[PlainKey] = [
        (
            64,
            "u8",
            draw(st.booleans()),
            [v << 62 for v in draw(st.lists(value, min_size=count, max_size=count))],
        )
    ]
    amount = st.lists(st.integers(-(1 << 40), 1 << 40), min_size=count, max_size=count)
    return Plain(
        keys,
        order if ordered else [],
        draw(st.none() | bits),
        draw(st.none() | bits) if ordered else None,
        draw(amount),
    )


DAYS: PlainKey = (5, "u1", False, [3, 0, 31, 3, 0, 3, 3, 0, 7])
NONE_VALID = Plain([(7, "u2", True, [5] * 9)], [DAYS], [0] * 9, [1] * 9, [1] * 9)
EDGES = [
    NONE_VALID,
    replace(NONE_VALID, valid=None),
    replace(NONE_VALID, valid=[1] * 9, countable=[0] * 9),
    Plain([(1, "u1", False, [1])], [(1, "u1", False, [1])], [1], [1], [-7]),
    Plain([(1, "u1", False, [1])], [(1, "u1", False, [1])], [0], [1], [-7]),
    Plain([(64, "u8", False, list(range(1 << 64 - 1, 10 + (1 << 64 - 1))))], [], None, None, [3] * 10),
]

Operator = Callable[..., GroupedRows]


def compute(table: Plain, operator: Operator, manifest: Manifest) -> list[Words]:
    """Run an operator with all that it offers; return its columns."""
    keys, order = sort_keys(table.keys), sort_keys(table.order)
    valid, countable = (
        None if bits is None else shared_words(bits, np.uint8) for bits in (table.valid, table.countable)
    )
    amounts = np.array(table.amount, dtype=np.int64)
    amount, short = shared(amounts), shared(amounts.astype(np.int32), WORD32)
    numbers = np.arange(table.count) + 1
    number, word = shared(numbers, WORD32), shared_words(numbers, np.uint8)

    def program(party: Party) -> list[Shared]:
        i = party.index
        groups = operator(
            party,
            Rows(keys[i], None if valid is None else valid[i]),
            order=order[i],
            sums=[amount[i], short[i]],
            last=[number[i], word[i]],
            countable=None if countable is None else countable[i],
            prefix="g",
        )
        party.finish()
        values = [] if groups.distinct is None else [groups.distinct]
        return columns_of([groups.valid], groups.keys, [groups.counts], groups.sums, groups.last, values)

    return opened(run(program, manifest))


def check_groups(table: Plain) -> None:
    valid, *columns = compute(table, group_rows, Manifest(group_openings("g", table.count, table.key_bits)))
    groups = table.groups()
    np.testing.assert_array_equal(valid, np.arange(table.count) < len(groups))
    expected = [[*(key[3][rows[0]] for key in table.keys), *table.expected(rows)] for rows in groups]
    assert as_rows(columns)[: len(groups)] == expected
    assert not any(column[len(groups) :].any() for column in columns)


def as_rows(columns: list[Words]) -> list[list[int]]:
    """Return the rows of columns."""
    return [[int(value) for value in row] for row in zip(*columns, strict=True)]


@few
@given(tables())
def test_groups_agree_with_a_dictionary(table: Plain) -> None:
    check_groups(table)


@pytest.mark.parametrize("table", EDGES)
def test_groups_hold_for_one_group_one_row_and_none_that_counts(table: Plain) -> None:
    check_groups(table)


def check_total(table: Plain) -> None:
    openings = total_openings("g", table.count, table.order_bits)
    valid, *columns = compute(table, total_rows, Manifest(openings))
    assert valid.tolist() == [1]
    (rows,) = replace(table, keys=[]).groups() or [[]]
    assert as_rows(columns) == [table.expected(rows)]


@few
@given(tables().filter(lambda table: table.count > 0))
def test_the_total_of_all_rows_is_one_group(table: Plain) -> None:
    check_total(table)


@pytest.mark.parametrize("table", EDGES)
def test_the_total_exists_where_no_row_counts(table: Plain) -> None:
    check_total(table)


def test_sums_and_counts_of_a_total_need_no_sort() -> None:
    valid, amount = shared_words([1, 0, 1], np.uint8), shared([5, 7, -9])

    def program(party: Party) -> list[Shared]:
        i = party.index
        total = total_rows(party, Rows((), valid[i]), sums=[amount[i]], prefix="g")
        party.finish()
        return [total.counts, *total.sums]

    counts, sums = opened(run(program))
    assert counts.tolist() == [2]
    assert decode(sums).tolist() == [-4]


def test_groups_of_several_calls_stand_side_by_side() -> None:
    by_day = replace(
        EDGES[2], keys=[(4, "u1", False, [3, 1, 3, 9, 1, 1, 3, 9, 0])], valid=[1, 1, 0, 1] + [1] * 5
    )
    other = (6, "u2", True, [1, 2, 3, 3, 2, 1, 50, 0, 0])
    again = replace(by_day, order=[other], countable=None)
    first, second = (
        compute(table, group_rows, Manifest(group_openings("g", 9, table.key_bits)))
        for table in (by_day, again)
    )
    for one, two in zip(first[:5], second[:5], strict=True):  # valid, the key, counts, and sums
        np.testing.assert_array_equal(one, two)


@few
@given(tables())
def test_one_row_of_each_key_is_distinct(table: Plain) -> None:
    keys = sort_keys(table.keys)
    marks = None if table.valid is None else shared_words(table.valid, np.uint8)

    def program(party: Party) -> list[Shared]:
        i = party.index
        found = distinct(party, Rows(keys[i], None if marks is None else marks[i]), "d")
        party.finish()
        return [found.valid, *found.keys]

    bits = [*([] if marks is None else [1]), *(key[0] for key in table.keys)]
    valid, *columns = opened(run(program, Manifest(row_openings("d", table.count, bits))))
    rows = np.flatnonzero(valid).tolist()
    expected = [[key[3][group[0]] for key in table.keys] for group in table.groups()]
    assert [as_rows(columns)[row] for row in rows] == expected
    assert not any(column[valid == 0].any() for column in columns)


def test_what_does_not_fit_together_is_refused() -> None:
    key, short, bits = shared_words([1, 1]), shared([1, 2, 3]), shared_words([1, 1], np.uint8)
    refused: list[Callable[[Party, Rows], object]] = [
        lambda p, rows: group_rows(p, rows, sums=[short[p.index]], prefix="g"),
        lambda p, rows: group_rows(p, rows, last=[short[p.index]], prefix="g"),
        lambda p, rows: group_rows(p, rows, countable=bits[p.index], prefix="g"),
        lambda p, rows: total_rows(p, rows, sums=[short[p.index]], prefix="g"),
        lambda p, _: total_rows(p, Rows((), bits[p.index][:0]), prefix="g"),
        lambda p, _: distinct(p, Rows((), bits[p.index]), "g"),
    ]
    for program in refused:
        with pytest.raises(InputError):
            run(lambda p, program=program: program(p, Rows((SortKey(key[p.index], 1),))))  # type: ignore[misc]
