"""Permutations of rows: drawn exactly uniformly from a stream, inverted, checked. All local.

A permutation is an array of n row numbers below 2^32: `column[order]` has row `order[i]` in place i. Both
holders of a stream draw the same one, with numba or without.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.prg import Words, WordStream
from mpc.relational.kernels import inverse_of, lemire_targets, swapped
from mpc.sharing import WORD32
from records.errors import EvidenceError


def place_dtype(count: int) -> np.dtype[Any]:
    """Return the word in which places of so many rows are shared: half the bytes up to 2^16 rows."""
    return np.dtype(np.uint16) if count <= 1 << 16 else WORD32


def random_permutation(stream: WordStream, count: int) -> Words:
    """Return an exactly uniform permutation of `count` rows (Fisher–Yates; Knuth, TAOCP 2, 3.4.2).

    Place i swaps with a uniform place up to i. Words that would favour some place are replaced by further
    words of the stream, until none is left; see `lemire_targets`.
    """
    places = np.arange(count, dtype=WORD32)
    targets, rejected = lemire_targets(stream.words((count,), WORD32), places)
    while rejected.size:
        drawn, again = lemire_targets(stream.words(rejected.shape, WORD32), places[rejected])
        targets[rejected] = drawn
        rejected = rejected[again]
    return swapped(targets)


def inverse(order: Words) -> Words:
    """Return the permutation that undoes `order`: `inverse(order)[order[i]] = i`.

    Raises:
        EvidenceError: the rows are no permutation, so that a peer did not follow the protocol.
    """
    undone = inverse_of(order)
    if undone is None:
        raise EvidenceError("an opened order is no permutation of the rows; void the attempt")
    return undone
