"""Rows of shared columns: sorted, compared, and zero where they do not count.

A filter never shortens a table: it clears valid bits. All three parties run each function that takes a party.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from mpc.manifest import Opening
from mpc.party import Party
from mpc.relational.bit_columns import packed_bits
from mpc.relational.radix_sort import SortKey
from mpc.relational.shuffle import disclose_order
from mpc.relational.sorting import row_places, sort_openings
from mpc.sharing import BYTE, Arithmetic, Boolean, Shared
from records.errors import InputError

S = TypeVar("S", bound=Shared)


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows in shares: the columns that identify them, and which of them count (`None`: all).

    `valid` is a column (n,) of bytes 0 or 1. A filter, padding and a missing key clear it. Rows without keys
    have valid bits, and are one group.
    """

    keys: tuple[SortKey, ...]
    valid: Boolean | None = None

    def __post_init__(self) -> None:
        if (not self.keys and self.valid is None) or len({key.words.size for key in self.keys}) > 1:
            raise InputError("rows have at least one key or valid bits, and keys are of one length")
        if self.valid is not None and (self.valid.shape, self.valid.dtype) != ((self.count,), BYTE):
            raise InputError("the valid bits of rows are one byte for each row")

    @property
    def count(self) -> int:
        """The public number of rows."""
        return self.keys[0].words.size if self.keys else cast("Boolean", self.valid).size

    def valid_first(self, keys: Sequence[SortKey]) -> tuple[SortKey, ...]:
        """Return keys that sort invalid rows last and the others as given."""
        return tuple(keys) if self.valid is None else (SortKey(self.valid, 1, descending=True), *keys)


@dataclass(frozen=True, slots=True)
class SortedRows:
    """Sorted columns (n,) in shares; `valid` is packed, (⌈n/8⌉,), and invalid rows stand last."""

    keys: tuple[Boolean, ...]
    words: tuple[Boolean, ...]
    numbers: tuple[Arithmetic, ...]
    valid: Boolean | None

    def first(self, most: int) -> SortedRows:
        """Return the first rows, all if there are fewer."""
        return SortedRows(
            tuple(column[:most] for column in self.keys),
            tuple(column[:most] for column in self.words),
            tuple(column[:most] for column in self.numbers),
            None if self.valid is None else self.valid[: -(-most // 8)],
        )


def sort_rows(
    party: Party,
    rows: Rows,
    order: Sequence[SortKey],
    numbers: Sequence[Arithmetic],
    prefix: str,
    *,
    words: Sequence[Boolean] = (),
) -> SortedRows:
    """Sort rows by the keys of `order`, which may be others than those of the rows, and move columns along.

    Returns the columns of `order` as keys. With no key, valid rows go first, in their order.

    Raises:
        EvidenceError: the manifest does not have the openings of `row_openings` now, or a peer deviates.
        InputError: columns of different lengths, or nothing to sort by.
    """
    if any(column.shape != (rows.count,) for column in (*words, *numbers)):
        raise InputError("columns that move along have one row for each key")
    keys = rows.valid_first(order)
    if not keys:
        raise InputError("rows are sorted by at least one key, or by their valid bits")
    places = row_places(party, keys, f"{prefix}/sort")
    valid = () if rows.valid is None else (rows.valid,)
    moving = cast("list[Shared]", [*(key.words for key in order), *words, *numbers, *valid])
    _, moved = disclose_order(party, places, f"{prefix}/rows", moving)
    first_number = len(order) + len(words)
    return SortedRows(
        cast("tuple[Boolean, ...]", moved[: len(order)]),
        cast("tuple[Boolean, ...]", moved[len(order) : first_number]),
        cast("tuple[Arithmetic, ...]", moved[first_number : first_number + len(numbers)]),
        packed_bits(cast("Boolean", moved[-1])) if valid else None,
    )


def row_openings(prefix: str, count: int, key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `sort_rows`, in order: uniform permutations.

    `key_bits` are those of the keys, with a 1 before them if rows have valid bits.
    """
    sorting = sort_openings(f"{prefix}/sort", count, key_bits)
    return (*sorting, Opening(f"{prefix}/rows", "parties", (count,)))


def repeated(row: S, count: int) -> S:
    """Return a column (1,) as one of `count` equal rows. No message."""
    return row.map(lambda words: np.repeat(words, count))


def check_values(values: npt.NDArray[Any], bits: int) -> None:
    """Return if a column may be entered as a key of so many bits. Run by its owner, in plain.

    Raises:
        InputError: the column is not of integers, or a value is outside [0, 2^bits): sorting would take
            the lowest bits only.
    """
    if values.dtype.kind not in "iu":
        raise InputError("a key is a column of integers; encode text and decimals first")
    if values.size and (int(values.min()) < 0 or int(values.max()) >= 1 << bits):
        raise InputError(f"a key has a value outside [0, 2^{bits}); declare more bits")


def check_distinct(values: npt.NDArray[Any]) -> None:
    """Return if no value occurs twice. Run by the owner of a primary key, in plain.

    Raises:
        InputError: one does.
    """
    if np.unique(values).size != values.size:
        raise InputError("a value occurs twice in a primary key; keep one row for each key")
