"""Dividing shared integers by a power of two, and fixed-point products.

Party 0 knows the mask r = r_0 + r_1 of a random sharing (r_0, r_1, 0); parties 1 and 2 open c = x + r, which
is uniform to each of them, since it lacks one of r_0 and r_1. For 0 ≤ x < 2^(k−1),

    ⌊x / 2^f⌋ = ⌊c' / 2^f⌋ − ⌊r' / 2^f⌋ + b·2^(k−1−f) − u,

with c' and r' the words without their top bits, b = c_top ⊕ r_top the borrow of their difference, and u the
borrow of their lowest f bits. b is exact, so no element is ever far off (Dalskov, Escudero, Keller, ePrint
2020/1330, 5; Escudero et al., ePrint 2020/338, 5.1). Signed x are shifted by 2^(k−2) before and back after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc.comparison import sign_of_summands
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import constant, multiply, reshare_pair
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import Arithmetic
from records.errors import InputError


def truncate_probabilistic(party: Party, x: Arithmetic, bits: int) -> Arithmetic:
    """Return x / 2^`bits`, rounded up with the probability of the remainder, else down: unbiased.

    For −2^(k−2) ≤ x < 2^(k−2). No party sees more than uniform words. Yet the rounding depends on r and c, of
    which parties know one each, so what is realised is the function that also leaks the coin in this way
    (Santos et al., ePrint 2024/1127): use `truncate_exact` for what is released. Two rounds.

    Raises:
        InputError: `bits` is outside [0, k − 2].
    """
    return _truncate(party, x, bits).rounded


def truncate_exact(party: Party, x: Arithmetic, bits: int) -> Arithmetic:
    """Return ⌊x / 2^`bits`⌋, for −2^(k−2) ≤ x < 2^(k−2): the borrow u is computed, and subtracted.

    Raises:
        InputError: `bits` is outside [0, k − 2].
    """
    truncated = _truncate(party, x, bits)
    borrow = sign_of_summands(party, truncated.low_summand)
    return truncated.rounded - bits_to_arithmetic(party, borrow, x.size, x.dtype).reshape(*x.shape)


def multiply_fixed(party: Party, x: Arithmetic, y: Arithmetic, fraction_bits: int) -> Arithmetic:
    """Return the product of numbers with f = `fraction_bits` after the point, off by less than 2^−f.

    The product before truncation must lie in [−2^(k−2), 2^(k−2)).

    Raises:
        InputError: the factors are of different rings, or `fraction_bits` is outside [0, k − 2].
    """
    return truncate_probabilistic(party, multiply(party, x, y), fraction_bits)


@dataclass(frozen=True, slots=True, repr=False)
class _Truncated:
    """The rounded quotient, and what this party knows of v + w, whose sign is the borrow u."""

    rounded: Arithmetic
    low_summand: Words


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    """`word` is r at party 0, c at parties 1 and 2; those hold the two parts of ⌊r' / 2^f⌋ and of r_top."""

    word: Words
    quotient: Words
    top: Words


def _truncate(party: Party, x: Arithmetic, bits: int) -> _Truncated:
    width = 8 * x.dtype.itemsize
    if not 0 <= bits <= width - 2:
        raise InputError(f"a column of {width} bits is truncated by 0 to {width - 2} bits")
    opened = _open_masked(party, x.flat() + constant(party, 1 << width - 2, (x.size,), x.dtype), bits)
    word = opened.word
    quotient, top = _quotient_and_top(word, bits)
    weight = width - 1 - bits
    sign = 1 - (top << 1)
    part = ((sign * opened.top) << weight) - opened.quotient
    if party.index == 1:
        part += quotient + (top << weight) - x.dtype.type(1 << width - 2 - bits)
    rounded = reshare_pair(party, Arithmetic, part, 0, "truncate").reshape(*x.shape)
    low = x.dtype.type((1 << bits) - 1)
    # c's lowest bits are below r's exactly where r + ¬c carries out of them: there the sign is put.
    lowest = (word if party.index == 0 else ~word) & low
    return _Truncated(rounded, lowest << weight)


def _open_masked(party: Party, x: Arithmetic, bits: int) -> _Opened:
    """Open c = x + r to parties 1 and 2, while party 0 deals them ⌊r' / 2^f⌋ and r_top: one round."""
    shape, dtype = x.shape, x.dtype
    step = "truncate"
    if party.index == 0:
        mask = party.stream(2, "random").words(shape, dtype) + party.stream(1, "random").words(shape, dtype)
        dealt = np.stack(_quotient_and_top(mask, bits))
        party.exchange(step, {1: dealt - party.stream(2, "input").words(dealt.shape, dtype)}, {})
        return _Opened(mask, dealt[0], dealt[1])
    peer = 3 - party.index
    lacking = (x.own if party.index == 1 else x.next) + party.stream(0, "random").words(shape, dtype)
    pair_shape = (2, *shape)
    receives = {peer: (shape, dtype)} | ({0: (pair_shape, dtype)} if party.index == 1 else {})
    received = party.exchange(step, {peer: lacking}, receives)
    parts = received[0] if party.index == 1 else party.stream(0, "input").words(pair_shape, dtype)
    both = x.next if party.index == 1 else x.own  # x_2
    return _Opened(lacking + both + received[peer], parts[0], parts[1])


def _quotient_and_top(words: Words, bits: int) -> tuple[Words, Words]:
    """Return ⌊w' / 2^f⌋ of the words without their top bits, and the top bits."""
    width = 8 * words.itemsize
    below_top = words.dtype.type((1 << width - 1) - 1)
    return (words & below_top) >> bits, words >> width - 1
