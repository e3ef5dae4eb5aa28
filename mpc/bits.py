"""Layouts of shared bits: words of one element each, and bit planes of eight elements a byte. All local.

A column of n words of 2^k bits is halved until 8 bits an element are left, then turned into planes of
shape (8, ⌈n/8⌉), so that the last levels of a tree waste no bits on the wire.
"""

from __future__ import annotations

import numpy as np

from mpc.prg import Words
from mpc.sharing import Boolean

_NARROWER = {8: np.uint32, 4: np.uint16, 2: np.uint8}


def halve(x: Boolean) -> tuple[Boolean, Boolean]:
    """Return the low and the high half of the bits of every element: words (n,) or planes (p, ⌈n/8⌉)."""
    if x.own.ndim == 1 and x.dtype.itemsize == 1:
        x = x.map(planes)
    if x.own.ndim == 2:
        half = x.shape[0] // 2
        return x[:half], x[half:]
    narrower = _NARROWER[x.dtype.itemsize]
    shift = x.dtype.type(4 * x.dtype.itemsize)
    return x.map(lambda words: words.astype(narrower)), x.map(lambda words: (words >> shift).astype(narrower))


def planes(words: Words) -> Words:
    """Turn n bytes into 8 planes of ⌈n/8⌉ bytes: plane b holds bit b of every element, lowest first."""
    bits = np.unpackbits(words[:, np.newaxis], axis=1, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little")


def pack(bits: Words) -> Words:
    """Pack n bits 0 or 1 into ⌈n/8⌉ bytes, the first into the lowest bit."""
    return np.packbits(bits.astype(np.uint8), bitorder="little")


def unpack(packed: Words, count: int) -> Words:
    """Return the first `count` bits as words of Z_2^64."""
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.uint64)


def reverse_indices(words: Words) -> Words:
    """Move bit i of each 64-bit word to the place whose six index bits are those of i reversed.

    The low half of the result holds the even bits and the high half the odd ones, again in this order, so
    that neighbouring bits meet by halving. Three delta swaps (Knuth, TAOCP 4A, 7.1.3).
    """
    for low, high in ((0, 5), (1, 4), (2, 3)):
        shift = np.uint64((1 << high) - (1 << low))
        mask = np.uint64(sum(1 << i for i in range(64) if i >> low & 1 and not i >> high & 1))
        swapped = (words ^ (words >> shift)) & mask
        words = words ^ swapped ^ (swapped << shift)
    return words
