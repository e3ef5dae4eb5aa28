"""Joining two shared tables by key, without a leak: a sort-merge join with a declared multiplicity.

Both tables are sorted together, left rows before right rows of the same key. A left row's number is carried
forward to all rows behind it as a running sum: of the differences between left rows in the order of keys,
put where the left rows stand. So there is no scan of logarithmic depth (after Asharov et al., CCS 2023, and
ORQ, SOSP 2025, who fuse sort and merge in the same way). Then a right row has the latest left row before it;
they match where keys agree. Right rows never move.

All three parties run `join`. They learn the openings of `join_openings`: uniform permutations whatever the
data, and one bit, which is 0 in every join that returns. `join_bounded` does not open that bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mpc.comparison import zero_bits
from mpc.conversion import bits_to_arithmetic
from mpc.manifest import Opening
from mpc.multiplication import and_, public
from mpc.opening import open_to_parties
from mpc.party import Party
from mpc.relational.bit_columns import (
    byte_column,
    equal_words,
    inverted,
    masked_numbers,
    masked_words,
    packed_bits,
)
from mpc.relational.partition import marks_of, rank_parts
from mpc.relational.permutation import place_dtype
from mpc.relational.radix_sort import SortKey
from mpc.relational.runs import differences, running_sums, shifted
from mpc.relational.shuffle import SharedOrder, disclose_order, move, move_back, move_parts_back
from mpc.relational.sorting import row_places, sort_openings
from mpc.relational.tables import Rows
from mpc.sharing import BYTE, Arithmetic, Boolean, Shared, concatenate
from records.errors import InputError


@dataclass(frozen=True, slots=True)
class Matches:
    """What one left row gives to each right row: m rows in the order of the right table, in shares.

    `matched` is packed, (⌈m/8⌉,); where it is 0, the columns hold zeros.
    """

    matched: Boolean
    words: tuple[Boolean, ...]
    numbers: tuple[Arithmetic, ...]


@dataclass(frozen=True, slots=True)
class LeftTable:
    """The side of a join whose columns are wanted: rows, and columns (n,) of words and of numbers."""

    rows: Rows
    words: tuple[Boolean, ...] = ()
    numbers: tuple[Arithmetic, ...] = ()

    def __post_init__(self) -> None:
        if any(column.shape != (self.rows.count,) for column in (*self.words, *self.numbers)):
            raise InputError("the columns of a table have one row for each key")


@dataclass(frozen=True, slots=True)
class BoundedMatches:
    """What up to `most` left rows give to each right row; `exceeded`, a byte (1,), is 1 if a key has more."""

    matches: tuple[Matches, ...]
    exceeded: Boolean


def join(party: Party, left: LeftTable, right: Rows, prefix: str, *, most: int = 1) -> tuple[Matches, ...]:
    """Match each right row with up to `most` left rows of its key: `most` results of m rows each.

    With `most` = 1 the left keys are primary and the right ones foreign. Invalid rows match nothing: leave
    a missing key invalid. Of several left rows of a key, the last comes first.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: the keys of both sides differ in bits or words, `most` is not positive, or the left table
            has more than `most` valid rows of one key. In the last case all parties learn so, and no result
            is returned.
    """
    found = join_bounded(party, left, right, prefix, most=most)
    exceeded = bits_to_arithmetic(party, found.exceeded, 1, BYTE)
    if open_to_parties(party, exceeded, f"{prefix}/exceeded")[0]:
        raise InputError(
            f"a key of the left table has more than {most} rows; declare more, or keep one row for each key"
        )
    return found.matches


def join_bounded(party: Party, left: LeftTable, right: Rows, prefix: str, *, most: int = 1) -> BoundedMatches:
    """Do as `join`, but keep in shares whether a left key has too many rows: its matches are then incomplete.

    Raises:
        EvidenceError: the manifest does not have the openings of `bounded_openings` now, or a peer deviates.
        InputError: the keys of both sides differ in bits or words, or `most` is not positive.
    """
    _require_alike(left.rows, right, most)
    order, left_order, moved = _merge(party, left, right, prefix)
    columns = moved[:-1] if left.rows.valid is not None else moved
    keys = cast("tuple[Boolean, ...]", columns[: len(left.rows.keys)])
    valid = cast("Boolean", moved[-1]) if left.rows.valid is not None else None
    exceeded = _exceeded(party, left.rows.keys, keys, valid, most)
    found = (_matches(party, left, right, order, left_order, columns, back) for back in range(most))
    return BoundedMatches(tuple(found), exceeded)


def join_openings(prefix: str, counts: tuple[int, int], key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of a join of (left, right) rows, in order.

    `key_bits` are those of the keys, with a 1 before them if either side has valid bits.
    """
    return (*bounded_openings(prefix, counts, key_bits), Opening(f"{prefix}/exceeded", "parties", (1,)))


def bounded_openings(prefix: str, counts: tuple[int, int], key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `join_bounded`: those of `join` without its error bit."""
    rows = sum(counts)
    return (
        *sort_openings(f"{prefix}/sort", rows, key_bits),
        Opening(f"{prefix}/rows", "parties", (rows,)),
        Opening(f"{prefix}/left", "parties", (counts[0],)),
    )


def _merge(
    party: Party, left: LeftTable, right: Rows, prefix: str
) -> tuple[SharedOrder, SharedOrder, tuple[Shared, ...]]:
    """Sort both tables together; return that order, the left rows' own, and the left columns in it."""
    count = left.rows.count
    keys = [
        SortKey(concatenate([x.words, y.words]), x.bits, x.descending)
        for x, y in zip(left.rows.keys, right.keys, strict=True)
    ]
    rows = Rows(tuple(keys), _both_valid(party, left.rows, right))
    # The sort is stable and left rows come first, so no digit for the table is needed.
    places = row_places(party, rows.valid_first(keys), f"{prefix}/sort")
    from_right = public(party, Arithmetic, (np.arange(rows.count) >= count).astype(places.dtype))
    order, (marks,) = disclose_order(party, places, f"{prefix}/rows", [from_right])
    # Left rows first, as they stand in the sorted table: a partition, whose places are taken back to the
    # unsorted rows, of which the first are left ones.
    all_places = move_parts_back(party, order, rank_parts(party, marks.reshape(1, marks.size)))
    left_places = all_places[:count].narrow(place_dtype(count))
    valid = () if left.rows.valid is None else (left.rows.valid,)
    columns = [*(key.words for key in left.rows.keys), *left.words, *left.numbers, *valid]
    left_order, moved = disclose_order(party, left_places, f"{prefix}/left", cast("list[Shared]", columns))
    return order, left_order, moved


def _matches(
    party: Party,
    left: LeftTable,
    right: Rows,
    order: SharedOrder,
    left_order: SharedOrder,
    columns: Sequence[Shared],
    back: int,
) -> Matches:
    """Give each right row the left row `back` places before the latest one, if their keys agree."""
    present = public(party, Boolean, (np.arange(left.rows.count) == back).astype(BYTE))
    steps = [present, *(differences(shifted(column, back)) for column in columns)]
    unsorted = move_back(party, left_order, steps)
    nothing = [column.map(lambda x: np.zeros(right.count, dtype=x.dtype)) for column in unsorted]
    placed = move(party, order, [concatenate(list(pair)) for pair in zip(unsorted, nothing, strict=True)])
    carried = move_back(party, order, [running_sums(column) for column in placed])
    present_bits, *found = [column[left.rows.count :] for column in carried]
    keys = len(left.rows.keys)
    pairs = [
        (cast("Boolean", column), key.words, key.bits) for column, key in zip(found, right.keys, strict=False)
    ]
    matched = and_(party, equal_words(party, pairs), packed_bits(cast("Boolean", present_bits)))
    if right.valid is not None:
        matched = and_(party, matched, packed_bits(right.valid))
    numbers = keys + len(left.words)
    return Matches(
        matched,
        masked_words(party, matched, cast("list[Boolean]", found[keys:numbers])),
        masked_numbers(party, matched, cast("list[Arithmetic]", found[numbers:])),
    )


def _exceeded(
    party: Party,
    keys: Sequence[SortKey],
    words: Sequence[Boolean],
    valid: Boolean | None,
    most: int,
) -> Boolean:
    """Return whether a key has more than `most` valid left rows, which stand in the order of keys."""
    count = words[0].size
    pairs = [
        (column[most:], column[: max(0, count - most)], key.bits)
        for key, column in zip(keys, words, strict=True)
    ]
    exceeding = equal_words(party, pairs)
    if valid is not None:  # a valid row follows valid rows only
        exceeding = and_(party, exceeding, packed_bits(valid[most:]))
    total = marks_of(party, exceeding, max(0, count - most)).reshape(1, -1).sum(axis=1)
    return byte_column(inverted(party, zero_bits(party, total)), 1)


def _both_valid(party: Party, left: Rows, right: Rows) -> Boolean | None:
    if left.valid is None and right.valid is None:
        return None
    parts = [
        rows.valid if rows.valid is not None else public(party, Boolean, np.ones(rows.count, dtype=BYTE))
        for rows in (left, right)
    ]
    return concatenate(parts)


def _require_alike(left: Rows, right: Rows, most: int) -> None:
    kinds = [[(key.bits, key.words.dtype, key.descending) for key in rows.keys] for rows in (left, right)]
    if not left.keys or kinds[0] != kinds[1]:
        raise InputError("both sides of a join have the same number of keys, with the same bits and words")
    if most < 1:
        raise InputError("a join finds at least one left row for each right row")
