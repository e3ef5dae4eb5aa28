"""The row of each group at a place that depends on the size of the group: percentiles and medians in shares.

A group is sorted with its countable rows first. Rows reach a place where numerator·c ≤ denominator·k, for the
k-th of c countable rows; the first row of a run that does is the one (compare Asharov et al., CCS 2023, on
medians of groups). So there is one comparison a row, of sums that are carried through the run. All three
parties run each function; they learn uniform permutations (`docs/mpc-leaks.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from mpc.comparison import negative_bits
from mpc.conversion import bits_to_arithmetic
from mpc.manifest import Opening
from mpc.multiplication import and_, constant, public
from mpc.party import Party
from mpc.relational.bit_columns import by_ring, in_order, masked_columns, masked_words, packed_bits
from mpc.relational.radix_sort import SortKey
from mpc.relational.runs import (
    carry_openings,
    goes_on,
    marked_first,
    run_ends,
    run_starts,
    run_sums,
    shifted_bits,
    sums_before,
)
from mpc.relational.tables import Rows, row_openings, sort_rows
from mpc.sharing import WORD, WORD32, Arithmetic, Boolean, Shared
from records.errors import InputError


@dataclass(frozen=True, slots=True)
class Place:
    """Place ⌈(numerator·c + more) / denominator⌉ of c rows in rising order, and at least the first."""

    numerator: int
    denominator: int
    more: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.numerator <= self.numerator + self.more <= self.denominator <= 1 << 20:
            raise InputError("a place is a fraction from 0 to 1 of the rows, with a denominator up to 2^20")
        if self.denominator == 0 or self.more < 0:
            raise InputError("a place has a positive denominator")


LOWER_MEDIAN: Final = Place(1, 2)
UPPER_MEDIAN: Final = Place(1, 2, 1)


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """One row for each group, laid out as `GroupedRows`; `at[k]` are the columns of its row at place k.

    Where a group has no countable row, its columns are zero.
    """

    valid: Boolean
    keys: tuple[Boolean, ...]
    at: tuple[tuple[Shared, ...], ...]


def group_select(
    party: Party,
    rows: Rows,
    value: SortKey,
    places: Sequence[Place],
    *,
    columns: Sequence[Shared],
    countable: Boolean | None = None,
    prefix: str,
) -> SelectedRows:
    """Return columns (n,) of the rows at places in the order of a value among a group's countable rows.

    `countable` is a byte 0 or 1 for each row (`None`: all 1). Groups stand where `group_rows` puts them.

    Raises:
        EvidenceError: the manifest does not have the openings of `select_openings` now, or a peer deviates.
        InputError: columns of different lengths, or no place.
    """
    if not places:
        raise InputError("at least one place is selected")
    countable_first = () if countable is None else (SortKey(countable, 1, descending=True),)
    words, numbers = by_ring(columns)
    by = (*rows.keys, *countable_first, value)
    table = sort_rows(party, rows, by, numbers, prefix, words=words)
    keys = table.keys[: len(rows.keys)]
    counted = None if countable is None else table.keys[len(keys)]
    same = goes_on(party, rows.keys, keys, table.valid, rows.count)
    ends = run_ends(party, same, table.valid)
    moving = [*in_order(columns, table.words, table.numbers), *keys, *([] if counted is None else [counted])]
    found = []
    starts = run_starts(party, ends, rows.count)
    for k, reached in enumerate(_reached(party, starts, counted, rows.count, places, prefix)):
        # The last row of a group counts as one that reaches the place: where none is countable, it stands for
        # the group.
        before_last = and_(party, reached, same)
        first = ends ^ before_last ^ shifted_bits(before_last, rows.count, 1)
        found.append(marked_first(party, first, moving, f"{prefix}/{k}"))
    valid, moved = found[0]
    group_keys = cast("tuple[Boolean, ...]", moved[len(columns) : len(columns) + len(keys)])
    return SelectedRows(
        valid,
        masked_words(party, packed_bits(valid), group_keys),
        tuple(
            _masked(party, marks, row[: len(columns)], None if counted is None else cast("Boolean", row[-1]))
            for marks, row in found
        ),
    )


def select_openings(
    prefix: str, rows_count: int, key_bits: Sequence[int], places: Sequence[Place]
) -> tuple[Opening, ...]:
    """Return the openings of `group_select`, in order.

    `key_bits` are those of the keys and of the value, with a 1 before them if rows have valid bits, and a 1
    before the value's if only some are countable.
    """
    selected = tuple(Opening(f"{prefix}/{k}", "parties", (rows_count,)) for k in range(len(places)))
    return (*row_openings(prefix, rows_count, key_bits), *carry_openings(prefix, rows_count), *selected)


def distance_dtype(count: int, places: Sequence[Place]) -> np.dtype[Any]:
    """Return the word in which rows are compared with places: half the bytes where all products fit."""
    return WORD32 if (count + 1) * max(place.denominator for place in places) < 1 << 31 else WORD


def carried_shares(places: Sequence[Place]) -> tuple[tuple[int, int], ...]:
    """Return the fractions of the countable rows that the places take, each once."""
    return tuple(dict.fromkeys((place.numerator, place.denominator) for place in places))


def _reached(
    party: Party,
    starts: Boolean,
    countable: Boolean | None,
    count: int,
    places: Sequence[Place],
    prefix: str,
) -> list[Boolean]:
    """Return for each place, packed, which rows of a run reach it: as many are countable up to them."""
    dtype = distance_dtype(count, places)
    if countable is None:
        ones = public(party, Arithmetic, np.ones(count, dtype=dtype))
    else:
        ones = bits_to_arithmetic(party, packed_bits(countable), count, dtype)
    running = sums_before(ones)
    shares = carried_shares(places)
    # numerator·(E − S) and denominator·S, of which denominator·(rows so far) is taken.
    terms = [(0, denominator - numerator, numerator) for numerator, denominator in shares]
    needed = dict(zip(shares, run_sums(party, starts, [running], terms, prefix), strict=True))
    return [
        negative_bits(
            party,
            needed[place.numerator, place.denominator]
            - running[1:] * place.denominator
            + constant(party, place.more - 1, (count,), dtype),
        )
        for place in places
    ]


def _masked(
    party: Party, valid: Boolean, columns: Sequence[Shared], counted: Boolean | None
) -> tuple[Shared, ...]:
    """Return columns with zeros where there is no group, or none of its rows is countable."""
    marks = packed_bits(valid)
    if counted is not None:
        marks = and_(party, marks, packed_bits(counted))
    return masked_columns(party, marks, columns)
