"""Statistics at full width, with fixed keys (so never flaky) and controls that must fail.

Chi-square bounds are the 0.9999 quantiles. With 24 000 draws over 24 orders the test sees, with power above
0.99, one order that comes a fifth more often than it should.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest

from mpc.multiplication import multiply
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Words, open_stream
from mpc.relational import permutation
from mpc.relational.kernels import lemire_targets, swapped
from mpc.relational.permutation import random_permutation
from mpc.relational.shuffle import shuffle
from mpc.sharing import BYTE, Arithmetic, decode
from tests.unit.mpc.three_parties import KEYS, run, words_of

CHI_SQUARE_23 = 58.6
CHI_SQUARE_255 = 347.7
ORDERS = {order: k for k, order in enumerate(permutations(range(4)))}


def chi_square(bins: npt.NDArray[np.int64]) -> float:
    expected = bins.sum() / bins.size
    return float(((bins - expected) ** 2 / expected).sum())


class OftenBiased:
    """A stream that favours place 0 of three in half of its draws, with the word that must be rejected."""

    def __init__(self) -> None:
        self._stream = open_stream(KEYS[0], "permutation")
        self.position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint32]) -> Words:
        words = self._stream.words(shape, dtype)
        # Of the places of four rows only the third has a biased word, 0; it alone is ever drawn again.
        third = words[2:3] if shape == (4,) else words
        third[third % 2 == 0] = 0
        return words


@pytest.mark.parametrize(
    ("kept", "first", "uniform"), [(0xFF, 0, True), (0x01, 0, True), (0x00, 0, True), (0x00, 1, False)]
)
def test_permutations_in_buckets_are_uniform_if_digits_are_of_one_law(
    kept: int, first: int, uniform: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are dealt by the `kept` bits of their digits; a row 0 that is always dealt to bucket 1 shows."""

    class Digits:
        position_bytes = 0

        def words(self, shape: Shape, dtype: np.dtype[np.uint8]) -> Words:
            words = stream.words(shape, dtype)
            if dtype == BYTE:
                words &= BYTE.type(kept)
                words[0] |= BYTE.type(first)
            return words

    monkeypatch.setattr(permutation, "_AT_ONCE", 0)
    stream, bins = open_stream(KEYS[0], "permutation"), np.zeros(24, dtype=np.int64)
    for _ in range(6000):
        bins[ORDERS[tuple(random_permutation(Digits(), 4).rows.tolist())]] += 1
    assert (chi_square(bins) < CHI_SQUARE_23) == uniform


def test_permutations_are_uniform_even_where_words_are_often_rejected() -> None:
    stream = OftenBiased()
    bins = np.zeros(24, dtype=np.int64)
    for _ in range(24_000):
        bins[ORDERS[tuple(random_permutation(stream, 4).rows.tolist())]] += 1
    assert chi_square(bins) < CHI_SQUARE_23


def test_control_permutations_without_rejection_are_found_biased() -> None:
    stream, places = OftenBiased(), np.arange(4, dtype=np.uint32)
    bins = np.zeros(24, dtype=np.int64)
    for _ in range(24_000):
        targets, _ = lemire_targets(stream.words((4,), np.dtype(np.uint32)), places)
        bins[ORDERS[tuple(swapped(targets, np.array([4])).tolist())]] += 1
    assert chi_square(bins) > CHI_SQUARE_23


@pytest.mark.parametrize(("fixed", "uniform"), [(None, True), (0, True), (2, True), ("all", False)])
def test_a_shuffle_is_uniform_if_one_pair_draws_its_permutation(
    fixed: int | str | None, uniform: bool
) -> None:
    """Whoever knows two of the three permutations still faces a uniform one; with all fixed it shows."""

    class Fixed:
        position_bytes = 0

        def words(self, shape: Shape, dtype: np.dtype[np.uint64]) -> Words:
            return np.full(shape, 0x5EED5EED, dtype=dtype)

    def opened(key: bytes, purpose: str) -> object:
        known = fixed == "all" or (fixed is not None and KEYS.index(key) != fixed)
        return Fixed() if purpose == "permutation" and known else open_stream(key, purpose)

    rows = np.arange(4, dtype=np.uint64)
    zeros = np.zeros_like(rows)
    x = (Arithmetic(rows, zeros), Arithmetic(zeros, zeros), Arithmetic(zeros, rows))

    def program(party: Party) -> list[Arithmetic]:
        return [shuffle(party, [x[party.index]])[0] for _ in range(1200)]

    results = run(program, open_stream=opened).results  # type: ignore[arg-type]
    bins = np.zeros(24, dtype=np.int64)
    for shares in zip(*results, strict=True):
        bins[ORDERS[tuple(decode(words_of(shares)).tolist())]] += 1
    assert (chi_square(bins) < CHI_SQUARE_23) == uniform


def byte_statistics(opened: OpenStream) -> list[float]:
    """Return the chi-square of each byte of the words that party 0 receives for a product of constants."""
    ones = np.ones(1 << 16, dtype=np.uint64)

    def program(party: Party) -> Arithmetic:
        return multiply(party, Arithmetic(ones, ones), Arithmetic(ones, ones))

    raw = b"".join(frame.raw for frame in run(program, open_stream=opened).received_by(0))
    columns = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 8)
    return [chi_square(np.bincount(columns[:, k], minlength=256)) for k in range(8)]


def test_messages_of_constant_factors_look_uniform() -> None:
    assert max(byte_statistics(open_stream)) < CHI_SQUARE_255


def test_control_one_stream_for_both_neighbours_is_found() -> None:
    assert min(byte_statistics(lambda key, purpose: open_stream(KEYS[0], purpose))) > CHI_SQUARE_255
