"""What a party computes on its own in a round: additive parts, masked, into the words that it sends.

Every kernel fills its last argument, from contiguous runs of the same length (n,). `plus` and `minus` are
the two sides of a sharing of zero. A party holds two shares of each operand, its own and the next one;
where there is one operand they are `own` and `following`.

What stands here is NumPy; long runs go to the functions of the same name in `mpc/compiled.py`.

A state of the carry tree is one word an element: the low half holds generate bits G, the high half propagate
bits P. A level meets the lower with the higher half of each: (G, P) ← (G_h ⊕ P_h·G_l, P_h·P_l).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from mpc.acceleration import accelerated
from mpc.prg import Words

Swap: TypeAlias = tuple[np.uint64, np.uint64]
Swaps: TypeAlias = tuple[Swap, Swap, Swap]
"""(shift, mask) of three delta swaps; a mask of 0 swaps nothing."""

Terms: TypeAlias = Callable[[Words, Words, Words, Words, Words], None]
"""(own, following, plus, minus, out): a level of a tree."""


@accelerated
def product_terms(
    x_own: Words, x_next: Words, y_own: Words, y_next: Words, plus: Words, minus: Words, out: Words
) -> None:
    """Write x_i(y_i + y_{i+1}) + x_{i+1}y_i + plus − minus (Araki et al., 3.1)."""
    np.add(y_own, y_next, out=out)
    np.multiply(out, x_own, out=out)
    np.add(out, x_next * y_own, out=out)
    np.add(out, plus, out=out)
    np.subtract(out, minus, out=out)


@accelerated
def and_terms(
    x_own: Words, x_next: Words, y_own: Words, y_next: Words, plus: Words, minus: Words, out: Words
) -> None:
    """Write the same over bits: + and − are XOR, the product is AND."""
    np.bitwise_xor(y_own, y_next, out=out)
    np.bitwise_and(out, x_own, out=out)
    np.bitwise_xor(out, x_next & y_own, out=out)
    np.bitwise_xor(out, plus, out=out)
    np.bitwise_xor(out, minus, out=out)


@accelerated
def pair_and_terms(own: Words, following: Words, minus: Words, out: Words) -> None:
    """Write the terms of v·w that parties 1 and 2 have: v − F(k_0) or F(k_0), times w, over bits."""
    np.bitwise_and(own, following, out=out)
    np.bitwise_xor(out, minus, out=out)


@accelerated
def bit_terms(entered: Words, q: Words, one: int, minus: Words, out: Words) -> None:
    """Write entered·(1 − 2q) + `one`·q − minus: the part that party 1 (`one` = 1) or 2 (0) has of p ⊕ q."""
    np.multiply(q, 2, out=out)
    np.subtract(1, out, out=out)
    np.multiply(out, entered, out=out)
    np.add(out, q * q.dtype.type(one), out=out)
    np.subtract(out, minus, out=out)


@accelerated
def fold_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    """Write the terms of the AND of the low and the high half of each word; `out` has half the width."""
    shift = 8 * out.itemsize
    high = _low(own >> shift, out), _low(following >> shift, out)
    and_terms(high[0], high[1], _low(own, out), _low(following, out), plus, minus, out)


@accelerated
def first_carry_terms(
    g_own: Words,
    g_next: Words,
    p_own: Words,
    p_next: Words,
    one: int,
    plus: Words,
    minus: Words,
    out: Words,
) -> None:
    """Write the terms of the first level, of words G and P that are not yet halves of one.

    The top position passes the carry that reaches it on as the sign: there G becomes P, and P becomes 1.
    Of this 1, `own` holds the low bit of `one` and `next` the second.
    """
    bits = 8 * out.itemsize
    top = out.dtype.type(1 << bits - 1)
    own, following = (out.dtype.type((one >> k & 1) << bits - 1) for k in (0, 1))
    _meet(
        ((g_own & ~top) | (p_own & top), (p_own & ~top) | own),
        ((g_next & ~top) | (p_next & top), (p_next & ~top) | following),
        plus,
        minus,
        out,
    )


@accelerated
def carry_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    """Write the terms of a level: states of half the width of the given ones."""
    shift = 8 * out.itemsize
    _meet(
        (_low(own, out), _low(own >> shift, out)),
        (_low(following, out), _low(following >> shift, out)),
        plus,
        minus,
        out,
    )


@accelerated
def last_carry_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    """Write the terms of the last level, of which nobody needs P; `out` has a quarter of the width."""
    shift = 8 * out.itemsize
    p_high = _low(own >> 3 * shift, out), _low(following >> 3 * shift, out)
    and_terms(p_high[0], p_high[1], _low(own, out), _low(following, out), plus, minus, out)
    np.bitwise_xor(out, _low(own >> shift, out), out=out)


@accelerated
def prefix_terms(
    g_own: Words,
    g_next: Words,
    p_own: Words,
    p_next: Words,
    distance: int,
    plus: Words,
    minus: Words,
    out: Words,
) -> None:
    """Write the terms of P_i·P_j (i in the upper half of a block, j last of its lower half) and, a distance
    lower, of P_i·G_j; a narrower `out` drops the former.
    """
    ones, lower = _blocks(distance, p_own)
    spread = p_own.dtype.type(((1 << distance) - 1) << distance)
    left = [(p & ~lower) | ((p & ~lower) >> distance) for p in (p_own, p_next)]
    own, following = (
        (((p >> distance - 1) & ones) * spread) | ((((g >> distance - 1) & ones) * spread) >> distance)
        for g, p in ((g_own, p_own), (g_next, p_next))
    )
    np.bitwise_xor(_low((left[0] & (own ^ following)) ^ (left[1] & own), out), plus, out=out)
    np.bitwise_xor(out, minus, out=out)


@accelerated
def prefix_update(products: Words, distance: int, generate: Words, propagate: Words) -> None:
    """Take one share of the products of `prefix_terms` into that of G and of P, in place."""
    _, lower = _blocks(distance, propagate)
    wide = products.astype(propagate.dtype, copy=False)
    np.bitwise_xor(generate, (wide & lower) << distance, out=generate)
    np.bitwise_or(propagate & lower, wide & ~lower, out=propagate)


@accelerated
def delta_swaps(words: Words, swaps: Swaps, out: Words) -> None:
    """Write the words after three delta swaps: each swaps the bits of a mask with those `shift` higher."""
    out[:] = words
    for shift, mask in swaps:
        differing = (out ^ (out >> out.dtype.type(shift))) & out.dtype.type(mask)
        np.bitwise_xor(out, differing, out=out)
        np.bitwise_xor(out, differing << out.dtype.type(shift), out=out)


def _meet(
    own: tuple[Words, Words], following: tuple[Words, Words], plus: Words, minus: Words, out: Words
) -> None:
    """Write (G_h ⊕ P_h·G_l, P_h·P_l) as one word, from (G, P) of its width."""
    half = 4 * out.itemsize
    low = out.dtype.type((1 << half) - 1)
    left = [(p >> half) | (p & ~low) for _, p in (own, following)]
    right = [(g & low) | (p << half) for g, p in (own, following)]
    and_terms(left[0], left[1], right[0], right[1], plus, minus, out)
    np.bitwise_xor(out, own[0] >> half, out=out)


def _blocks(distance: int, like: Words) -> tuple[np.unsignedinteger[Any], np.unsignedinteger[Any]]:
    """Return the masks of the first position, and of the lower half, of every block of 2·distance bits."""
    ones = sum(1 << i for i in range(0, 8 * like.itemsize, 2 * distance))
    return like.dtype.type(ones), like.dtype.type(ones * ((1 << distance) - 1))


def _low(words: Words, like: Words) -> Words:
    """Return the low bits that fit into a word of another array."""
    low: Words = words.astype(like.dtype)
    return low
