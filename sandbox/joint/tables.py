"""Tables in shares: their columns as columns of shares, and keys to sort them by. All local.

A number is one column of 64-bit integers; a bit a column of bytes 0 or 1; a key a column of the smallest word
that holds its bits; a payload a column of 64-bit words for each of its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean, Shared
from sandbox.sql.steps import Column, TableShape

Ring: TypeAlias = tuple[type[Shared], np.dtype[Any]]
"""How a column of shares adds up, and its word."""
Parts: TypeAlias = tuple[Shared, ...]
"""The columns of shares (n,) that make up one column of a table."""


@dataclass(frozen=True, slots=True)
class SharedTable:
    """One party's shares of a table: `valid` is a byte 0 or 1 for each row, `parts` its columns by name."""

    shape: TableShape
    valid: Boolean
    parts: Mapping[str, Parts]

    @property
    def rows(self) -> int:
        """The public number of rows."""
        return self.shape.rows

    def number(self, name: str) -> Arithmetic:
        """Return a column of numbers."""
        return cast("Arithmetic", self.parts[name][0])

    def bit(self, name: str) -> Boolean:
        """Return a column of bits or of a key."""
        return cast("Boolean", self.parts[name][0])

    def columns(self, names: Iterable[str]) -> list[Shared]:
        """Return the columns of shares of the columns of those names, in order."""
        return [part for name in names for part in self.parts[name]]

    def sort_key(self, name: str, *, descending: bool = False) -> SortKey:
        """Return a bit or key to sort by."""
        return SortKey(self.bit(name), self.shape.columns[name].bits, descending)

    def keyed(self, names: Sequence[str]) -> Rows:
        """Return the rows by keys of those names."""
        return Rows(tuple(self.sort_key(name) for name in names), self.valid)


def key_word(bits: int) -> np.dtype[Any]:
    """Return the smallest word that holds so many bits."""
    return next(np.dtype(f"u{size}") for size in (1, 2, 4, 8) if bits <= 8 * size)


def rings(column: Column) -> tuple[Ring, ...]:
    """Return the rings of the columns of shares that make up a column."""
    match column.kind:
        case "number":
            return ((Arithmetic, WORD),)
        case "bit":
            return ((Boolean, BYTE),)
        case "key":
            return ((Boolean, key_word(column.bits)),)
        case "payload":
            return ((Boolean, WORD),) * column.words


def named(shape: TableShape, names: Iterable[str], columns: Sequence[Shared]) -> dict[str, Parts]:
    """Return columns of shares by the names of the columns that they make up, in order."""
    rest: Iterator[Shared] = iter(columns)
    return {name: tuple(next(rest) for _ in rings(shape.columns[name])) for name in names}
