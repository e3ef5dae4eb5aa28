"""Exhaustive secrecy of resharing, of products in a row, and of shuffles; see `test_secrecy.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from mpc.multiplication import multiply, reshare
from mpc.party import Party
from mpc.prg import OpenStream, Shape, Words, WordStream
from mpc.relational import shuffle as shuffling
from mpc.relational.permutation import NO_ROWS
from mpc.sharing import Arithmetic
from tests.unit.mpc.test_secrecy import Playback, Tapes, grid, largest_distance, messages, playing
from tests.unit.mpc.three_parties import KEYS, run, words_of


@pytest.mark.parametrize("masked", [True, False])
def test_fresh_shares_of_additive_parts_show_nothing(masked: bool) -> None:
    ring = 4
    x, z, *tape = grid(*[ring] * (5 if masked else 2))
    parts = [z, x - z, np.zeros_like(x)]
    tapes = {(k, "zero"): tape[k] if masked else np.zeros_like(x) for k in range(3)}
    session = run(lambda party: reshare(party, Arithmetic, parts[party.index]), open_stream=playing(tapes))
    np.testing.assert_array_equal(words_of(session.results) % ring, x)
    found = []
    for i in range(3):
        known = [parts[i], tapes[i, "zero"], tapes[(i + 1) % 3, "zero"], *messages(session, i)]
        found.append(largest_distance(x, known, ring))
    assert found == [0, 0, 0] if masked else found[0] > 0


@pytest.mark.parametrize("reused", [False, True])
def test_two_products_need_two_masks(reused: bool) -> None:
    """Composition over Z_2: x·y·z in two rounds, with tapes for each round or with one for both."""
    x, y, z, x0, y0, z0, x1, y1, z1, *tape = grid(*[2] * (9 + (3 if reused else 6)))
    shares = [(s0, s1, s - s0 - s1) for s, s0, s1 in ((x, x0, x1), (y, y0, y1), (z, z0, z1))]
    rounds = tape * 2 if reused else tape
    tapes = {(k, "zero"): np.concatenate([rounds[k], rounds[3 + k]]) for k in range(3)}

    def program(party: Party) -> Arithmetic:
        i = party.index
        a, b, c = (Arithmetic(s[i], s[(i + 1) % 3]) for s in shares)
        return multiply(party, multiply(party, a, b), c)

    session = run(program, open_stream=playing(tapes))
    np.testing.assert_array_equal(words_of(session.results) % 2, x * y * z)
    secret = 4 * x + 2 * y + z
    found = []
    for i in range(3):
        held = [s[k] for s in shares for k in (i, (i + 1) % 3)]
        drawn = [rounds[k + at] for k in (i, (i + 1) % 3) for at in ((0,) if reused else (0, 3))]
        found.append(largest_distance(secret, [*held, *drawn, *messages(session, i)], 2))
    assert max(found) > 0 if reused else found == [0, 0, 0]


class Deck:
    """A stream that only tells which permutation it stands for."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.permutation = replace(NO_ROWS, sizes=np.array([len(order)]), order=np.array(order))
        self.position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint64]) -> Words:
        raise AssertionError("a permutation is dealt, not drawn")


@pytest.mark.parametrize("known_word", [0, 1])
@pytest.mark.parametrize("party", [0, 2])
@pytest.mark.parametrize("masked", [True, False])
def test_a_shuffle_of_three_rows_shows_no_party_anything(
    party: int, known_word: int, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All inputs, permutations and masks over Z_2 that a party lacks, for constant ones that it has.

    Party 1 receives nothing at all.
    """
    monkeypatch.setattr(shuffling, "random_permutation", lambda stream, count: stream.permutation)
    *rows, m0, m1, m2, r0, r1, r2 = grid(*[2] * (9 if masked else 3), *([1] * (0 if masked else 6)))
    table = np.stack(rows, axis=1)
    secret = (table * [4, 2, 1]).sum(axis=1)
    lacked, known = (party + 2) % 3, np.full_like(table, known_word)
    tapes = {
        **{(k, purpose): known for k in range(3) for purpose in ("mask", "reshare")},
        (lacked, "mask"): np.stack([m0, m1, m2], axis=1),
        (lacked, "reshare"): np.stack([r0, r1, r2], axis=1),
    }
    shares = {party: known, (party + 1) % 3: known, lacked: table - 2 * known}
    counts: dict[int, Counter[bytes]] = {int(s): Counter() for s in np.unique(secret)}
    for order in permutations(range(3)):
        opened = dealing({k: order if k == lacked else (1, 2, 0) for k in range(3)}, tapes)

        def program(p: Party) -> tuple[Arithmetic, ...]:
            own, following = shares[p.index], shares[(p.index + 1) % 3]
            return shuffling.shuffle(p, [Arithmetic(*pair) for pair in zip(own, following, strict=True)])

        session = run(program, open_stream=opened)
        assert session.received_by(1) == []
        frames = session.received_by(party)
        columns = [np.frombuffer(frame.raw, dtype="<u8").reshape(table.shape) % 2 for frame in frames]
        for s, view in zip(secret.tolist(), np.concatenate(columns, axis=1), strict=True):
            counts[s][view.tobytes()] += 1
    assert all(count == counts[0] for count in counts.values()) == masked


def dealing(orders: Mapping[int, tuple[int, ...]], tapes: Tapes) -> OpenStream:
    def opened(key: bytes, purpose: str) -> WordStream:
        k = KEYS.index(key)
        return Deck(orders[k]) if purpose == "permutation" else Playback(tapes[k, purpose].reshape(-1))

    return opened
