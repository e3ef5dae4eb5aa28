"""Comparing shared integers of Z_2^64, read as signed: sign, order, equality.

A shared x is the sum of v = x0 + x1, which party 0 knows, and w = x2, which parties 1 and 2 know. The sign
is the top bit of v + w: the carry out of the lower 63 bits by a tree of generate/propagate pairs. x is
zero if v and −w agree in every bit: a tree of ANDs. Both trees have six levels, by halving words.
Results are shares of 0 and 1 in Z_2^64.
"""

from __future__ import annotations

import numpy as np

from mpc.bits import halve, pack, reverse_indices
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import and_, constant, multiply_summands, public, share_summands, summand
from mpc.party import Party
from mpc.sharing import WORD, Arithmetic, Boolean, concatenate
from records.errors import InputError

_LEVELS = 6  # 2^6 bits a word


def is_negative(party: Party, x: Arithmetic) -> Arithmetic:
    """Return 1 where x < 0, for every x.

    As `is_negative(x − y)` it compares at a third of the cost of `less_than`, but only where x − y does
    not leave the signed range.
    """
    return _as_numbers(party, negative_bits(party, x.reshape(x.size)), x)


def less_than(party: Party, x: Arithmetic, y: Arithmetic) -> Arithmetic:
    """Return 1 where x < y, over the whole signed range: where the signs differ, x's sign decides."""
    flat_x, flat_y = x.reshape(x.size), y.reshape(y.size)
    padded = -(-x.size // 8)
    signs = [_padded(part) for part in (flat_x, flat_y, flat_x - flat_y)]
    packed = negative_bits(party, concatenate(signs))
    sign_x, sign_y, sign_difference = (packed[i * padded : (i + 1) * padded] for i in range(3))
    overflow_free = and_(party, sign_x ^ sign_y, sign_x ^ sign_difference)
    return _as_numbers(party, sign_difference ^ overflow_free, x)


def at_least(party: Party, x: Arithmetic, threshold: int) -> Arithmetic:
    """Return 1 where x ≥ `threshold`, for x in [0, 2^63): counts and sums of counts.

    Raises:
        InputError: the threshold is outside [0, 2^63).
    """
    if not 0 <= threshold < 1 << 63:
        raise InputError("a public threshold lies in [0, 2^63)")
    below = is_negative(party, x - constant(party, threshold, x.shape))
    return constant(party, 1, x.shape) - below


def equal_zero(party: Party, x: Arithmetic) -> Arithmetic:
    """Return 1 where x = 0."""
    return _as_numbers(party, zero_bits(party, x.reshape(x.size)), x)


def equal(party: Party, x: Arithmetic, y: Arithmetic) -> Arithmetic:
    """Return 1 where x = y."""
    return equal_zero(party, x - y)


def zero_bits(party: Party, x: Arithmetic) -> Boolean:
    """Return the bits (x = 0) of a column (n,), packed: shape (⌈n/8⌉,)."""
    known = summand(party, x)
    v, w = share_summands(party, Boolean, known if party.index == 0 else np.negative(known))
    agreeing = v ^ w ^ public(party, Boolean, np.full(x.shape, ~np.uint64(0)))
    for _ in range(_LEVELS):
        low, high = halve(agreeing)
        agreeing = and_(party, low, high)
    return agreeing[0]


def negative_bits(party: Party, x: Arithmetic) -> Boolean:
    """Return the bits (x < 0) of a column (n,), packed: shape (⌈n/8⌉,).

    v and w are shifted left by one, so that the carry out of 64 bits is the one into the sign. Their bits
    are laid out so that neighbours meet by halving; a level maps (G, P) to (G_h ⊕ P_h·G_l, P_h·P_l).
    """
    v, w = share_summands(party, Boolean, summand(party, x))
    top = (v ^ w).map(lambda words: pack(words >> np.uint64(63)))
    v, w = (part.map(lambda words: reverse_indices(words << np.uint64(1))) for part in (v, w))
    generate, propagate = multiply_summands(party, v, w), v ^ w
    for level in range(_LEVELS):
        generate_low, generate_high = halve(generate)
        propagate_low, propagate_high = halve(propagate)
        if level == _LEVELS - 1:  # nobody asks for the last P
            generate = generate_high ^ and_(party, propagate_high, generate_low)
            continue
        both = and_(
            party,
            concatenate([propagate_high, propagate_high]),
            concatenate([generate_low, propagate_low]),
        )
        half = propagate_high.shape[0]
        generate, propagate = generate_high ^ both[:half], both[half:]
    return generate[0] ^ top


def _as_numbers(party: Party, packed: Boolean, like: Arithmetic) -> Arithmetic:
    return bits_to_arithmetic(party, packed, like.size).reshape(*like.shape)


def _padded(x: Arithmetic) -> Arithmetic:
    """Append zeros up to a multiple of 8 elements, so that packed columns can be cut apart."""
    return x.map(lambda words: np.concatenate([words, np.zeros(-words.size % 8, dtype=WORD)]))
