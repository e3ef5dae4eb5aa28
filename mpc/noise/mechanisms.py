"""Noise that no party knows, drawn inside the protocol: discrete Laplace and discrete Gaussian.

Every coin is a word of shared randomness, compared in shares with a public threshold; the sums of coins are
shares of the noise, to be added before opening. Rounds, bytes and draws depend on the law and the count
alone. Laws and their distance from the exact ones: `mpc/noise/laws.py`; costs: `mpc/noise/costs.py`.

All three parties run each function; no party learns anything. One that deviates can change the noise
unseen, or take it away (R24).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mpc.bits import planes, reverse_indices
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import multiply, public
from mpc.noise.laws import gaussian_law, laplace_law
from mpc.party import Party
from mpc.prg import Shape, Words
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean, concatenate
from records.errors import InputError

_LEVELS = 5  # 2^5 pairs of bits a word


def discrete_laplace(party: Party, shape: Shape, scale: Fraction, dtype: np.dtype[Any] = WORD) -> Arithmetic:
    """Return shares of independent discrete Laplace noise, P(x) ∝ e^(−|x|/scale), in units of 1.

    `scale` is sensitivity over ε. Each value is within `laplace_distance(scale, 1)` of the exact law.

    Raises:
        InputError: the scale is not positive, or too large for the word.
    """
    law = laplace_law(scale)
    _require_room(law.largest, dtype)
    digits, count = len(law.thresholds), int(np.prod(shape))
    thresholds = np.array(law.thresholds, dtype=WORD).reshape(1, digits, 1)
    words = party.random_sharing(Boolean, (2, digits, count))
    coins = bits_to_arithmetic(party, below(party, words, thresholds), 2 * digits * count, dtype)
    first, second = coins.reshape(2, digits, count)[0], coins.reshape(2, digits, count)[1]
    return _weighted(first - second, [1 << i for i in range(digits)]).reshape(*shape)


def discrete_gaussian(party: Party, shape: Shape, sigma: Fraction, dtype: np.dtype[Any] = WORD) -> Arithmetic:
    """Return shares of independent discrete Gaussian noise, P(x) ∝ e^(−x²/2σ²), in units of 1.

    Each value is within `gaussian_distance(sigma, 1)` of the exact law. By inverted tails and convolution
    rather than by rejection: a fixed number of trials would fail with some probability that has to be
    accounted, and an accept bit of secret probability needs exponentials in shares.

    Raises:
        InputError: σ is not positive, or too large for the word.
    """
    law = gaussian_law(sigma)
    _require_room(law.largest, dtype)
    leaves, count = len(law.weights), int(np.prod(shape))
    padded = -(-leaves * count // 8) * 8  # so that every threshold fills whole bytes of packed bits
    thresholds = np.array(law.thresholds, dtype=WORD).reshape(-1, 1)
    reached = below(party, party.random_sharing(Boolean, (padded,)), thresholds)
    sign = party.random_sharing(Boolean, (padded // 8,), BYTE)
    digits = _binary_digits(reached.reshape(len(law.thresholds), padded // 8))
    packed = concatenate([*digits, sign])
    numbers = bits_to_arithmetic(party, packed, 8 * packed.size, dtype).reshape(len(digits) + 1, padded)
    magnitude = _weighted(numbers[:-1], [1 << i for i in range(len(digits))])
    base = magnitude - multiply(party, magnitude, numbers[-1]) * 2
    return _weighted(base[: leaves * count].reshape(leaves, count), law.weights).reshape(*shape)


def below(party: Party, words: Boolean, thresholds: Words) -> Boolean:
    """Return the bits (word < threshold) for shared 64-bit words and public thresholds, packed.

    Shapes broadcast; the packed bits follow the result in C order, and those after the last are unspecified.

    A carry tree of pairs g = ¬w·t and p = ¬(w ⊕ t), that maps neighbours to (g_h ⊕ p_h·g_l, p_h·p_l). Since
    t is public, g = t·¬p: on the first level one product of the neighbouring bits of each word serves both
    halves of every pair, and all thresholds that the word is compared with.
    """
    neighbours = words.flat().map(reverse_indices).reshape(*words.shape)  # they meet by halving
    low, high = _halves(neighbours)
    product = multiply(party, high, low)
    t_low, t_high = _narrowed(reverse_indices(thresholds.reshape(-1)).reshape(thresholds.shape))
    propagate_high = _plus(party, high, ~t_high)
    propagate = _plus(party, product ^ (high & ~t_low) ^ (low & ~t_high), ~t_high & ~t_low)
    generate = _plus(party, propagate_high & t_high, t_high) ^ ((propagate_high ^ propagate) & t_low)
    generate, propagate = (part.reshape(part.size) for part in (generate, propagate))
    for level in range(_LEVELS):
        if generate.dtype == BYTE:
            generate, propagate = generate.map(planes), propagate.map(planes)
        generate_low, generate_high = _halves(generate)
        propagate_low, propagate_high = _halves(propagate)
        if level == _LEVELS - 1:  # nobody asks for the last p
            generate = generate_high ^ multiply(party, propagate_high, generate_low)
            continue
        both = multiply(
            party,
            concatenate([propagate_high, propagate_high]),
            concatenate([generate_low, propagate_low]),
        )
        half = propagate_high.size
        generate, propagate = generate_high ^ both[:half], both[half:]
    return generate


def _plus(party: Party, x: Boolean, constants: Words) -> Boolean:
    return x ^ public(
        party, Boolean, np.broadcast_to(constants, np.broadcast_shapes(x.shape, constants.shape))
    )


def _halves(x: Boolean) -> tuple[Boolean, Boolean]:
    (own_low, own_high), (next_low, next_high) = _narrowed(x.own), _narrowed(x.next)
    return Boolean(own_low, next_low), Boolean(own_high, next_high)


def _narrowed(words: Words) -> tuple[Words, Words]:
    """Return the low and the high half of the bits of each word."""
    halves = np.ascontiguousarray(words).view(f"u{words.itemsize // 2}")
    return halves[..., 0::2], halves[..., 1::2]


def _weighted(x: Arithmetic, weights: Sequence[int]) -> Arithmetic:
    """Return the sum of the rows (k, n) of x, each times its public weight."""
    return (x * np.array(weights, dtype=WORD).reshape(-1, 1)).sum(axis=0)


def _binary_digits(reached: Boolean) -> list[Boolean]:
    """Return the binary digits of how many rows k = 1, 2, … are 1, where each row implies those before it.

    Digit j is the parity of ⌊count/2^j⌋, which is how many of the rows 2^j, 2·2^j, … are 1. No message.
    """
    rows = reached.shape[0]
    return [
        reached[(1 << j) - 1 :: 1 << j].map(lambda words: np.bitwise_xor.reduce(words, axis=0))
        for j in range(rows.bit_length())
    ]


def _require_room(largest: int, dtype: np.dtype[Any]) -> None:
    if largest >= 1 << 8 * dtype.itemsize - 1:
        raise InputError(f"the noise leaves the signed range of {8 * dtype.itemsize} bits; use wider words")
