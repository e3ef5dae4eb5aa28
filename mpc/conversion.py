"""From shared bits to shared numbers, and what numbers 0 and 1 are good for: all, any, select."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpc import kernels
from mpc.adder import add_bits, add_summands
from mpc.bits import unpack
from mpc.multiplication import constant, join_summands, multiply, reshare_pair_runs, share_words, summand
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import WORD, Arithmetic, Boolean, concatenate, stack
from records.errors import InputError


def bits_to_arithmetic(party: Party, packed: Boolean, count: int, dtype: np.dtype[Any] = WORD) -> Arithmetic:
    """Return `count` packed bits as shares of 0 and 1, shape (count,).

    b = p ⊕ q = p(1 − 2q) + q, where party 0 knows p = b0 ⊕ b1 and parties 1 and 2 know q = b2. Party 0
    enters p as F(k_0) + (p − F(k_0)); party 1 knows one term of it, party 2 the other, and q.
    """
    joined = join_summands(party, Arithmetic, unpack(summand(party, packed), count, dtype))
    entered, q = (joined.own, joined.next) if party.index == 1 else (joined.next, joined.own)

    def compute(run: slice, minus: Words, out: Words) -> None:
        kernels.bit_terms(entered[run], q[run], int(party.index == 1), minus, out)

    return reshare_pair_runs(party, Arithmetic, count, dtype, compute, 0, "bits to numbers")


def arithmetic_to_bits(party: Party, x: Arithmetic) -> Boolean:
    """Return the bits of shared integers as shared words of the same width and shape, in two's complement.

    v = x0 + x1, which party 0 knows, and w = x2, which parties 1 and 2 know, are added bit by bit.
    """
    propagate = join_summands(party, Boolean, summand(party, x.flat()))
    return add_summands(party, propagate).reshape(*x.shape)


def words_to_arithmetic(party: Party, x: Boolean) -> Arithmetic:
    """Return shared words of k bits as shared integers modulo 2^k, of the same shape.

    y_0 = F(k_0) and y_1 = F(k_1) are drawn; party 0, which knows both, enters −(y_0 + y_1) in bits; the bits
    of y_2 = x − y_0 − y_1 are opened to parties 1 and 2, its holders, to whom they are uniform.
    """
    flat = x.flat()
    shape, dtype = flat.shape, flat.dtype
    known = None
    drawn = party.stream(1 if party.index == 0 else 0, "reshare").words(shape, dtype)
    if party.index == 0:
        first = party.stream(2, "reshare").words(shape, dtype)
        known = np.negative(first + drawn)
    total = add_bits(party, flat, share_words(party, Boolean, known, 0, shape, dtype))
    step = "words to numbers"
    if party.index == 0:
        party.exchange(step, {}, {})
        return Arithmetic(first, drawn).reshape(*x.shape)
    peer = 3 - party.index
    lacking = total.own if party.index == 1 else total.next  # what the peer lacks: s_1 or s_0
    missing = party.exchange(step, {peer: lacking}, {peer: (shape, dtype)})[peer]
    rest: Words = total.own ^ total.next ^ missing
    own, following = (drawn, rest) if party.index == 1 else (rest, drawn)
    return Arithmetic(own, following).reshape(*x.shape)


def negate(party: Party, bits: Arithmetic) -> Arithmetic:
    """Return 1 − b for shares of 0 and 1. No message."""
    return constant(party, 1, bits.shape, bits.dtype) - bits


def all_of(party: Party, bits: Arithmetic) -> Arithmetic:
    """Return the AND of 0/1 shares (k, …) along the first axis, by a tree of products; 1 for k = 0.

    At least one further axis remains: the result has shape (…).
    """
    if bits.shape[0] == 0:
        return constant(party, 1, bits.shape[1:], bits.dtype)
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
    return if_zero + multiply(party, bit, if_one - if_zero, "select")


def select_columns(
    party: Party, bit: Arithmetic, if_one: Sequence[Arithmetic], if_zero: Sequence[Arithmetic]
) -> tuple[Arithmetic, ...]:
    """Select between two columns of the bit's shape several times by one bit, in one round.

    Raises:
        InputError: the two sides are not of one length, or empty.
    """
    if len(if_one) != len(if_zero) or not if_one:
        raise InputError("a selection takes as many columns for one as for zero, and at least one")
    chosen = select(party, bit.reshape(1, *bit.shape), stack(if_one), stack(if_zero))
    return tuple(chosen[k] for k in range(len(if_one)))
