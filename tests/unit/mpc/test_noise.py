from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.bits import unpack
from mpc.noise import costs as noise_costs
from mpc.noise.mechanisms import below, discrete_gaussian, discrete_laplace
from mpc.party import Party
from mpc.sharing import WORD, WORD32, Arithmetic, Boolean
from records.errors import InputError
from tests.unit.mpc.three_parties import run, values_of, words_of

WIDTHS = [WORD, WORD32]
LAWS = {
    "laplace": (discrete_laplace, noise_costs.discrete_laplace),
    "gaussian": (discrete_gaussian, noise_costs.discrete_gaussian),
}
words64 = st.one_of(st.sampled_from([0, 1, (1 << 64) - 1, 1 << 63]), st.integers(0, (1 << 64) - 1))


def boolean(words: Any) -> tuple[Boolean, Boolean, Boolean]:
    """Share words of bits with fixed masks."""
    x = np.asarray(words, dtype=WORD)
    generator = np.random.default_rng(1)
    x0, x1 = (generator.integers(0, 1 << 64, x.shape, dtype=WORD) for _ in range(2))
    x2 = x ^ x0 ^ x1
    return Boolean(x0, x1), Boolean(x1, x2), Boolean(x2, x0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(words64, words64), max_size=20))
def test_a_word_is_compared_with_its_threshold(pairs: list[tuple[int, int]]) -> None:
    words, thresholds = (np.array([pair[k] for pair in pairs], dtype=WORD) for k in range(2))
    shares = boolean(words)
    session = run(lambda party: below(party, shares[party.index], thresholds))
    bits = unpack(words_of(session.results), words.size)
    assert bits.tolist() == (words < thresholds).tolist()
    assert session.cost == noise_costs.below(words.size, words.size)


def test_neighbours_of_every_power_of_two_are_told_apart() -> None:
    thresholds = np.array([1 << i for i in range(64)], dtype=WORD)
    words = np.concatenate([thresholds - np.uint64(1), thresholds, thresholds + np.uint64(1)])
    shares = boolean(words)
    session = run(lambda party: below(party, shares[party.index], np.tile(thresholds, 3)))
    assert unpack(words_of(session.results), 192).tolist() == [1] * 64 + [0] * 128


def test_one_word_is_compared_with_many_thresholds_for_one_first_product() -> None:
    words = np.array([0, 5, 6, 1 << 63, (1 << 64) - 1, 7, 8, 9], dtype=WORD)
    thresholds = np.array([[6], [0], [1 << 63], [(1 << 64) - 1]], dtype=WORD)
    shares = boolean(words)
    session = run(lambda party: below(party, shares[party.index], thresholds))
    bits = unpack(words_of(session.results), 32).reshape(4, 8)
    assert bits.tolist() == (words < thresholds).tolist()
    assert session.cost == noise_costs.below(8, 32)


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (2, 4)])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [Fraction(1, 3), Fraction(20)])
def test_noise_costs_what_is_declared(
    law: str, size: Fraction, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    draw, declared = LAWS[law]
    session = run(lambda party: draw(party, shape, size, dtype))
    assert session.cost == declared(int(np.prod(shape)), size, dtype.itemsize)
    values = values_of(session.results)
    assert values.shape == shape
    assert values.dtype == np.dtype(f"i{dtype.itemsize}")
    assert np.all(np.abs(values) < 400)


@pytest.mark.parametrize("law", LAWS)
def test_both_widths_draw_the_same_noise(law: str) -> None:
    draw, _ = LAWS[law]
    wide, narrow = (
        values_of(run(lambda party, dtype=dtype: draw(party, (40,), Fraction(9), dtype)).results)  # type: ignore[misc]
        for dtype in WIDTHS
    )
    assert wide.tolist() == narrow.tolist()
    assert len(set(wide.tolist())) > 8


@pytest.mark.parametrize("law", LAWS)
def test_two_draws_of_a_session_differ(law: str) -> None:
    draw, _ = LAWS[law]

    def program(party: Party) -> tuple[Arithmetic, Arithmetic]:
        return draw(party, (30,), Fraction(9)), draw(party, (30,), Fraction(9))

    first, second = zip(*run(program).results, strict=True)
    assert values_of(first).tolist() != values_of(second).tolist()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("size", "dtype"), [(Fraction(0), WORD), (Fraction(-1), WORD), (Fraction(1 << 40), WORD32)]
)
def test_a_size_that_makes_no_sense_is_refused_before_anything_is_sent(
    law: str, size: Fraction, dtype: np.dtype[Any]
) -> None:
    draw, _ = LAWS[law]

    def program(party: Party) -> int:
        with pytest.raises(InputError):
            draw(party, (3,), size, dtype)
        return party.rounds

    assert run(program).results == (0, 0, 0)
