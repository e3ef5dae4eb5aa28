"""Layouts of shared bits: words of one element each, packed bits, and bit planes. All local.

A tree over the bits of a column halves its words until one byte an element is left. Then the bytes of eight
elements become one word of eight planes, so that the last levels waste no bits on the wire.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mpc.kernels import delta_swaps
from mpc.prg import Words
from mpc.sharing import WORD


def pack(bits: Words) -> Words:
    """Pack n bits 0 or 1 into ⌈n/8⌉ bytes, the first into the lowest bit."""
    return np.packbits(bits.astype(np.uint8), bitorder="little")


def unpack(packed: Words, count: int, dtype: np.dtype[Any] = WORD) -> Words:
    """Return the first `count` bits as words."""
    return np.unpackbits(packed, count=count, bitorder="little").astype(dtype)


def planes(column: Words) -> Words:
    """Turn n bytes into ⌈n/8⌉ words of 64 bits: byte b of word j holds bit b of elements 8j … 8j + 7.

    Missing elements are zero. A transposition of 8 × 8 bits by three delta swaps (Warren, Hacker's Delight,
    7-3).
    """
    padded = np.zeros(-(-column.size // 8) * 8, dtype=np.uint8)
    padded[: column.size] = column
    words = padded.view("<u8").astype(np.uint64, copy=False)
    return _swapped(words, [(7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)])


def reverse_indices(words: Words) -> Words:
    """Move bit i of each word of 2^k bits to the place whose k index bits are those of i reversed.

    The low half of the result holds the even bits and the high half the odd ones, again in this order, so
    that neighbouring bits meet by halving. Delta swaps (Knuth, TAOCP 4A, 7.1.3).
    """
    bits = 8 * words.itemsize
    levels = bits.bit_length() - 1
    swaps = []
    for low in range(levels // 2):
        high = levels - 1 - low
        mask = sum(1 << i for i in range(bits) if i >> low & 1 and not i >> high & 1)
        swaps.append(((1 << high) - (1 << low), mask))
    return _swapped(words, swaps)


def _swapped(words: Words, swaps: list[tuple[int, int]]) -> Words:
    first, second, third = (
        (np.uint64(shift), np.uint64(mask)) for shift, mask in [*swaps, (0, 0), (0, 0)][:3]
    )
    out = np.empty_like(words)
    delta_swaps(words, (first, second, third), out)
    return out
