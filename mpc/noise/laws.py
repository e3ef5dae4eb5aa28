"""The laws of the noise that is drawn inside the protocol: coins with public thresholds, and the distance.

A coin of probability p compares a word uniform below 2^64 with the threshold round(2^64·p). The laws that
come out are not the exact ones: each has a `distance`, an upper bound of the total variation between one
value of noise and the exact law. A release of m values that is (ε, δ) private under the exact law is
(ε, δ + (1 + e^ε)·m·distance) private under this one; `docs/mpc-noise.md` derives it.

Pure: fractions and decimals of 80 digits, never a float. The decimal error, below 10^−70, is less than
what the bounds leave over: a threshold is within 2^−65 of its probability, and 2^−64 is accounted.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from math import isqrt

from records.errors import InputError

COIN_BITS = 64
COIN_ERROR = Fraction(1, 1 << COIN_BITS)
"""Bounds what rounding changes of a coin's probability, and the mass of a cut tail."""

_TAIL_EXPONENT = Fraction(222, 5)  # above 64·ln 2 = 44.36…: e^−44.4 < 2^−64
_DECIMAL = Context(prec=80, rounding=ROUND_HALF_EVEN)
_SMOOTH = Fraction(64, 25)  # 1.6²
_MERGE_ERROR = Fraction(1, 1 << 71)  # above e/(1 − e) for e = 2e^(−2π²·1.6²)(1 + 10^−60) = 2.3·10^−22


@dataclass(frozen=True, slots=True)
class LaplaceLaw:
    """Discrete Laplace: P(x) ∝ e^(−|x|/s), as X − X′ of two geometric variables, by their binary digits.

    The digits of P(X = k) ∝ α^k, α = e^(−1/s), are independent; digit i is 1 with probability
    α^(2^i)/(1 + α^(2^i)). `thresholds[i]` is the coin of digit i; digits from 2^len on, of probability
    α^(2^len) ≤ 2^−64 in all, are left out.
    """

    thresholds: tuple[int, ...]

    @property
    def largest(self) -> int:
        """The largest |x| that can come out."""
        return (1 << len(self.thresholds)) - 1

    @property
    def distance(self) -> Fraction:
        """Bound the total variation from the exact law: twice all coins and one cut tail."""
        return 2 * (len(self.thresholds) + 1) * COIN_ERROR


@dataclass(frozen=True, slots=True)
class GaussianLaw:
    """Discrete Gaussian: P(x) ∝ e^(−x²/2σ²) (Canonne, Kamath and Steinke, 2020), by inverted tails.

    One base value has |x| ≥ k where a word lies below `thresholds[k − 1]`, and a fair sign. A larger σ is
    a sum x + k·x′ of two independent values of deviation τ, with σ² = (1 + k²)τ²: P(y) is ∝ e^(−y²/2σ²)
    times the mass that a Gaussian of deviation τ/√(1 + k²) ≥ 1.6, anywhere centred, has on the integers,
    which by Poisson summation is constant up to a factor within 1 ± e, e < 2.3·10^−22 (the convolution of
    Micciancio and Walter, CRYPTO 2017). `steps` lists the k from the base up.
    """

    thresholds: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def weights(self) -> tuple[int, ...]:
        """What each of the 2^len(steps) base values is multiplied by before they are summed."""
        weights: tuple[int, ...] = (1,)
        for step in self.steps:
            weights = (*weights, *(step * weight for weight in weights))
        return weights

    @property
    def largest(self) -> int:
        """The largest |x| that can come out."""
        return len(self.thresholds) * sum(self.weights)

    @property
    def distance(self) -> Fraction:
        """Bound the total variation from the exact law: every base value, and every merge above it."""
        distance = (len(self.thresholds) + 1) * COIN_ERROR
        for _ in self.steps:
            distance = 2 * distance + _MERGE_ERROR
        return distance


@lru_cache(maxsize=256)
def laplace_law(scale: Fraction) -> LaplaceLaw:
    """Return the law of scale s = Δ/ε.

    Raises:
        InputError: the scale is not positive, or so large that the noise leaves the signed 64-bit range.
    """
    if scale <= 0:
        raise InputError("the scale of Laplace noise is positive")
    digits = max(1, _ceiling_log2(_TAIL_EXPONENT * scale))
    if digits > COIN_BITS - 2:
        raise InputError("the scale of Laplace noise is too large for numbers of 64 bits")
    return LaplaceLaw(tuple(_threshold(_odds(_exponential(-(1 << i) / scale))) for i in range(digits)))


@lru_cache(maxsize=256)
def gaussian_law(sigma: Fraction) -> GaussianLaw:
    """Return the law of parameter σ.

    Raises:
        InputError: σ is not positive, or so large that the noise leaves the signed 64-bit range.
    """
    if sigma <= 0:
        raise InputError("the sigma of Gaussian noise is positive")
    variance, steps = sigma * sigma, []
    while (step := _largest_step(variance)) > 1:  # a step of 1 would save nothing
        steps.append(step)
        variance /= 1 + step * step
    law = GaussianLaw(_tail_thresholds(variance), tuple(reversed(steps)))
    if law.largest >= 1 << COIN_BITS - 2:
        raise InputError("the sigma of Gaussian noise is too large for numbers of 64 bits")
    return law


def laplace_distance(scale: Fraction, count: int) -> Fraction:
    """Bound the total variation between `count` values of noise and the exact discrete Laplace law."""
    return count * laplace_law(scale).distance


def gaussian_distance(sigma: Fraction, count: int) -> Fraction:
    """Bound the total variation between `count` values of noise and the exact discrete Gaussian law."""
    return count * gaussian_law(sigma).distance


def _largest_step(variance: Fraction) -> int:
    """Return the largest k with τ²/(1 + k²) ≥ 1.6² where τ² = variance/(1 + k²); 0 if there is none."""
    return isqrt(max(0, isqrt(int(variance / _SMOOTH)) - 1))


def _tail_thresholds(variance: Fraction) -> tuple[int, ...]:
    """Return round(2^64·P(|x| ≥ k)) for k = 1, 2, … until at most 2^−64 is left above; at least one."""
    weights = [Decimal(1)]
    while weights[-1] > Decimal("1e-60"):  # what is left above sums to less than 10^−55
        weights.append(2 * _exponential(Fraction(-(len(weights) ** 2)) / (2 * variance)))
    total = _DECIMAL.create_decimal(0)
    tails = []
    for weight in reversed(weights):  # the smallest first
        total = _DECIMAL.add(total, weight)
        tails.append(total)
    inside = [_DECIMAL.divide(tail, total) for tail in reversed(tails)][1:]
    kept = sum(tail > _DECIMAL.power(2, -COIN_BITS) for tail in inside)
    return tuple(_threshold(tail) for tail in inside[: max(1, kept)])


def _exponential(exponent: Fraction) -> Decimal:
    return _DECIMAL.exp(_DECIMAL.divide(Decimal(exponent.numerator), Decimal(exponent.denominator)))


def _odds(alpha: Decimal) -> Decimal:
    return _DECIMAL.divide(alpha, _DECIMAL.add(1, alpha))


def _threshold(probability: Decimal) -> int:
    scaled = _DECIMAL.multiply(probability, Decimal(1 << COIN_BITS))
    return int(scaled.to_integral_value(ROUND_HALF_EVEN))


def _ceiling_log2(bound: Fraction) -> int:
    """Return the smallest i ≥ 0 with 2^i ≥ bound."""
    return (-(-bound.numerator // bound.denominator) - 1).bit_length() if bound > 1 else 0
