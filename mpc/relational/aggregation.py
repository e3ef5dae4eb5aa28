"""Grouping rows by secret keys: sums, counts, extremes, distinct keys.

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

from mpc.bits import pack, unpack
from mpc.conversion import negate
from mpc.manifest import Opening
from mpc.multiplication import and_, public
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.bit_columns import (
    byte_column,
    equal_words,
    inverted,
    masked_numbers,
    masked_words,
    packed_bits,
)
from mpc.relational.partition import marks_of, partition_places
from mpc.relational.radix_sort import SortKey
from mpc.relational.shuffle import disclose_order
from mpc.relational.tables import Rows, SortedRows, row_openings, sort_rows
from mpc.sharing import BYTE, WORD32, Arithmetic, Boolean, Shared, concatenate


@dataclass(frozen=True, slots=True)
class Groups:
    """One row for each group in the order of keys, then empty rows; columns (n,) in shares.

    `valid` is packed, (⌈n/8⌉,). `counts` are of 32 bits; `sums` have the rings of the values.
    """

    valid: Boolean
    keys: tuple[Boolean, ...]
    counts: Arithmetic
    sums: tuple[Arithmetic, ...]


@dataclass(frozen=True, slots=True)
class Extremes:
    """The least and the greatest value of each group, laid out as `Groups`."""

    valid: Boolean
    keys: tuple[Boolean, ...]
    least: Boolean
    greatest: Boolean


@dataclass(frozen=True, slots=True)
class Distinct:
    """Sorted rows of which `valid`, packed, marks one for each key; the others hold zeros."""

    valid: Boolean
    keys: tuple[Boolean, ...]


def group_sums(party: Party, rows: Rows, values: Sequence[Arithmetic], prefix: str) -> Groups:
    """Sum columns (n,) of values, and count rows, by key.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: columns of different lengths.
    """
    last, table = _sorted_runs(party, rows, rows.keys, values, prefix)
    running = [column.map(lambda x: np.cumsum(x, dtype=x.dtype)) for column in table.numbers]
    numbers = public(party, Arithmetic, np.arange(1, rows.count + 1, dtype=WORD32))
    valid, kept, columns = _ends_first(party, last, table.keys, [numbers, *running], f"{prefix}/groups")
    counts, *sums = masked_numbers(party, valid, [column.map(_differences) for column in columns])
    return Groups(valid, masked_words(party, valid, kept), counts, tuple(sums))


def group_extremes(party: Party, rows: Rows, value: SortKey, prefix: str) -> Extremes:
    """Return the first and the last value by key, in the order of the value.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: columns of different lengths.
    """
    last, table = _sorted_runs(party, rows, (*rows.keys, value), (), prefix)
    values = table.keys[-1]
    # A group begins behind the end of the one before it: its least value stands in the row after that.
    following = values.map(lambda x: np.roll(x, -1))
    valid, moved, _ = _ends_first(party, last, [*table.keys, following], (), f"{prefix}/groups")
    least = concatenate([values[:1], moved[-1][:-1]])
    *kept, greatest, lowest = masked_words(party, valid, [*moved[:-1], least])
    return Extremes(valid, tuple(kept), lowest, greatest)


def distinct(party: Party, rows: Rows, prefix: str) -> Distinct:
    """Mark one row of each key, in sorted order. Its openings are `tables.row_openings`.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
    """
    last, table = _sorted_runs(party, rows, rows.keys, (), prefix)
    return Distinct(last, masked_words(party, last, table.keys))


def group_openings(prefix: str, rows_count: int, key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `group_sums`, or of `group_extremes` with the value's bits last, in order.

    `key_bits` are those of the keys, with a 1 before them if rows have valid bits.
    """
    return (
        *row_openings(prefix, rows_count, key_bits),
        Opening(f"{prefix}/groups", "parties", (rows_count,)),
    )


def _sorted_runs(
    party: Party, rows: Rows, order: Sequence[SortKey], values: Sequence[Arithmetic], prefix: str
) -> tuple[Boolean, SortedRows]:
    """Sort rows; return the packed bits of valid rows that end a run of keys, and the sorted columns."""
    table = sort_rows(party, rows, order, values, prefix)
    same = _equals_next(party, rows.keys, table.keys)
    if table.valid is None:
        return inverted(party, same), table
    # A valid row goes on if the next has its key and is valid; invalid rows come after all valid ones.
    valid_next = table.valid.map(lambda x: pack(np.roll(unpack(x, rows.count, BYTE), -1)))
    return table.valid ^ and_(party, same, valid_next), table


def _equals_next(party: Party, keys: Sequence[SortKey], words: Sequence[Boolean]) -> Boolean:
    """Return the packed bits of rows that have the keys of the next row; the last row has none."""
    same = equal_words(
        party,
        [
            (column, column.map(lambda x: np.roll(x, -1)), key.bits)
            for key, column in zip(keys, words, strict=False)
        ],
    )
    count = words[0].size
    before_last = np.packbits(np.arange(count) < count - 1, bitorder="little")
    return same & before_last


def _ends_first(
    party: Party, last: Boolean, keys: Sequence[Boolean], numbers: Sequence[Arithmetic], opening_id: str
) -> tuple[Boolean, tuple[Boolean, ...], tuple[Arithmetic, ...]]:
    """Bring the rows that end a group to the front, in their order; return their packed marks and columns."""
    marks = marks_of(party, last, keys[0].size)
    places = partition_places(party, negate(party, marks))
    moving = cast("list[Shared]", [byte_column(last, keys[0].size), *keys, *numbers])
    _, moved = disclose_order(party, places, opening_id, moving)
    first_number = 1 + len(keys)
    return (
        packed_bits(cast("Boolean", moved[0])),
        cast("tuple[Boolean, ...]", moved[1:first_number]),
        cast("tuple[Arithmetic, ...]", moved[first_number:]),
    )


def _differences(words: Words) -> Words:
    before = np.zeros_like(words)
    before[1:] = words[:-1]
    return words - before
