"""Grouping rows by secret keys: sums, counts, last values, distinct values.

Rows are sorted by key, so that a group is a run; then every number of a group stands at its last row, or is
the difference of running sums at two of them. These rows come first by a stable partition, and differences
are local: no scan of logarithmic depth is needed. Tables stay as long as they are public: what is no group
has 0 in `valid` and in every column. Rows that are invalid go last and count for nothing.

All three parties run each function. They learn what the function's `…_openings` lists: uniform permutations,
whatever the data (`docs/mpc-leaks.md`). Costs stand in `mpc/relational/costs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mpc.conversion import bits_to_arithmetic
from mpc.manifest import Opening
from mpc.multiplication import and_, dot, public
from mpc.party import Party
from mpc.relational.bit_columns import (
    by_ring,
    byte_column,
    in_order,
    masked_columns,
    masked_words,
    packed_bits,
)
from mpc.relational.radix_sort import SortKey
from mpc.relational.runs import differences, goes_on, marked_first, run_ends, running_sums, same_as_next
from mpc.relational.tables import Rows, SortedRows, row_openings, sort_rows
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean, Shared
from records.errors import InputError


@dataclass(frozen=True, slots=True)
class GroupedRows:
    """One row for each group in the order of keys, then empty rows; columns (n,) in shares.

    `valid` has a byte 0 or 1 for each row. `counts` and `distinct` are of 64 bits; `sums` and `last` have
    the rings of the columns they were made of.
    """

    valid: Boolean
    keys: tuple[Boolean, ...]
    counts: Arithmetic
    sums: tuple[Arithmetic, ...]
    last: tuple[Shared, ...] = ()
    distinct: Arithmetic | None = None


@dataclass(frozen=True, slots=True)
class Distinct:
    """Sorted rows of which `valid`, a byte each, marks one for each key; the others hold zeros."""

    valid: Boolean
    keys: tuple[Boolean, ...]


def group_rows(
    party: Party,
    rows: Rows,
    *,
    order: Sequence[SortKey] = (),
    sums: Sequence[Arithmetic] = (),
    last: Sequence[Shared] = (),
    countable: Boolean | None = None,
    prefix: str,
) -> GroupedRows:
    """Group rows by their keys: count them, sum columns (n,), take columns of one row, count values.

    `last` columns are those of the group's last row by `order`: of its countable rows, if there are any.
    Rows that agree keep their order. With `order`, `distinct` is how many different values of it a group's
    countable rows have. `countable` is a byte 0 or 1 for each row (`None`: all 1); the others still count
    in `counts` and `sums`. Calls with the same keys and valid bits put a group in the same place.

    Raises:
        EvidenceError: the manifest does not have the openings of `group_openings` now, or a peer deviates.
        InputError: columns of different lengths, or countable rows without an order.
    """
    if countable is not None and not order:
        raise InputError("countable rows are those of which an order is asked")
    countable_last = () if countable is None else (SortKey(countable, 1),)
    words, numbers = by_ring(last)
    by = (*rows.keys, *countable_last, *order)
    table = sort_rows(party, rows, by, [*numbers, *sums], prefix, words=words)
    keys = table.keys[: len(rows.keys)]
    same = goes_on(party, rows.keys, keys, table.valid, rows.count)
    totals = [public(party, Arithmetic, np.ones(rows.count, dtype=WORD)), *table.numbers[len(numbers) :]]
    if order:
        counted = None if countable is None else table.keys[len(keys)]
        totals.append(_distinct_marks(party, order, same, table, counted))
    carried = in_order(last, table.words, table.numbers[: len(numbers)])
    columns = [*keys, *carried, *(running_sums(column) for column in totals)]
    valid, moved = marked_first(party, run_ends(party, same, table.valid), columns, f"{prefix}/groups")
    first_total = len(keys) + len(last)
    columns = [*moved[:first_total], *(differences(column) for column in moved[first_total:])]
    found = masked_columns(party, packed_bits(valid), columns)
    counts, *more = cast("tuple[Arithmetic, ...]", found[first_total:])
    return GroupedRows(
        valid,
        cast("tuple[Boolean, ...]", found[: len(keys)]),
        counts,
        tuple(more[: len(sums)]),
        found[len(keys) : first_total],
        more[-1] if order else None,
    )


def total_rows(
    party: Party,
    rows: Rows,
    *,
    order: Sequence[SortKey] = (),
    sums: Sequence[Arithmetic] = (),
    last: Sequence[Shared] = (),
    countable: Boolean | None = None,
    prefix: str,
) -> GroupedRows:
    """Take all valid rows as one group, whatever their keys: as `group_rows`, but columns of one row (1,).

    The group exists even where no row is valid. Nothing is sorted without `order` or `last`.

    Raises:
        EvidenceError: the manifest does not have the openings of `total_openings` now, or a peer deviates.
        InputError: as `group_rows`, or no row.
    """
    count = rows.count
    if count == 0 or any(column.shape != (count,) for column in sums):
        raise InputError("a total is taken of at least one row, and of columns of one length")
    valid = public(party, Boolean, np.ones(count, dtype=BYTE)) if rows.valid is None else rows.valid
    marks = bits_to_arithmetic(party, packed_bits(valid), count).reshape(1, count)
    totals = tuple(dot(party, marks.narrow(x.dtype), x.reshape(1, count)) for x in sums)
    alone = public(party, Boolean, np.ones(1, dtype=BYTE))
    if not order and not last:
        return GroupedRows(alone, (), marks.sum(axis=1), totals)
    group = group_rows(party, Rows((), valid), order=order, last=last, countable=countable, prefix=prefix)
    distinct_values = None if group.distinct is None else group.distinct[:1]
    first = tuple(column[:1] for column in group.last)
    return GroupedRows(alone, (), marks.sum(axis=1), totals, first, distinct_values)


def distinct(party: Party, rows: Rows, prefix: str) -> Distinct:
    """Mark one row of each key, in sorted order. Its openings are `tables.row_openings`.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: rows without keys.
    """
    if not rows.keys:
        raise InputError("rows without keys are one group; take their total")
    table = sort_rows(party, rows, rows.keys, (), prefix)
    same = goes_on(party, rows.keys, table.keys, table.valid, rows.count)
    last = run_ends(party, same, table.valid)
    return Distinct(byte_column(last, rows.count), masked_words(party, last, table.keys))


def group_openings(prefix: str, rows_count: int, key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `group_rows`, in order.

    `key_bits` are those of the keys and of the order, with a 1 before them if rows have valid bits, and a 1
    between them if only some are countable.
    """
    return (
        *row_openings(prefix, rows_count, key_bits),
        Opening(f"{prefix}/groups", "parties", (rows_count,)),
    )


def total_openings(prefix: str, rows_count: int, order_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `total_rows` with an order or last columns; otherwise there are none.

    `order_bits` are those of the order, with a 1 before them if only some rows are countable.
    """
    return group_openings(prefix, rows_count, [1, *order_bits])


def _distinct_marks(
    party: Party, order: Sequence[SortKey], same: Boolean, table: SortedRows, countable: Boolean | None
) -> Arithmetic:
    """Return 1 for each row that ends a run of one value of the order within its group, and is countable.

    Countable rows are the last of a group, so that none is followed by another row of the group that is not.
    """
    repeated = and_(party, same, same_as_next(party, order, table.keys[-len(order) :]))
    marks = run_ends(party, repeated, table.valid)
    if countable is not None:
        marks = and_(party, marks, packed_bits(countable))
    return bits_to_arithmetic(party, marks, table.keys[-1].size)
