"""What noise inside the protocol costs; see `mpc/costs.py`. Functions of the law and the count alone."""

from __future__ import annotations

from fractions import Fraction

from mpc.costs import WORD_BYTES, Cost, bits_to_arithmetic, multiply, reshare
from mpc.noise.laws import gaussian_law, laplace_law


def below(words: int, coins: int) -> Cost:
    """Compare `words` shared words of 64 bits with public thresholds, `coins` comparisons in all."""
    cost = reshare(words, 4)  # neighbouring bits of a word, whatever the thresholds
    cost += reshare(2 * coins, 2) + reshare(2 * coins, 1)
    packed = -(-coins // 8)
    return cost + reshare(2 * packed, 4) + reshare(2 * packed, 2) + reshare(packed, 1)


def discrete_laplace(count: int, scale: Fraction, word_bytes: int = WORD_BYTES) -> Cost:
    """Toss two coins for each binary digit of a value."""
    coins = 2 * len(laplace_law(scale).thresholds) * count
    return below(coins, coins) + bits_to_arithmetic(coins, word_bytes)


def discrete_gaussian(count: int, sigma: Fraction, word_bytes: int = WORD_BYTES) -> Cost:
    """Invert the tails for every base value, padded to eight; turn its digits into numbers; give signs."""
    law = gaussian_law(sigma)
    words = -(-len(law.weights) * count // 8) * 8
    digits = len(law.thresholds).bit_length()
    signed = bits_to_arithmetic((digits + 1) * words, word_bytes) + multiply(words, word_bytes)
    return below(words, len(law.thresholds) * words) + signed
