"""The noise as it is opened, with fixed keys (so never flaky) and controls that must fail.

Chi-square bounds are the 0.9999 quantiles for the bins that hold at least 20 expected values. With 2^16
values the test sees, with power above 0.99, one coin whose probability is off by 0.05; the exact distance
is a matter of `tests/unit/mpc/test_noise_laws.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import exp
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpc.noise import mechanisms as noise
from mpc.noise.laws import GaussianLaw, LaplaceLaw, gaussian_law, laplace_law
from mpc.noise.mechanisms import discrete_gaussian, discrete_laplace
from mpc.sharing import WORD32
from tests.unit.mpc.three_parties import run, values_of

COUNT = 1 << 16
Values = npt.NDArray[np.signedinteger[Any]]
WEIGHTS: dict[str, tuple[Any, Fraction, Callable[[float], float]]] = {
    "laplace": (discrete_laplace, Fraction(5, 2), lambda x: exp(-abs(x) / 2.5)),
    "narrow gaussian": (discrete_gaussian, Fraction(3), lambda x: exp(-x * x / 18)),
    "wide gaussian": (discrete_gaussian, Fraction(20), lambda x: exp(-x * x / 800)),
}


def drawn(law: str) -> Values:
    draw, size, _ = WEIGHTS[law]
    values: Values = values_of(run(lambda party: draw(party, (COUNT,), size, WORD32), timeout_s=60).results)
    return values


def excess(values: Values, law: str) -> float:
    """Return chi-square over its 0.9999 quantile (Wilson–Hilferty); tails are pooled."""
    weight = WEIGHTS[law][2]
    weights = np.array([weight(float(x)) for x in range(-1000, 1001)])
    expected = COUNT * weights / weights.sum()
    bins = np.bincount(np.clip(values + 1000, 0, 2000), minlength=2001)
    kept = expected >= 20
    observed = np.append(bins[kept], bins[~kept].sum())
    wanted = np.append(expected[kept], expected[~kept].sum())
    statistic = ((observed - wanted) ** 2 / wanted).sum()
    degrees = kept.sum()
    quantile = degrees * (1 - 2 / (9 * degrees) + 3.719 * np.sqrt(2 / (9 * degrees))) ** 3
    return float(statistic / quantile)


@pytest.mark.parametrize("law", WEIGHTS)
def test_opened_noise_follows_its_law(law: str) -> None:
    values = drawn(law)
    assert excess(values, law) < 1
    assert excess(-values, law) < 1
    positive, negative = int((values > 0).sum()), int((values < 0).sum())
    assert abs(positive - negative) < 4 * np.sqrt(positive + negative)


def test_control_a_biased_coin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def biased(scale: Fraction) -> LaplaceLaw:
        first, *others = laplace_law(scale).thresholds
        return LaplaceLaw((first + (1 << 64) // 20, *others))

    monkeypatch.setattr(noise, "laplace_law", biased)
    assert excess(drawn("laplace"), "laplace") > 1


def test_control_a_base_without_its_steps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        noise, "gaussian_law", lambda sigma: GaussianLaw(gaussian_law(sigma).thresholds, (1, 1))
    )
    assert excess(drawn("wide gaussian"), "wide gaussian") > 1


def test_values_of_one_draw_are_uncorrelated_where_repeated_ones_are_not() -> None:
    values = drawn("laplace")
    repeated = np.repeat(values[: COUNT // 2], 2)
    found, control = (abs(np.corrcoef(v[:-1], v[1:])[0, 1]) * np.sqrt(COUNT) for v in (values, repeated))
    assert found < 4 < control
