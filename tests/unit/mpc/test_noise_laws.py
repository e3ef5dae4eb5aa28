"""The laws against a second computation: integers in fixed point instead of decimals, no code in common."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import isqrt

import pytest

from mpc.noise.laws import (
    COIN_BITS,
    GaussianLaw,
    LaplaceLaw,
    gaussian_distance,
    gaussian_law,
    laplace_distance,
    laplace_law,
)
from records.errors import InputError

PRECISION_BITS = 320
ONE = 1 << PRECISION_BITS
SCALES = [Fraction(1, 7), Fraction(1), Fraction(10, 3), Fraction(13)]
SIGMAS = [Fraction(1, 7), Fraction(1), Fraction(10, 3), Fraction(79, 10), Fraction(8), Fraction(25)]
Pmf = dict[int, Fraction]


def exponential(exponent: Fraction) -> Fraction:
    """Return e^−q to 300 bits: the Taylor series of q/2^k, squared k times."""
    halvings = max(0, int(exponent).bit_length() + 8)
    x = exponent.numerator * ONE // (exponent.denominator << halvings)
    term, total = ONE, ONE
    for n in range(1, 80):
        term = -term * x // (n << PRECISION_BITS)
        total += term
    for _ in range(halvings):
        total = total * total >> PRECISION_BITS
    return Fraction(total, ONE)


def normalised(weight: Callable[[int], Fraction], reach: int) -> Pmf:
    weights = {x: weight(x) for x in range(-reach, reach + 1)}
    total = sum(weights.values())
    return {x: w / total for x, w in weights.items()}


def exact_laplace(scale: Fraction) -> Pmf:
    return normalised(lambda x: exponential(abs(x) / scale), int(60 * scale) + 2)


def exact_gaussian(sigma: Fraction) -> Pmf:
    return normalised(lambda x: exponential(x * x / (2 * sigma * sigma)), int(12 * sigma) + 2)


def sampled_laplace(law: LaplaceLaw) -> Pmf:
    """Return the law that coins with these thresholds follow, exactly."""
    digits: Pmf = {0: Fraction(1)}
    for i, threshold in enumerate(law.thresholds):
        p = Fraction(threshold, 1 << COIN_BITS)
        digits = {
            **{x: mass * (1 - p) for x, mass in digits.items()},
            **{x + (1 << i): mass * p for x, mass in digits.items()},
        }
    return convolved(digits, {-x: mass for x, mass in digits.items()})


def sampled_gaussian(law: GaussianLaw) -> Pmf:
    tails = [Fraction(t, 1 << COIN_BITS) for t in (1 << COIN_BITS, *law.thresholds, 0)]
    magnitude = [a - b for a, b in pairwise(tails)]
    base = {0: magnitude[0]}
    for k, mass in enumerate(magnitude[1:], 1):
        base[k] = base[-k] = mass / 2
    for step in law.steps:
        base = convolved(base, {step * x: mass for x, mass in base.items()})
    return base


def convolved(first: Pmf, second: Pmf) -> Pmf:
    """Return the law of a sum, with all masses over one denominator to keep integers small."""
    left, right = ({x: int(mass * ONE) for x, mass in pmf.items()} for pmf in (first, second))
    total: dict[int, int] = {}
    for x, a in left.items():
        for y, b in right.items():
            total[x + y] = total.get(x + y, 0) + a * b
    return {x: Fraction(mass, ONE * ONE) for x, mass in total.items()}


def total_variation(first: Pmf, second: Pmf) -> Fraction:
    support = first.keys() | second.keys()
    return sum((abs(first.get(x, Fraction()) - second.get(x, Fraction())) for x in support), Fraction()) / 2


@pytest.mark.parametrize("scale", SCALES)
def test_thresholds_of_laplace_digits_are_the_nearest_integers(scale: Fraction) -> None:
    for i, threshold in enumerate(laplace_law(scale).thresholds):
        alpha = exponential((1 << i) / scale)
        assert abs(threshold - (1 << COIN_BITS) * alpha / (1 + alpha)) < Fraction(51, 100)


@pytest.mark.parametrize("scale", SCALES)
def test_laplace_noise_is_as_near_to_its_law_as_it_says(scale: Fraction) -> None:
    law = laplace_law(scale)
    found = total_variation(sampled_laplace(law), exact_laplace(scale))
    assert found <= law.distance < Fraction(1, 1 << 58)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_gaussian_noise_is_as_near_to_its_law_as_it_says(sigma: Fraction) -> None:
    law = gaussian_law(sigma)
    found = total_variation(sampled_gaussian(law), exact_gaussian(sigma))
    assert found <= law.distance < Fraction(1, 1 << 55)


def test_control_a_threshold_that_is_off_by_a_little_exceeds_the_distance() -> None:
    laplace, gaussian = laplace_law(Fraction(1)), gaussian_law(Fraction(25))
    off = 1 << 10
    other = LaplaceLaw((laplace.thresholds[0] + off, *laplace.thresholds[1:]))
    assert total_variation(sampled_laplace(other), exact_laplace(Fraction(1))) > laplace.distance
    bent = GaussianLaw((gaussian.thresholds[0] + off, *gaussian.thresholds[1:]), gaussian.steps)
    assert total_variation(sampled_gaussian(bent), exact_gaussian(Fraction(25))) > gaussian.distance


def test_control_steps_that_are_too_wide_exceed_the_distance() -> None:
    # 50 = 1 + 7²: with a base deviation of 2, lattice points show.
    sigma = Fraction(isqrt(4 * 50 * 10**12), 10**6)
    coarse = GaussianLaw(gaussian_law(Fraction(2)).thresholds, (7,))
    assert total_variation(sampled_gaussian(coarse), exact_gaussian(sigma)) > Fraction(1, 1000)


@pytest.mark.parametrize("sigma", [Fraction(8), Fraction(100), Fraction(12345, 7), Fraction(10**9)])
def test_a_wide_gaussian_is_a_sum_of_base_values_with_its_variance(sigma: Fraction) -> None:
    law = gaussian_law(sigma)
    variance = sigma * sigma
    for step in reversed(law.steps):
        assert step > 1
        variance /= 1 + step * step
        assert variance / (1 + step * step) >= Fraction(16, 10) ** 2, "smooth on the integers"
    assert variance < 64, "the base stays narrow, so that thresholds are few"
    assert sum(weight**2 for weight in law.weights) * variance == sigma * sigma
    assert len(law.thresholds) < 80


def test_distances_add_up_over_values() -> None:
    assert laplace_distance(Fraction(3), 7) == 7 * laplace_law(Fraction(3)).distance
    assert gaussian_distance(Fraction(30), 7) == 7 * gaussian_law(Fraction(30)).distance
    assert laplace_distance(Fraction(3), 0) == 0


@pytest.mark.parametrize("size", [Fraction(0), Fraction(-1), Fraction(1 << 64)])
def test_sizes_outside_the_range_are_refused(size: Fraction) -> None:
    with pytest.raises(InputError):
        laplace_law(size)
    with pytest.raises(InputError):
        gaussian_law(size)
