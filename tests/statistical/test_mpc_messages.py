"""What every party receives looks uniform whatever the data, with fixed keys and controls that must fail.

For 2^14 elements: chi-square of all received bytes (the 0.9999 quantile of 255 degrees of freedom), and the
largest correlation of a bit of a word with a bit of the secret, in standard deviations. With 2^14 elements a
correlation of 0.05 is seen with power above 0.97. Exact statements: `tests/unit/mpc/test_views.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from mpc.comparison import equal_zero, less_than
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import multiply, reshare
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Words, WordStream, open_stream
from mpc.relational.shuffle import shuffle
from mpc.sharing import Arithmetic, Boolean, split
from tests.unit.mpc.three_parties import run

COUNT = 1 << 14
CHI_SQUARE_255 = 347.7
LARGEST_DEVIATION = 5.5  # of 64 · 64 bit pairs: exceeded by chance once in 6 000
Program = Callable[[Party, Arithmetic], object]
WORLDS = {
    "zeros": np.zeros(COUNT, dtype=np.int64),
    "extremes": np.resize(np.array([-(1 << 63), (1 << 63) - 1, -1, 1]), COUNT),
    "random": np.random.default_rng(5).integers(-(1 << 63), (1 << 63) - 1, COUNT),
}
PROTOCOLS: dict[str, Program] = {
    "multiply": lambda p, x: multiply(p, x, x),
    "less_than": lambda p, x: less_than(p, x, -x),
    "equal_zero": equal_zero,
    "bits_to_arithmetic": lambda p, x: bits_to_arithmetic(
        p, Boolean(x.own.view(np.uint8), x.next.view(np.uint8)), COUNT
    ),
    "shuffle": lambda p, x: shuffle(p, [x, x]),
}


def shares_of(values: npt.NDArray[np.int64]) -> tuple[Arithmetic, Arithmetic, Arithmetic]:
    """Share with fixed masks."""
    stream = open_stream(bytes(32), "input")
    return split(values, lambda count: stream.words((count,), np.dtype(np.uint8)).tobytes())


def received(program: Program, world: str, opened: OpenStream = open_stream) -> list[bytes]:
    """Return all that each party receives."""
    shares = shares_of(WORLDS[world])
    session = run(lambda party: program(party, shares[party.index]), open_stream=opened)
    return [b"".join(frame.raw for frame in session.received_by(i)) for i in range(3)]


def unlikely(raw: bytes) -> float:
    """Return chi-square of the bytes over its bound; 0 where nothing was received."""
    bins = np.bincount(np.frombuffer(raw, dtype=np.uint8), minlength=256)
    expected = max(bins.sum() / 256, 1)
    return float(((bins - bins.sum() / 256) ** 2 / expected).sum() / CHI_SQUARE_255)


def correlation(raw: bytes, secret: npt.NDArray[np.int64]) -> float:
    """Return the largest correlation of a bit of a word with a bit of the secret, in deviations."""
    words, secrets = np.frombuffer(raw, dtype=np.uint64), secret.view(np.uint64)
    left, right = (np.unpackbits(w.view(np.uint8).reshape(-1, 8), axis=1) * 2.0 - 1 for w in (words, secrets))
    return float(np.abs(left.T @ right).max() / np.sqrt(COUNT))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_received_bytes_look_uniform(name: str, world: str) -> None:
    assert max(map(unlikely, received(PROTOCOLS[name], world))) < 1


def test_a_product_is_uncorrelated_with_its_factor() -> None:
    for raw in received(PROTOCOLS["multiply"], "random"):
        assert correlation(raw, WORLDS["random"]) < LARGEST_DEVIATION


class Zeros:
    """A stream of zeros."""

    position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint64]) -> Words:
        return np.zeros(shape, dtype=dtype)


def without(left_out: str) -> OpenStream:
    def opened(key: bytes, purpose: str) -> WordStream:
        return Zeros() if purpose == left_out else open_stream(key, purpose)

    return opened


@pytest.mark.parametrize(
    ("name", "purpose"),
    [("less_than", "zero"), ("equal_zero", "zero"), ("bits_to_arithmetic", "input")],
)
def test_control_messages_without_their_masks_are_found(name: str, purpose: str) -> None:
    assert max(map(unlikely, received(PROTOCOLS[name], "zeros", without(purpose)))) > 1


@pytest.mark.parametrize("anew", [True, False])
def test_additive_parts_are_hidden_by_sharing_them_anew_alone(anew: bool) -> None:
    secret = WORLDS["random"]

    def program(party: Party, _: Arithmetic) -> object:
        known = secret.view(np.uint64) if party.index == 0 else np.zeros(COUNT, dtype=np.uint64)
        if anew:
            return reshare(party, Arithmetic, known)
        return party.exchange("raw", {party.previous: known}, {party.next: (known.shape, known.dtype)})

    found = max(correlation(raw, secret) for raw in received(program, "zeros"))
    assert (found < LARGEST_DEVIATION) == anew
