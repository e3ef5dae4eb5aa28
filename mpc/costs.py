"""What each protocol costs: rounds, and bytes sent by all three parties together.

Functions of public sizes only, so that a quote can be made before data is touched and a bill tells
nothing (R13). Tests hold them equal to what the links count. Every function takes elements of Z_2^64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpc.groupby import batches

WORD_BYTES = 8
_DIGESTS_BYTES = 3 * 32


@dataclass(frozen=True, slots=True)
class Cost:
    """Rounds one after the other, and bytes on the wire, all parties together."""

    rounds: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.rounds + other.rounds, self.bytes + other.bytes)


FREE = Cost(0, 0)


def share_input(count: int) -> Cost:
    """Enter values of one party: one message."""
    return Cost(1, WORD_BYTES * count)


def reshare(count: int) -> Cost:
    """Turn additive parts into replicated shares: each party sends one word an element."""
    return Cost(1, 3 * WORD_BYTES * count)


def multiply(count: int) -> Cost:
    """Multiply element by element; `count` after broadcasting."""
    return reshare(count)


def matmul(rows: int, columns: int) -> Cost:
    """Multiply matrices: the inner dimension is free."""
    return reshare(rows * columns)


def open_to_parties(count: int) -> Cost:
    """Send each share once, and its digest by the other holder."""
    return Cost(1, 3 * WORD_BYTES * count + _DIGESTS_BYTES)


def open_to_buyer(count: int) -> Cost:
    """Refresh the shares; sealing and delivery are the caller's."""
    return reshare(count)


def bits_to_arithmetic(count: int) -> Cost:
    """Enter one word, and exchange two."""
    return Cost(2, 3 * WORD_BYTES * count)


def zero_bits(count: int) -> Cost:
    """One input, and an AND tree of widths 32, 16, 8 bits and 4, 2, 1 planes."""
    return Cost(7, (WORD_BYTES + 3 * (4 + 2 + 1)) * count + 3 * (4 + 2 + 1) * _packed(count))


def negative_bits(count: int) -> Cost:
    """One input, one product of two parties, and a carry tree whose last level keeps one plane of two."""
    words = WORD_BYTES + 2 * WORD_BYTES + 3 * 2 * (4 + 2 + 1)
    return Cost(8, words * count + 3 * (8 + 4 + 1) * _packed(count))


def equal_zero(count: int) -> Cost:
    """Compare with zero; `equal` costs the same."""
    return zero_bits(count) + bits_to_arithmetic(count)


def is_negative(count: int) -> Cost:
    """Take the sign; `at_least` costs the same."""
    return negative_bits(count) + bits_to_arithmetic(count)


def less_than(count: int) -> Cost:
    """Take three signs at once, padded to eight elements, and one AND of packed bits."""
    packed = _packed(count)
    return negative_bits(3 * 8 * packed) + Cost(1, 3 * packed) + bits_to_arithmetic(count)


def select(count: int) -> Cost:
    """One product."""
    return multiply(count)


def all_of(bits: int, count: int) -> Cost:
    """A tree of products over `bits` values for each of `count` results; `any_of` costs the same."""
    if bits == 0:
        return FREE
    return Cost((bits - 1).bit_length(), 3 * WORD_BYTES * (bits - 1) * count)


def shuffle(columns: int, count: int) -> Cost:
    """Permute `columns` columns of `count` rows together."""
    return FREE if columns == 0 else Cost(2, 4 * WORD_BYTES * columns * count)


def union_group_by(sizes: Sequence[int], measures: int) -> Cost:
    """Group blocks of the given lengths: pairs by batches, everything else linear in the rows."""
    rows = sum(sizes)
    cost = multiply(rows * (1 + measures))
    for batch in batches(sizes):
        cost += equal_zero(sum(tile.pairs for tile in batch))
    return cost + reshare(rows * (len(sizes) + measures + 1)) + equal_zero(rows) + multiply(rows)


def _packed(count: int) -> int:
    return -(-count // 8)
