"""Secrecy at full width: whatever the secret, some randomness that the party lacks gives it the same view.

A party lacks one pair key. For two secrets that differ in the share it does not hold, the test finds another
tape of that key's streams under which the party receives, byte for byte, the same messages. Every byte it
receives must turn out to be masked, by addition or XOR, by a word that masks no earlier message: then each
secret has exactly one such tape for each view, the view is distributed alike for both, and uniform messages
simulate it. `test_secrecy.py` enumerates what is small enough; this covers protocols as they are shipped.
Where messages are hidden otherwise: `words_to_arithmetic`, which opens a uniform word to two parties, is in
`test_secrecy_trees.py`; what shows an order behind a uniform permutation in `test_secrecy_relational.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpc import prg
from mpc.comparison import equal_bits, less_than, less_than_bits, negative_bits
from mpc.conversion import arithmetic_to_bits, bits_to_arithmetic, select
from mpc.division import divide
from mpc.extremes import maximum
from mpc.manifest import Manifest
from mpc.multiplication import cross_terms, dot, matmul, multiply, reshare, share_input
from mpc.noise.mechanisms import below, discrete_gaussian
from mpc.party import Party
from mpc.prg import Shape, Words, WordStream
from mpc.relational.partition import partition_places
from mpc.relational.shuffle import shuffle
from mpc.sharing import WORD, WORD32, Arithmetic, Boolean
from mpc.truncation import truncate_exact, truncate_probabilistic
from tests.unit.mpc.three_parties import KEYS, run

Draw = tuple[str, int]
"""(purpose, number): the number-th draw from the stream of a purpose, of the key that the party lacks."""
Tape = Mapping[Draw, Words]
"""The draws that are replaced; the others stay what the stream says."""
Program = Callable[[Party, Arithmetic], object]
COUNT = 3
ODD = np.uint64(0x9E3779B97F4A7C15)
THRESHOLDS = np.array([5, 1 << 63, (1 << 64) - 1], dtype=WORD)


def bits(x: Arithmetic) -> Boolean:
    """Read the shares of a column as shares of words of bits: another secret, as good as any."""
    return Boolean(x.own, x.next)


PROTOCOLS: dict[str, Program] = {
    "share_input": lambda p, x: [share_input(p, [7] if p.index == i else None, i, (1,)) for i in range(3)],
    "reshare": lambda p, x: reshare(p, Arithmetic, x.own),
    "multiply": lambda p, x: multiply(p, x, x),
    "multiply narrow": lambda p, x: multiply(p, x.narrow(WORD32), x.narrow(WORD32)),
    "and": lambda p, x: multiply(p, bits(x), bits(x)),
    "dot": lambda p, x: dot(p, x.reshape(1, -1), x.reshape(1, -1)),
    "matmul": lambda p, x: matmul(p, x.reshape(-1, 1), x.reshape(1, -1)),
    "two products": lambda p, x: multiply(p, multiply(p, x, x), x),
    "bits_to_arithmetic": lambda p, x: bits_to_arithmetic(p, bits(x).map(lambda w: w.view(np.uint8)), 20),
    "negative_bits": negative_bits,
    "equal_bits": lambda p, x: equal_bits(p, x, -x),
    "equal_bits narrow": lambda p, x: equal_bits(p, x.narrow(WORD32), -x.narrow(WORD32)),
    "less_than_bits": lambda p, x: less_than_bits(p, x, -x),
    "less_than": lambda p, x: less_than(p, x, x[::-1]),
    "select": lambda p, x: select(p, x, x, -x),
    "shuffle": lambda p, x: shuffle(p, [x, x * 3]),
    "below": lambda p, x: below(p, bits(x), THRESHOLDS),
    "arithmetic_to_bits": arithmetic_to_bits,
    "truncate_exact": lambda p, x: truncate_exact(p, x, 16),
    "truncate_probabilistic": lambda p, x: truncate_probabilistic(p, x, 16),
    "maximum": lambda p, x: maximum(p, x, -x),
    "divide": lambda p, x: divide(p, x, x * 3, 4),
    "partition_places": lambda p, x: partition_places(p, x.narrow(WORD32)),
    "noise and value": lambda p, x: reshare(
        p, Arithmetic, (discrete_gaussian(p, (COUNT,), Fraction(2)) + x).own
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A draw that masks a block of a message: word k of the block by word `order[k]` of the draw."""

    draw: Draw
    frame: int
    block: slice
    order: npt.NDArray[np.intp]
    unmasked: np.ufunc
    """What the draw must be combined with, by `np.add` or `np.bitwise_xor`, is this of (wanted, current)."""

    def meets(self, other: Mask) -> bool:
        """Return whether both mask some byte."""
        return (
            self.frame == other.frame
            and self.block.start < other.block.stop
            and other.block.start < self.block.stop
        )

    def corrected(self, words: Words, current: bytes, wanted: bytes) -> Words:
        """Return the words of the draw that turn the current block into the wanted one."""
        have, want = (np.frombuffer(raw[self.block], dtype=words.dtype) for raw in (current, wanted))
        flat = words.reshape(-1).copy()
        if self.unmasked is np.bitwise_xor:
            flat[self.order] ^= have ^ want
        elif self.unmasked is np.subtract:
            flat[self.order] += want - have
        else:
            flat[self.order] -= want - have
        return flat.reshape(words.shape)


class Replaced:
    """A stream some of whose draws are replaced; it tells what each draw was."""

    def __init__(self, stream: WordStream, purpose: str, instead: Tape, drawn: dict[Draw, Words]) -> None:
        self._stream = stream
        self._purpose = purpose
        self._instead = instead
        self._drawn = drawn
        self._number = 0

    @property
    def position_bytes(self) -> int:
        return self._stream.position_bytes

    def words(self, shape: Shape, dtype: np.dtype[Any]) -> Words:
        words = self._stream.words(shape, dtype)
        draw = (self._purpose, self._number)
        self._number += 1
        self._drawn[draw] = self._instead.get(draw, words).copy()
        return self._drawn[draw].copy()  # protocols work in place, and both holders draw this


def held() -> tuple[Words, Words]:
    """Return the two shares that the party has."""
    generator = np.random.default_rng(11)
    own, following = (generator.integers(0, 1 << 64, COUNT, dtype=WORD) for _ in range(2))
    return own, following


class World:
    """One secret, seen by one party, for any tape of the key that the party lacks."""

    def __init__(
        self, program: Program, party: int, missing: Words, manifest: Manifest | None = None
    ) -> None:
        self._program = program
        self._party = party
        self._manifest = manifest
        own, following = held()
        shares = {party: own, (party + 1) % 3: following, (party + 2) % 3: missing}
        self._shares = [Arithmetic(shares[i], shares[(i + 1) % 3]) for i in range(3)]

    def view(self, instead: Tape) -> tuple[list[bytes], dict[Draw, Words]]:
        """Return what the party receives, in causal order, and the tape of the key it lacks."""
        lacked = KEYS[(self._party + 2) % 3]
        drawn: dict[Draw, Words] = {}

        def opened(key: bytes, purpose: str) -> WordStream:
            stream = prg.open_stream(key, purpose)
            return Replaced(stream, purpose, instead, drawn) if key == lacked else stream

        session = run(lambda p: self._program(p, self._shares[p.index]), self._manifest, open_stream=opened)
        received = [[frame for frame in sent if frame.to == self._party] for sent in session.frames]
        numbered = [(frame.depth, k, frame.raw) for sent in received for k, frame in enumerate(sent)]
        return [raw for *_, raw in sorted(numbered, key=lambda frame: frame[:2])], drawn


def masks(world: World) -> list[Mask]:
    """Return the draws that mask messages, each with the first that it masks.

    Adding to a word of such a draw moves one word of the message alike, or flips the same bits of it.
    """
    plain, drawn = world.view({})
    found = []
    for draw, words in drawn.items():
        if draw[0] == "permutation":  # no mask: whatever it is, the messages are masked
            continue
        steps = (np.arange(1, words.size + 1).astype(WORD) * ODD).astype(words.dtype)
        moved, _ = world.view({draw: words + steps.reshape(words.shape)})
        flips = words.reshape(-1) ^ (words.reshape(-1) + steps)
        masked = (
            Mask(draw, frame, block, order, unmasked)
            for frame, block in blocks(plain, words.nbytes)
            for unmasked, order in direct(plain[frame][block], moved[frame][block], steps, flips)
        )
        found += list(islice(masked, 1))
    # A drawn secret is no mask where something else is: single bytes of both may move alike by chance.
    elsewhere = [mask for mask in found if mask.draw[0] != "random"]
    return [mask for mask in found if mask in elsewhere or not any(map(mask.meets, elsewhere))]


def blocks(frames: list[bytes], length: int) -> Iterator[tuple[int, slice]]:
    """Yield every part of a message that one draw may mask: protocols send whole columns after each other."""
    for k, frame in enumerate(frames):
        for start in range(0, len(frame) - length + 1, max(length, 1)):
            yield k, slice(start, start + length)


def direct(
    plain: bytes, moved: bytes, steps: Words, flips: Words
) -> Iterator[tuple[np.ufunc, npt.NDArray[np.intp]]]:
    """Yield how a block is masked, if it moved exactly as the draw did, up to the order of its words."""
    old, new = (np.frombuffer(raw, dtype=steps.dtype) for raw in (plain, moved))
    for unmasked, expected in ((np.bitwise_xor, flips), (np.subtract, steps), (np.add, np.negative(steps))):
        change = old ^ new if unmasked is np.bitwise_xor else new - old
        sorter = np.argsort(expected)
        if np.array_equal(np.sort(change), expected[sorter]):
            yield unmasked, sorter[np.argsort(np.argsort(change))]
            return


def explains(program: Program, party: int) -> bool:
    """Return whether a second secret can give the party the view that it has of a first one."""
    goal, _ = World(program, party, np.array([1, 1 << 62, 77], dtype=WORD)).view({})
    world = World(program, party, np.array([(1 << 64) - 5, 0, 1 << 63], dtype=WORD))
    found = masks(world)
    covered = sorted((mask.frame, mask.block.start, mask.block.stop) for mask in found)
    whole = [(frame, *span) for frame, raw in enumerate(goal) for span in spans(covered, frame, len(raw))]
    if covered != whole:
        return False  # a byte has no mask of its own
    tape: dict[Draw, Words] = {}
    for _ in found:  # a mask may also move later messages, so that these are corrected after it
        for mask in found:
            view, drawn = world.view(tape)
            if view == goal:
                return True
            tape[mask.draw] = mask.corrected(drawn[mask.draw], view[mask.frame], goal[mask.frame])
    return world.view(tape)[0] == goal


def spans(covered: list[tuple[int, int, int]], frame: int, length: int) -> list[tuple[int, int]]:
    """Return the edges of the blocks of one message if they tile it, else the whole message."""
    edges = [(start, stop) for k, start, stop in covered if k == frame]
    tiled = [0, *(stop for _, stop in edges)] == [*(start for start, _ in edges), length]
    return edges if tiled else [(0, length)]


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_any_other_secret_explains_what_a_party_sees(name: str, party: int) -> None:
    assert explains(PROTOCOLS[name], party)


def unmasked(party: Party, x: Arithmetic) -> object:
    """Multiply without the sharing of zero."""
    part = cross_terms(x, x)
    return party.exchange("unmasked", {party.previous: part}, {party.next: (part.shape, part.dtype)})


def masked_twice_alike(party: Party, x: Arithmetic) -> object:
    """Send two products under one mask."""
    drawn = [party.stream(at, "zero").words(x.shape, WORD) for at in (party.previous, party.next)]
    mask = drawn[0] - drawn[1]
    for factor in (x, x + x * 4):
        part = cross_terms(x, factor) + mask
        party.exchange("reuse", {party.previous: part}, {party.next: (part.shape, part.dtype)})
    return None


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("program", [unmasked, masked_twice_alike])
def test_control_a_message_without_a_mask_of_its_own_is_not_explained(program: Program, party: int) -> None:
    assert not explains(program, party)
