"""From shared bits to shared numbers, and what numbers 0 and 1 are good for: all, any, select."""

from __future__ import annotations

from mpc.bits import unpack
from mpc.multiplication import constant, multiply, multiply_summands, share_summands, summand
from mpc.party import Party
from mpc.sharing import Arithmetic, Boolean, concatenate


def bits_to_arithmetic(party: Party, packed: Boolean, count: int) -> Arithmetic:
    """Return `count` packed bits as shares of 0 and 1 in Z_2^64, shape (count,).

    b = p ⊕ q = p + q − 2pq, where party 0 knows p = b0 ⊕ b1 and parties 1 and 2 know q = b2: one input and
    one product that only two parties have terms of.
    """
    p, q = share_summands(party, Arithmetic, unpack(summand(party, packed), count))
    return p + q - multiply_summands(party, p, q) * 2


def negate(party: Party, bits: Arithmetic) -> Arithmetic:
    """Return 1 − b for shares of 0 and 1. No message."""
    return constant(party, 1, bits.shape) - bits


def all_of(party: Party, bits: Arithmetic) -> Arithmetic:
    """Return the AND of 0/1 shares (k, …) along the first axis, by a tree of products; 1 for k = 0.

    At least one further axis remains: the result has shape (…).
    """
    if bits.shape[0] == 0:
        return constant(party, 1, bits.shape[1:])
    while bits.shape[0] > 1:
        half = bits.shape[0] // 2
        product = multiply(party, bits[:half], bits[half : 2 * half])
        bits = concatenate([product, bits[2 * half :]])
    return bits[0]


def any_of(party: Party, bits: Arithmetic) -> Arithmetic:
    """Return the OR of 0/1 shares (k, …) along the first axis; 0 for k = 0."""
    return negate(party, all_of(party, negate(party, bits)))


def select(party: Party, bit: Arithmetic, if_one: Arithmetic, if_zero: Arithmetic) -> Arithmetic:
    """Return `if_one` where the bit is 1 and `if_zero` where it is 0; shapes broadcast as in NumPy."""
    return if_zero + multiply(party, bit, if_one - if_zero)
