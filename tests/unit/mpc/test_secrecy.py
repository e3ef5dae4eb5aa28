"""Exhaustive secrecy in small rings: every input, every share, every tape; total variation exactly 0.

The enumerated functions are the shipped ones, run by three parties at full width. Modulo 2^k they are the
protocol over Z_2^k: they use +, −, × only, and reduction of Z_2^64 to Z_2^k is a homomorphism, so with
tapes and shares below 2^k the messages modulo 2^k depend on nothing above. Each element of a column is one
combination of secrets, shares and tapes, so one session enumerates them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from mpc import kernels
from mpc.adder import generate_bits
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import join_summands, multiply, reshare_runs, share_input, summand
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Words
from mpc.sharing import Arithmetic, Boolean, Shared
from tests.unit.mpc.three_parties import KEYS, Session, run, words_of

S = TypeVar("S", bound=Shared)
Tapes = Mapping[tuple[int, str], Words]
"""(index of the pair key, purpose) → the words that its stream yields."""


class Playback:
    """A word stream that yields its tape once, in as many draws as are asked for."""

    def __init__(self, tape: Words) -> None:
        self._tape = tape
        self._drawn = 0
        self.position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint64]) -> Words:
        drawn = self._tape[self._drawn : self._drawn + shape[0]]
        self._drawn += shape[0]
        assert drawn.shape == shape, "the stream was drawn more often than the tape holds"
        return drawn.astype(dtype)


def playing(tapes: Tapes) -> OpenStream:
    return lambda key, purpose: Playback(tapes[KEYS.index(key), purpose])


def grid(*sizes: int) -> list[Words]:
    """Return all combinations of numbers below the sizes, a column for each."""
    return [column.reshape(-1).astype(np.uint64) for column in np.indices(sizes)]


def largest_distance(secret: Words, view: Sequence[Words], ring: int) -> int:
    """Return the largest difference in frequency of a view between any two values of the secret."""
    code = np.zeros(secret.size, dtype=np.int64)
    for column in view:
        code = code * ring + (column % ring).astype(np.int64)
    frequencies: npt.NDArray[np.int64] = np.stack(
        [np.bincount(code[secret == s], minlength=int(code.max()) + 1) for s in np.unique(secret)]
    )
    return int((frequencies.max(axis=0) - frequencies.min(axis=0)).max())


def distances(
    program: Callable[[Party], Shared],
    tapes: Tapes,
    shares: Sequence[Words],
    secret: Words,
    expected: Words,
    ring: int,
) -> list[int]:
    """Run the program, check its result, and return the distance of each party's view.

    `shares` lists the columns held in turn: index k is held by parties k mod 3 and (k − 1) mod 3.
    """
    session = run(program, open_stream=playing(tapes))
    np.testing.assert_array_equal(words_of(session.results) % ring, expected % ring)
    found = []
    for party in range(3):
        held = [column for k, column in enumerate(shares) if k % 3 in (party, (party + 1) % 3)]
        drawn = [
            tapes[key] for key in session_streams(session.positions_bytes[party], party) if tapes[key].any()
        ]
        received = messages(session, party)
        found.append(largest_distance(secret, [*held, *drawn, *received], ring))
    return found


def messages(session: Session[S], party: int) -> list[Words]:
    """Return the columns that a party received; long ones came in several frames."""
    result = session.results[party]
    columns: list[Words] = []
    for sender in range(3):
        raw = b"".join(frame.raw for frame in session.received_by(party) if frame.sender == sender)
        columns += list(np.frombuffer(raw, dtype=result.dtype).reshape(-1, result.size))
    return columns


def session_streams(positions: Mapping[tuple[int, str], int], party: int) -> list[tuple[int, str]]:
    """Return the (pair key, purpose) of the streams a party has drawn from."""
    return sorted((party if neighbour == (party + 2) % 3 else neighbour, p) for neighbour, p in positions)


def product_world(kind: type[Shared], ring: int, *, masked: bool) -> list[int]:
    dtype = np.dtype(np.uint64) if kind is Arithmetic else np.dtype(np.uint8)
    x, y, x0, x1, y0, y1, *tape = (column.astype(dtype) for column in grid(*[ring] * (9 if masked else 6)))
    x2 = kind.subtract(kind.subtract(x, x0), x1)
    y2 = kind.subtract(kind.subtract(y, y0), y1)
    if not masked:
        tape = [np.zeros_like(x)] * 3

    secret = x.astype(np.int64) * ring + y.astype(np.int64)

    def program(party: Party) -> Shared:
        a, b = [x0, x1, x2, x0], [y0, y1, y2, y0]
        i = party.index
        return multiply(party, kind(a[i], a[i + 1]), kind(b[i], b[i + 1]))

    tapes = {(k, "zero"): tape[k] for k in range(3)}
    return distances(program, tapes, [x0, x1, x2, y0, y1, y2], secret, kind.product(x, y), ring)


@pytest.mark.parametrize(("kind", "ring"), [(Arithmetic, 4), (Arithmetic, 2), (Boolean, 2)])
def test_a_product_shows_no_party_anything(kind: type[Shared], ring: int) -> None:
    assert product_world(kind, ring, masked=True) == [0, 0, 0]


@pytest.mark.parametrize(("kind", "ring"), [(Arithmetic, 4), (Boolean, 2)])
def test_without_the_zero_sharing_a_product_shows_its_factors(kind: type[Shared], ring: int) -> None:
    assert min(product_world(kind, ring, masked=False)) > 0


@pytest.mark.parametrize("owner", [0, 1, 2])
@pytest.mark.parametrize("masked", [True, False])
def test_an_input_is_hidden_by_its_mask_alone(owner: int, masked: bool) -> None:
    value, mask = grid(4, 4)
    if not masked:
        mask = np.zeros_like(mask)

    def program(party: Party) -> Arithmetic:
        return share_input(party, value if party.index == owner else None, owner, value.shape)

    found = distances(program, {(owner, "input"): mask}, [], value, value, 4)
    others = [found[(owner + 1) % 3], found[(owner + 2) % 3]]
    assert others == [0, 0] if masked else others[0] > 0


@pytest.mark.parametrize("masked", [True, False])
def test_a_bit_turns_into_a_number_unseen(masked: bool) -> None:
    ring = 4
    bit, b0, b1, *tape = grid(2, 2, 2, *([ring] * 3 if masked else [1] * 3))
    b2 = bit ^ b0 ^ b1
    tapes = {(0, "input"): tape[0], (0, "reshare"): tape[1], (1, "reshare"): tape[2]}

    def program(party: Party) -> Arithmetic:
        packed = [np.packbits(b.astype(np.uint8), bitorder="little") for b in (b0, b1, b2, b0)]
        share = Boolean(packed[party.index], packed[party.index + 1])
        return bits_to_arithmetic(party, share, bit.size)

    found = distances(program, tapes, [b0, b1, b2], bit, bit, ring)
    assert found == [0, 0, 0] if masked else max(found) > 0


@dataclass(frozen=True)
class Level:
    """A round of a tree, cut down to one bit at each place that meets another.

    `inputs` are the places of the shared bits by operand, `outputs` those of the results, which `expected`
    computes from the bits in the order of `inputs`.
    """

    terms: Callable[..., None]
    wide: str
    narrow: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]
    expected: Callable[..., tuple[Words, ...]]
    scalar: tuple[int, int, int] | None = None


LEVELS = {
    "fold": Level(kernels.fold_terms, "u2", "u1", ((0, 8),), (0,), lambda low, high: (low & high,)),
    "first carry": Level(
        kernels.first_carry_terms,
        "u1",
        "u1",
        ((0, 4), (0, 4)),
        (0, 4),
        lambda g, g_high, p, p_high: (g_high ^ (p_high & g), p_high & p),
        (1, 0, 2),
    ),
    "first carry at the sign": Level(
        kernels.first_carry_terms,
        "u1",
        "u1",
        ((3, 7), (3, 7)),
        (3, 7),
        lambda g, _, p, top: (top ^ g, p),
        (1, 0, 2),
    ),
    "carry": Level(
        kernels.carry_terms,
        "u2",
        "u1",
        ((0, 4, 8, 12),),
        (0, 4),
        lambda g, g_high, p, p_high: (g_high ^ (p_high & g), p_high & p),
    ),
    "last carry": Level(
        kernels.last_carry_terms,
        "u4",
        "u1",
        ((0, 8, 24),),
        (0,),
        lambda g, g_high, p_high: (g_high ^ (p_high & g),),
    ),
    "prefix": Level(
        kernels.prefix_terms,
        "u1",
        "u1",
        ((0,), (0, 1)),
        (0, 1),
        lambda g, p, p_high: (p_high & g, p_high & p),
        (1, 1, 1),
    ),
}


def placed(bits: Sequence[Words], places: Sequence[int], dtype: str) -> Words:
    total = np.zeros(bits[0].size, np.uint64)
    for bit, place in zip(bits, places, strict=True):
        total |= bit << np.uint64(place)
    return total.astype(dtype)


def level_world(level: Level, *, masked: bool) -> list[int]:
    count = sum(map(len, level.inputs))
    bits = grid(*[2] * (3 * count + (3 * len(level.outputs) if masked else 0)))
    secrets, x0, x1 = bits[:count], bits[count : 2 * count], bits[2 * count : 3 * count]
    x2 = [s ^ a ^ b for s, a, b in zip(secrets, x0, x1, strict=True)]
    tapes = {}
    for k in range(3):
        tape = bits[3 * count + k :: 3] if masked else [np.zeros_like(bits[0])] * len(level.outputs)
        tapes[k, "zero"] = placed(tape, level.outputs, level.narrow)

    def program(party: Party) -> Boolean:
        shares = [x0, x1, x2, x0]
        operands: list[Words] = []
        start = 0
        for places in level.inputs:
            both = shares[party.index : party.index + 2]
            operands += [placed(share[start : start + len(places)], places, level.wide) for share in both]
            start += len(places)
        scalar = () if level.scalar is None else (level.scalar[party.index],)

        def compute(run: slice, plus: Words, minus: Words, out: Words) -> None:
            level.terms(*(operand[run] for operand in operands), *scalar, plus, minus, out)

        return reshare_runs(party, Boolean, secrets[0].size, np.dtype(level.narrow), compute, "level")

    session = run(program, open_stream=playing(tapes))
    expected = placed(level.expected(*secrets), level.outputs, level.narrow)
    relevant = placed([np.ones_like(bits[0])] * len(level.outputs), level.outputs, level.narrow)
    np.testing.assert_array_equal(words_of(session.results) & relevant, expected)
    secret = placed(secrets, range(count), "u8")
    found = []
    for party in range(3):
        held = [column for k in (party, (party + 1) % 3) for column in (x0, x1, x2)[k]]
        drawn = [tapes[k, "zero"] for k in (party, (party + 1) % 3)] if masked else []
        (received,) = messages(session, party)
        assert not (received & ~relevant).any(), "nothing but the enumerated bits is sent"
        words = [column >> place & 1 for column in (*drawn, received) for place in level.outputs]
        found.append(largest_distance(secret, [*held, *words], 2))
    return found


@pytest.mark.parametrize("name", LEVELS)
def test_a_level_of_a_tree_shows_no_party_anything(name: str) -> None:
    assert level_world(LEVELS[name], masked=True) == [0, 0, 0]


@pytest.mark.parametrize("name", LEVELS)
def test_without_the_zero_sharing_a_level_shows_its_operands(name: str) -> None:
    assert max(level_world(LEVELS[name], masked=False)) > 0


@pytest.mark.parametrize("masked", [True, False])
def test_the_leaves_of_a_tree_are_entered_and_multiplied_unseen(masked: bool) -> None:
    x, x0, x1, *tape = (
        column.astype(np.uint8) for column in grid(2, 2, 2, *([2] * 3 if masked else [1] * 3))
    )
    x2 = x ^ x0 ^ x1
    tapes = {(0, "input"): tape[0], (0, "reshare"): tape[1], (1, "reshare"): tape[2]}

    def program(party: Party) -> Boolean:
        columns = [x0, x1, x2, x0]
        share = Boolean(columns[party.index], columns[party.index + 1])
        return generate_bits(party, join_summands(party, Boolean, summand(party, share)))

    found = distances(program, tapes, [x0, x1, x2], x, (x0 ^ x1) & x2, 2)
    assert found == [0, 0, 0] if masked else max(found) > 0
