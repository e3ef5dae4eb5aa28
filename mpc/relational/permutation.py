"""Permutations of rows: drawn exactly uniformly from a stream, inverted, checked. All local.

An order is an array of n row numbers below 2^32: `column[order]` has row `order[i]` in place i. Both holders
of a stream draw the same permutation, with numba or without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc.prg import Words, WordStream
from mpc.relational.kernels import (
    collected,
    dealt,
    gathered,
    is_permutation,
    lemire_targets,
    scattered,
    swapped,
)
from mpc.sharing import BYTE, WORD32
from records.errors import EvidenceError

_AT_ONCE = 1 << 19
"""Rows up to which there is one bucket: a column of them stays in the cache."""
_BUCKETS = 256


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Permutation:
    """A permutation of n rows in two steps that stay in the cache, however long the columns are.

    Rows are dealt to buckets of `sizes` by their `digits` (n,); then place i takes row `order[i]` of those
    dealt, which is of the same bucket. A single bucket needs no digits, and has none.
    """

    digits: Words
    sizes: Words
    order: Words

    @property
    def rows(self) -> Words:
        """The permutation as one order."""
        return self.apply(np.arange(self.order.size, dtype=WORD32))

    def apply(self, words: Words) -> Words:
        """Return words (n,) with row `rows[i]` in place i."""
        in_buckets = dealt(words, self.digits, self.sizes) if self.digits.size else words
        return gathered(in_buckets, self.order)

    def undo(self, words: Words) -> Words:
        """Return words (n,) as they were before `apply`."""
        in_buckets = scattered(words, self.order)
        return collected(in_buckets, self.digits, self.sizes) if self.digits.size else in_buckets


def place_dtype(count: int) -> np.dtype[Any]:
    """Return the word in which places of so many rows are shared: half the bytes up to 2^16 rows."""
    return np.dtype(np.uint16) if count <= 1 << 16 else WORD32


NO_ROWS = Permutation(np.empty(0, dtype=BYTE), np.array([0]), np.empty(0, dtype=WORD32))
"""The permutation of no rows."""


def random_permutation(stream: WordStream, count: int) -> Permutation:
    """Return an exactly uniform permutation of `count` rows.

    Many rows are dealt to buckets by uniform digits, and each bucket is permuted by itself (Rao, Sankhyā A
    23, 1961; Sandelius, JRSS B 24, 1962). Place i of a bucket swaps with a uniform place up to i of it
    (Fisher–Yates; Knuth, TAOCP 2, 3.4.2). Words that would favour some place are replaced by further words
    of the stream, until none is left; see `lemire_targets`.
    """
    if count <= _AT_ONCE:
        digits, sizes = np.empty(0, dtype=BYTE), np.array([count])
    else:
        digits = stream.words((count,), BYTE)
        sizes = np.bincount(digits, minlength=_BUCKETS)
    places = np.concatenate([np.arange(size, dtype=WORD32) for size in sizes])
    targets, rejected = lemire_targets(stream.words((count,), WORD32), places)
    while rejected.size:
        drawn, again = lemire_targets(stream.words(rejected.shape, WORD32), places[rejected])
        targets[rejected] = drawn
        rejected = rejected[again]
    return Permutation(digits, sizes, swapped(targets, sizes))


def inverse(order: Words) -> Words:
    """Return the permutation that undoes `order`: `inverse(order)[order[i]] = i`.

    Raises:
        EvidenceError: see `require_permutation`.
    """
    require_permutation(order)
    return scattered(np.arange(order.size, dtype=order.dtype), order)


def require_permutation(order: Words) -> None:
    """Return if every row has its place in an order that came from peers.

    Raises:
        EvidenceError: it is no permutation of the rows, so that a peer did not follow the protocol.
    """
    if not is_permutation(order):
        raise EvidenceError("an opened order is no permutation of the rows; void the attempt")
