"""What each protocol costs: rounds, and bytes sent by all three parties together.

Functions of public sizes only, so that a quote can be made before data is touched and a bill tells
nothing (R13). Tests hold them equal to what the links count. `word_bytes` is the width of the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpc.comparison import BATCH
from mpc.division import digits

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


def share_input(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Enter values of one party: one message."""
    return Cost(1, word_bytes * count)


def reshare(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Turn additive parts into replicated shares: each party sends one word an element."""
    return Cost(1, 3 * word_bytes * count)


def reshare_pair(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Turn the additive parts of two parties into replicated shares."""
    return Cost(1, 2 * word_bytes * count)


def multiply(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Multiply element by element; `count` after broadcasting. `select` costs the same."""
    return reshare(count, word_bytes)


def dot(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Take `count` inner products of any length."""
    return reshare(count, word_bytes)


def matmul(rows: int, columns: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Multiply matrices: the inner dimension is free."""
    return reshare(rows * columns, word_bytes)


def open_to_parties(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Send each share once, and its digest by the other holder."""
    return Cost(1, 3 * word_bytes * count + _DIGESTS_BYTES)


def open_to_buyer(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Refresh the shares; sealing and delivery are the caller's."""
    return reshare(count, word_bytes)


def bits_to_arithmetic(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Enter one word, and exchange two."""
    return share_input(count, word_bytes) + reshare_pair(count, word_bytes)


def add_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One AND of whole words, and the prefix tree."""
    return reshare(count, word_bytes) + _prefix_tree(count, word_bytes)


def arithmetic_to_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One input, one product of two parties, and the prefix tree."""
    leaves = share_input(count, word_bytes) + reshare_pair(count, word_bytes)
    return leaves + _prefix_tree(count, word_bytes)


def words_to_arithmetic(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One input, one sum of bits, and its opening to two parties."""
    return share_input(count, word_bytes) + add_bits(count, word_bytes) + Cost(1, 2 * word_bytes * count)


def zero_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One input, and an AND tree that halves words to bytes, then eight planes to one."""
    return _in_batches(count, lambda batch: share_input(batch, word_bytes) + _halving(batch, word_bytes, 1))


def all_ones_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """An AND tree that halves words to bytes, then eight planes to one."""
    return _halving(count, word_bytes, 1)


def sign_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """A carry tree from whole words to one plane."""
    return reshare(count, word_bytes) + _halving(count, word_bytes, 4) + reshare(_packed(count), 1)


def negative_bits(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One input, one product of two parties, and a carry tree from whole words to one plane."""

    def tree(batch: int) -> Cost:
        leaves = share_input(batch, word_bytes) + reshare_pair(batch, word_bytes)
        return leaves + sign_bits(batch, word_bytes)

    return _in_batches(count, tree)


def less_than_bits(count: int, word_bytes: int = WORD_BYTES, *, full_range: bool = True) -> Cost:
    """One sign, or three padded to eight elements and one AND of packed bits."""
    if not full_range:
        return negative_bits(count, word_bytes)
    packed = _packed(count)
    return negative_bits(3 * 8 * packed, word_bytes) + reshare(packed, 1)


def equal_zero(count: int, word_bytes: int = WORD_BYTES, result_bytes: int | None = None) -> Cost:
    """Compare with zero; `equal` costs the same."""
    return zero_bits(count, word_bytes) + bits_to_arithmetic(count, result_bytes or word_bytes)


def is_negative(count: int, word_bytes: int = WORD_BYTES, result_bytes: int | None = None) -> Cost:
    """Take the sign; `at_least` costs the same."""
    return negative_bits(count, word_bytes) + bits_to_arithmetic(count, result_bytes or word_bytes)


def less_than(
    count: int, word_bytes: int = WORD_BYTES, result_bytes: int | None = None, *, full_range: bool = True
) -> Cost:
    """Compare two columns."""
    bits = less_than_bits(count, word_bytes, full_range=full_range)
    return bits + bits_to_arithmetic(count, result_bytes or word_bytes)


def select(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One product; `select_columns` of m columns counts m times as many elements."""
    return multiply(count, word_bytes)


def maximum(count: int, word_bytes: int = WORD_BYTES, *, full_range: bool = True) -> Cost:
    """One comparison and one selection; `minimum` costs the same."""
    return less_than(count, word_bytes, full_range=full_range) + select(count, word_bytes)


def largest(length: int, count: int, word_bytes: int = WORD_BYTES, *, full_range: bool = True) -> Cost:
    """A tournament of `length` values for each of `count` results; `smallest` costs the same."""
    cost = FREE
    while length > 1:
        cost += maximum(length // 2 * count, word_bytes, full_range=full_range)
        length -= length // 2
    return cost


def truncate_probabilistic(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """Two words dealt and two opened in one round, then one product of two parties."""
    return Cost(1, 4 * word_bytes * count) + reshare_pair(count, word_bytes)


def truncate_exact(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """The borrow of the lowest bits besides."""
    return truncate_probabilistic(count, word_bytes) + is_negative(count, word_bytes)


def multiply_fixed(count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """One product and its truncation."""
    return multiply(count, word_bytes) + truncate_probabilistic(count, word_bytes)


def divide(count: int, quotient_bits: int, word_bytes: int = WORD_BYTES) -> Cost:
    """For each hexadecimal digit fifteen comparisons at once and one product."""
    cost = FREE
    for digit_bits in digits(quotient_bits):
        cost += is_negative(((1 << digit_bits) - 1) * count, word_bytes) + multiply(count, word_bytes)
    return cost


def all_of(bits: int, count: int, word_bytes: int = WORD_BYTES) -> Cost:
    """A tree of products over `bits` values for each of `count` results; `any_of` costs the same."""
    if bits == 0:
        return FREE
    return Cost((bits - 1).bit_length(), 3 * word_bytes * (bits - 1) * count)


def _halving(count: int, word_bytes: int, last_planes: int) -> Cost:
    """Halve words to bytes, one level each; then eight planes to `last_planes`."""
    cost = FREE
    while word_bytes > 1:
        word_bytes //= 2
        cost += reshare(count, word_bytes)
    planes = 8
    while planes > last_planes:
        planes //= 2
        cost += reshare(_packed(count), planes)
    return cost


def _prefix_tree(count: int, word_bytes: int) -> Cost:
    """One level for each bit of an index; the last needs half a word, or a whole byte."""
    levels = (8 * word_bytes).bit_length() - 1
    cost = reshare(count, max(1, word_bytes // 2))
    for _ in range(levels - 1):
        cost += reshare(count, word_bytes)
    return cost


def _in_batches(count: int, tree: Callable[[int], Cost]) -> Cost:
    cost = tree(min(count, BATCH))
    for start in range(BATCH, count, BATCH):
        cost += tree(min(count - start, BATCH))
    return cost


def _packed(count: int) -> int:
    return -(-count // 8)
