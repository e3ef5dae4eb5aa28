"""Runs of sorted rows: where a group begins and ends, and what it gives to all its rows.

Rows that agree in their keys stand together after a sort, valid ones first. Marks are packed bits. A value
goes from marked rows to the rows behind them without a scan of logarithmic depth: the marked rows are
brought together by a stable partition, differences between neighbours go back to where these rows stood, and
running sums in the column's ring carry them on (as in `join.py`; after Asharov et al., CCS 2023, and ORQ,
SOSP 2025). All three parties run each function; they learn one uniform permutation (`docs/mpc-leaks.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

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
    masked_columns,
    masked_numbers,
    packed_bits,
)
from mpc.relational.partition import marks_of, partition_places
from mpc.relational.radix_sort import SortKey
from mpc.relational.shuffle import disclose_order, move_back
from mpc.sharing import BYTE, Arithmetic, Boolean, Shared, concatenate
from records.errors import InputError

S = TypeVar("S", bound=Shared)


def goes_on(
    party: Party, keys: Sequence[SortKey], words: Sequence[Boolean], valid: Boolean | None, count: int
) -> Boolean:
    """Return the packed bits of valid rows whose next row is valid and has their keys.

    `words` (n,) are the sorted columns of `keys`; without a key all rows agree, and `valid` is needed: packed
    bits of rows that stand first. The last row has no next one.
    """
    if valid is not None:
        next_counts = shifted_bits(valid, count, -1)
        return and_(party, same_as_next(party, keys, words), next_counts) if keys else next_counts
    before_last = pack(np.arange(count) < count - 1)
    return same_as_next(party, keys, words) & before_last


def same_as_next(party: Party, keys: Sequence[SortKey], words: Sequence[Boolean]) -> Boolean:
    """Return the packed bits of rows that have the next one's keys, at least one; the last is unspecified."""
    pairs = [(column, column.map(lambda x: np.roll(x, -1))) for column in words]
    return equal_words(party, [(*pair, key.bits) for pair, key in zip(pairs, keys, strict=True)])


def run_ends(party: Party, going_on: Boolean, valid: Boolean | None) -> Boolean:
    """Return the packed bits of valid rows that end a run. No message; bits after row n are unspecified."""
    return inverted(party, going_on) if valid is None else valid ^ going_on


def run_starts(party: Party, ends: Boolean, count: int) -> Boolean:
    """Return the packed bits of rows that begin a run, from those that end one. No message.

    The first row always does, and the invalid rows behind the last run are one more.
    """
    first = public(party, Boolean, pack(np.arange(count) == 0))
    return shifted_bits(ends, count, 1) ^ first


def shifted_bits(packed: Boolean, count: int, by: int) -> Boolean:
    """Return packed bits `by` rows later, or earlier if it is negative; zeros move in. No message."""
    return packed.map(lambda x: pack(_later(unpack(x, count, BYTE), by)))


def marked_first(
    party: Party, marks: Boolean, columns: Sequence[Shared], opening_id: str
) -> tuple[Boolean, tuple[Shared, ...]]:
    """Bring rows with a packed mark to the front, in their order; return marks as bytes, and columns."""
    count = columns[0].size
    places = partition_places(party, negate(party, marks_of(party, marks, count)))
    _, (moved_marks, *moved) = disclose_order(
        party, places, opening_id, [byte_column(marks, count), *columns]
    )
    return cast("Boolean", moved_marks), tuple(moved)


def carry_forward(party: Party, marks: Boolean, columns: Sequence[Shared], prefix: str) -> tuple[Shared, ...]:
    """Give each row the columns (n,) of the latest marked row at or before it: zeros before the first.

    `marks` is a column (n,) of bytes 0 or 1.

    Raises:
        EvidenceError: the manifest does not have the opening of `carry_openings` now, or a peer deviates.
        InputError: columns of different lengths, or marks that are no bytes.
    """
    if marks.dtype != BYTE or any(column.shape != marks.shape for column in columns):
        raise InputError("marks are one byte for each row of the columns that are carried")
    packed = packed_bits(marks)
    return _spread(party, packed, masked_columns(party, packed, columns), list, f"{prefix}/carried")


def carry_backward(
    party: Party, marks: Boolean, columns: Sequence[Shared], prefix: str
) -> tuple[Shared, ...]:
    """Give each row the columns (n,) of the next marked row at or behind it; otherwise as `carry_forward`.

    Raises:
        EvidenceError: as `carry_forward`.
        InputError: as `carry_forward`.
    """
    carried = carry_forward(party, marks[::-1], [column[::-1] for column in columns], prefix)
    return tuple(column[::-1] for column in carried)


def carry_openings(prefix: str, count: int) -> tuple[Opening, ...]:
    """Return the opening of `carry_forward`, `carry_backward` or `run_sums`: a uniform permutation."""
    return (Opening(f"{prefix}/carried", "parties", (count,)),)


def run_sums(
    party: Party,
    starts: Boolean,
    running: Sequence[Arithmetic],
    terms: Sequence[tuple[int, int, int]],
    prefix: str,
) -> tuple[Arithmetic, ...]:
    """Give each row sums that stand at the bounds of its run: for each term (k, a, b), a·S_k + b·E_k.

    Column k of `running`, (n + 1,), has the sum of a number over the rows before each row, and over all rows
    at last. S_k and E_k are those before the run of a row, and with it. `starts`, packed, marks the row that
    begins a run; the first row does.

    Raises:
        EvidenceError: the manifest does not have the opening of `carry_openings` now, or a peer deviates.
    """

    def bounds(begins: Sequence[Arithmetic]) -> list[Arithmetic]:
        # A run ends where the next one begins. The sum before the first run is 0: nothing moves before it.
        ends = [concatenate([x[1:], total[-1:]]) for x, total in zip(begins, running, strict=True)]
        return [begins[k] * a + ends[k] * b for k, a, b in terms]

    masked = masked_numbers(party, starts, [column[:-1] for column in running])
    return _spread(party, starts, masked, bounds, f"{prefix}/carried")


def running_sums(column: S) -> S:
    """Return running sums (n,) in the column's ring. No message."""
    return column.map(lambda x: column.add.accumulate(x, dtype=x.dtype))


def sums_before(column: Arithmetic) -> Arithmetic:
    """Return the sum of the rows before each row (n,), and at last that of all, (n + 1,). No message."""
    return column.map(lambda x: np.concatenate([np.zeros(1, dtype=x.dtype), np.cumsum(x, dtype=x.dtype)]))


def differences(column: S) -> S:
    """Return each row (n,) less the row before it, and the first as it is. No message."""
    return column - shifted(column, 1)


def shifted(column: S, by: int) -> S:
    """Return the rows (n,) so many places later, or earlier if it is negative; zeros move in. No message."""
    return column.map(lambda x: _later(x, by))


def _spread(
    party: Party,
    marks: Boolean,
    masked: Sequence[S],
    at_marks: Callable[[Sequence[S]], list[S]],
    opening_id: str,
) -> tuple[S, ...]:
    """Carry to all rows what `at_marks` makes of columns that are zero where the packed marks are.

    Unmarked rows go first, so that they add nothing to the differences of the marked ones behind them.
    """
    if not masked:
        raise InputError("at least one column is carried")
    places = partition_places(party, marks_of(party, marks, masked[0].size))
    order, moved = disclose_order(party, places, opening_id, masked)
    steps = move_back(party, order, [differences(column) for column in at_marks(moved)])
    return tuple(running_sums(column) for column in steps)


def _later(words: Words, by: int) -> Words:
    moved = np.zeros_like(words)
    if by >= 0:
        moved[by:] = words[: max(0, words.size - by)]
    else:
        moved[:by] = words[-by:]
    return moved
