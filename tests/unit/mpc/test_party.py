from __future__ import annotations

import threading

import numpy as np
import pytest

from mpc.costs import Cost
from mpc.link import Link
from mpc.manifest import Manifest
from mpc.multiplication import reshare
from mpc.party import FRAME_BYTES, FRAMES_AHEAD, PairKeys, Party
from mpc.prg import open_stream
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean
from records.errors import EvidenceError, InputError
from sandbox.link.memory import memory_links
from tests.unit.mpc.three_parties import KEYS, run


def party(index: int, link: Link) -> Party:
    return Party(index, link, PairKeys(KEYS[0], KEYS[1]), Manifest())


def test_keys_are_of_full_length_distinct_and_never_shown() -> None:
    for previous, following in ((KEYS[0], KEYS[0]), (KEYS[0][:31], KEYS[1]), (b"", KEYS[1])):
        with pytest.raises(InputError):
            PairKeys(previous, following)
    assert repr(PairKeys(KEYS[0], KEYS[1])) == "PairKeys(…)"


def test_a_party_has_a_link_of_its_own() -> None:
    links = memory_links(1.0)
    with pytest.raises(InputError):
        party(1, links[0])
    with pytest.raises(InputError):
        party(3, links[0])
    assert party(0, links[0]).previous == 2


@pytest.mark.parametrize("kind", [Arithmetic, Boolean])
def test_parts_are_masked_by_a_sharing_of_zero_that_never_repeats(
    kind: type[Arithmetic] | type[Boolean],
) -> None:
    nothing = np.zeros(16, dtype=WORD)
    first, second = zip(
        *run(lambda p: tuple(reshare(p, kind, nothing).own for _ in range(2))).results, strict=True
    )
    for shares in (first, second):
        assert not kind.add(kind.add(shares[0], shares[1]), shares[2]).any()
    drawn = np.concatenate([*first, *second])
    assert len(set(drawn.tolist())) == drawn.size


def test_long_messages_cross_in_frames_that_are_computed_as_they_leave() -> None:
    count = 2 * FRAME_BYTES // 8 + 1

    def program(p: Party) -> list[slice]:
        runs: list[slice] = []
        own = np.zeros(count, WORD)

        def produce(run: slice) -> None:
            runs.append(run)
            own[run] = p.index

        received = p.exchange("step", {p.next: own}, {p.previous: ((count,), WORD)}, produce)
        assert np.all(received[p.previous] == p.previous)
        return runs

    session = run(program)
    length = FRAME_BYTES // 8
    expected = [slice(0, length), slice(length, 2 * length), slice(2 * length, count)]
    assert session.results == (expected,) * 3
    assert session.cost == Cost(1, 3 * 8 * count)
    assert [len(frame.raw) for frame in session.frames[0]] == [FRAME_BYTES, FRAME_BYTES, 8]


def test_an_exchange_needs_room_for_a_few_frames_only() -> None:
    """Every link blocks its sender once `FRAMES_AHEAD` frames wait: a round must pass nevertheless."""

    class Bounded:
        def __init__(self, link: Link) -> None:
            self._link = link
            self.party = link.party

        def send(self, to: int, frame: bytes | memoryview) -> None:
            assert room[self.party, to].acquire(timeout=10.0), "the round is stuck"
            self._link.send(to, frame)

        def receive(self, sender: int) -> bytes | memoryview:
            frame = self._link.receive(sender)
            room[sender, self.party].release()
            return frame

    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    room = {pair: threading.Semaphore(FRAMES_AHEAD + 1) for pair in pairs}
    count = 40 * FRAME_BYTES

    def program(p: Party) -> None:
        column = np.zeros(count, BYTE)
        announced = ((count,), BYTE)
        p.exchange("ring", {p.previous: column}, {p.next: announced})
        p.exchange("all", {p.previous: column, p.next: column}, {p.previous: announced, p.next: announced})
        p.exchange("one way", {1: column} if p.index == 0 else {}, {0: announced} if p.index == 1 else {})

    run(program, wrap=Bounded)


def test_a_later_frame_of_another_length_is_laid_to_its_sender() -> None:
    class Cutting:
        def __init__(self, link: Link) -> None:
            self._link = link
            self.party = link.party
            self.receive = link.receive
            self._sent = 0

        def send(self, to: int, frame: bytes | memoryview) -> None:
            self._sent += 1
            self._link.send(to, bytes(frame)[:-1] if (self.party, self._sent) == (1, 2) else frame)

    column = np.zeros(3 * FRAME_BYTES, BYTE)

    def program(p: Party) -> None:
        p.exchange("reshare", {p.next: column}, {p.previous: (column.shape, BYTE)})

    with pytest.raises(
        EvidenceError, match="in the step `reshare`: party 1 sent 262143 bytes, 262144 were due"
    ):
        run(program, wrap=Cutting)


def test_streams_differ_by_key_and_purpose_and_only_move_forward() -> None:
    def draw(key: bytes, purpose: str) -> list[int]:
        words: list[int] = open_stream(key, purpose).words((8,), np.dtype(np.uint64)).tolist()
        return words

    streams = [draw(key, purpose) for key in KEYS for purpose in ("zero", "random", "input")]
    assert len({word for words in streams for word in words}) == 8 * 9
    assert draw(KEYS[0], "zero") == streams[0]

    stream = open_stream(KEYS[0], "zero")
    parts = [stream.words((n,), np.dtype(np.uint8)) for n in (3, 0, 13, 48)]
    assert stream.position_bytes == 64
    assert np.concatenate(parts).view("<u8").tolist() == streams[0]


def test_a_long_draw_equals_many_short_ones() -> None:
    count = (1 << 15) + 5  # beyond one block of plaintext
    whole = open_stream(KEYS[1], "zero").words((2, count), np.dtype(np.uint64))
    stream = open_stream(KEYS[1], "zero")
    np.testing.assert_array_equal(whole[0], stream.words((count,), np.dtype(np.uint64)))
    np.testing.assert_array_equal(whole[1], stream.words((count,), np.dtype(np.uint64)))
