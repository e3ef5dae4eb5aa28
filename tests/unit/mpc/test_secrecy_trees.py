"""Secrecy of whole trees and of truncation in words of eight bits, for every secret.

Whole protocols: for each of the 256 secrets (for truncation the 128 it allows), for varied shares and tapes
that the party has, and for any view at all, the test solves for the tape of the key that the party lacks.
Each message is masked by draws of its own, of its length, so that views and tapes are equally many: if every
view is reached by every secret, each is reached by exactly one tape, and the view is uniform. Secrets are
exhausted here; views are 256 uniform ones for each secret, since a sign alone has 2^29 of them.

Truncation: every secret, every mask; exactly the leak that `truncate_probabilistic` states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpc import prg
from mpc.comparison import equal_bits, less_than_bits, negative_bits, zero_bits
from mpc.conversion import arithmetic_to_bits, words_to_arithmetic
from mpc.party import Party
from mpc.prg import Words, WordStream
from mpc.sharing import BYTE, Arithmetic, decode
from mpc.truncation import truncate_exact, truncate_probabilistic
from tests.unit.mpc.test_secrecy import grid, messages, playing
from tests.unit.mpc.test_views import Draw, Program, Replaced, bits, masked_twice_alike, unmasked
from tests.unit.mpc.three_parties import KEYS, Session, run, words_of

VIEWS = 256
RESHARED = ("random", "reshare")
TREES: dict[str, Program] = {
    "negative_bits": negative_bits,
    "zero_bits": zero_bits,
    "equal_bits": lambda p, x: equal_bits(p, x, x * 3),
    "less_than_bits": lambda p, x: less_than_bits(p, x, x * 3),
    "arithmetic_to_bits": arithmetic_to_bits,
    "truncate_probabilistic": lambda p, x: truncate_probabilistic(p, x, 3),
    "truncate_exact": lambda p, x: truncate_exact(p, x, 3),
}


class Column:
    """All secrets, each as often as there are views; what the party has of each is its own."""

    def __init__(self, program: Program, party: int, secrets: Words) -> None:
        self._program, self._party = program, party
        generator = np.random.default_rng(17)
        secret = np.repeat(secrets, VIEWS)
        own, following = (generator.integers(0, 256, secret.size, dtype=BYTE) for _ in range(2))
        shares = {party: own, (party + 1) % 3: following, (party + 2) % 3: secret - own - following}
        self._shares = [Arithmetic(shares[i], shares[(i + 1) % 3]) for i in range(3)]

    def view(self, instead: Mapping[Draw, Words]) -> tuple[list[Words], dict[Draw, Words]]:
        """Return the messages that the party receives, in causal order, and the tape that it lacks."""
        lacked = KEYS[(self._party + 2) % 3]
        drawn: dict[Draw, Words] = {}

        def opened(key: bytes, purpose: str) -> WordStream:
            stream = prg.open_stream(key, purpose)
            return Replaced(stream, purpose, instead, drawn) if key == lacked else stream

        session = run(lambda p: self._program(p, self._shares[p.index]), open_stream=opened)
        return self._seen(session), drawn

    def _seen(self, session: Session[object]) -> list[Words]:
        frames = sorted(session.received_by(self._party), key=lambda frame: frame.depth)
        return [np.frombuffer(frame.raw, dtype=BYTE) for frame in frames]


class OpenedWords(Column):
    """A column whose last message opens a word to its receiver, who has the other two shares of it.

    With these, which the view before determines, message and word determine each other.
    """

    def _seen(self, session: Session[object]) -> list[Words]:
        result = session.results[self._party]
        assert isinstance(result, Arithmetic)
        seen = super()._seen(session)
        return seen if self._party == 0 else [*seen[:-1], (result.next, result.own)[self._party - 1]]


def masks_of(column: Column) -> dict[int, tuple[Draw, np.ufunc]]:
    """Return for each message the draw that masks it, and how the message moves as the draw does."""
    plain, drawn = column.view({})
    found: dict[int, tuple[Draw, np.ufunc]] = {}
    for draw, words in drawn.items():
        other = words * 5 + 77
        moved, _ = column.view({draw: other})
        for k, (old, new) in enumerate(zip(plain, moved, strict=True)):
            if k in found or old.nbytes != words.nbytes or np.array_equal(old, new):
                continue
            before, after = (raw.reshape(-1).view(BYTE) for raw in (words, other))
            alike = {
                np.bitwise_xor: old ^ new == before ^ after,
                np.add: new - old == after - before,
                np.subtract: old - new == after - before,
            }
            moves = [move for move, same in alike.items() if same.all()]
            if moves:
                found[k] = draw, moves[0]
                break
    return found


def every_view_is_reached(column: Column) -> bool:
    """Return whether each secret has a tape for each of `VIEWS` uniform views."""
    masks = masks_of(column)
    plain, drawn = column.view({})
    if set(masks) != set(range(len(plain))):
        return False  # a message has no mask of its own
    generator = np.random.default_rng(23)
    goal = [generator.integers(0, 256, message.size, dtype=BYTE) for message in plain]
    tape: dict[Draw, Words] = {}
    for _ in masks:  # a mask may also move other messages, which are corrected after it
        for k, (draw, move) in masks.items():
            view, _ = column.view(tape)
            change = goal[k] ^ view[k] if move is np.bitwise_xor else goal[k] - view[k]
            words = tape.get(draw, drawn[draw]).reshape(-1).view(BYTE)
            solved = words - change if move is np.subtract else move(words, change)
            tape[draw] = solved.view(drawn[draw].dtype).reshape(drawn[draw].shape)
        reached, _ = column.view(tape)
        if all(map(np.array_equal, reached, goal)):
            return True
    return not goal


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("name", TREES)
def test_every_secret_reaches_every_view_of_a_whole_tree(name: str, party: int) -> None:
    allowed = np.arange(-64, 64) if name.startswith("truncate") else np.arange(256)
    assert every_view_is_reached(Column(TREES[name], party, allowed.astype(BYTE)))


@pytest.mark.parametrize("party", [0, 1, 2])
def test_words_turn_into_numbers_unseen(party: int) -> None:
    column = OpenedWords(lambda p, x: words_to_arithmetic(p, bits(x)), party, np.arange(256, dtype=BYTE))
    assert every_view_is_reached(column)


def reusing_masks(party: Party, x: Arithmetic) -> object:
    """Take two signs with streams that were wound back between them."""
    streams = party._streams  # the fault that is tried
    negative_bits(party, x)
    streams.clear()
    return negative_bits(party, x * 3)


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("program", [unmasked, masked_twice_alike, reusing_masks])
def test_control_a_message_without_a_mask_of_its_own_is_found(program: Program, party: int) -> None:
    assert not every_view_is_reached(Column(program, party, np.arange(256, dtype=BYTE)))


def test_control_a_sum_sent_in_place_of_a_word_of_bits_is_found() -> None:
    """Party 1 gets the word itself, not what is left of it once two uniform numbers are taken off."""

    def program(party: Party, x: Arithmetic) -> Arithmetic:
        send = {1: x.next} if party.index == 2 else {}
        got = party.exchange("raw", send, {2: (x.shape, x.dtype)} if party.index == 1 else {})
        return Arithmetic(x.own, x.own + x.next + got[2]) if party.index == 1 else x

    assert not every_view_is_reached(OpenedWords(program, 1, np.arange(256, dtype=BYTE)))


@dataclass(frozen=True)
class Truncations:
    """Columns (128, tapes): every x under every tape that a party lacks, and the party's view as a number."""

    x: Words
    r: Words
    c: Words
    result: npt.NDArray[np.signedinteger[Any]]
    view: npt.NDArray[np.int64]


def truncations(party: int, bits: int, *, masked: bool = True) -> Truncations:
    """Truncate by `bits`, as party 1 or 2 sees it.

    What the party lacks of c is read whole. What party 0 deals, and the fresh shares, are sums modulo 256,
    read modulo 4 with masks below 4: reduction is a homomorphism.
    """
    lacked, ring = (party + 2) % 3, 4
    masks = [ring] * (3 if party == 1 else 1)
    index, r_lacked, *rest = (column.astype(BYTE) for column in grid(128, 256 if masked else 1, *masks))
    x = index - BYTE.type(64)
    own, following = np.full_like(x, 201), np.full_like(x, 94)
    shares = {party: own, (party + 1) % 3: following, lacked: x - own - following}
    known = np.full_like(x, 155)
    tapes: dict[tuple[int, str], Words] = {(k, purpose): known for k in (0, 1) for purpose in RESHARED}
    tapes[0, "input"] = np.stack(rest[:2] if party == 1 else [known, known])
    tapes |= {(lacked, "random"): r_lacked, (lacked, "reshare"): rest[-1]}
    session = run(
        lambda p: truncate_probabilistic(p, Arithmetic(shares[p.index], shares[(p.index + 1) % 3]), bits),
        open_stream=playing(tapes),
    )
    received = messages(session, party)
    view = received.pop(2 if party == 1 else 0).astype(np.int64)  # the share of c; party 0 dealt the others
    for column in received:
        view = view * ring + column % ring
    r = tapes[0, "random"] + tapes[1, "random"]
    c, result = x + BYTE.type(64) + r, decode(words_of(session.results))
    x, r, c = (column.reshape(128, -1) for column in (x, r, c))
    return Truncations(x, r, c, result.reshape(128, -1), view.reshape(128, -1))


@pytest.mark.parametrize("bits", [1, 3, 6])
@pytest.mark.parametrize("party", [1, 2])
def test_each_view_of_a_truncation_comes_from_one_tape_of_every_number(party: int, bits: int) -> None:
    views = np.sort(truncations(party, bits).view, axis=1)
    assert (views == np.arange(views.shape[1])).all()


def test_control_a_truncation_without_its_mask_shows_the_number() -> None:
    views = np.sort(truncations(2, 3, masked=False).view, axis=1)
    assert len({row.tobytes() for row in views}) == 128


@pytest.mark.parametrize("bits", [1, 3, 6])
@pytest.mark.parametrize("party", [1, 2])
def test_a_truncation_leaks_the_stated_coin_and_nothing_else(party: int, bits: int) -> None:
    """View and result together are the view, the floor, and the coin: low(c) < low(x), as party 1 and 2
    know c; or low(x) + low(r) ≥ 2^f, as party 0 knows r.
    """
    found, low = truncations(party, bits), (1 << bits) - 1
    floor, remainder = decode(found.x) >> bits, (found.x & low).astype(int)
    coin = (found.c & low) < remainder
    np.testing.assert_array_equal(found.result, floor + coin)
    np.testing.assert_array_equal(coin, (found.r & low).astype(int) + remainder > low)
    # By view, the results of two numbers with one floor differ in exactly |x − y| of 2^f views.
    by_view = np.take_along_axis(found.result, np.argsort(found.view, axis=1), axis=1)
    for x, y in ((0, 1), (0, low), (low // 2, low)):
        assert (by_view[x] != by_view[y]).mean() == abs(x - y) / (1 << bits)
