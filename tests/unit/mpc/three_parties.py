"""Three parties in three threads over memory links: runs a program, records what was sent."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from mpc import prg
from mpc.bits import unpack
from mpc.costs import Cost
from mpc.link import CountingLink, Link
from mpc.manifest import Manifest
from mpc.party import PairKeys, Party
from mpc.prg import OpenStream, Words
from mpc.sharing import WORD, Arithmetic, Boolean, Shared, decode, split
from sandbox.link.memory import memory_links

T = TypeVar("T")
KEYS = tuple(bytes([i]) * 32 for i in (1, 2, 3))
"""Key k_i of parties i−1 and i."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was sent; `depth` is the length of the longest chain of frames that led to it."""

    sender: int
    to: int
    raw: bytes
    depth: int


class RecordingLink:
    """A link that keeps every frame and the causal depth at which it was sent."""

    def __init__(self, link: Link, depths: dict[tuple[int, int], deque[int]]) -> None:
        self._link = link
        self._depths = depths
        self._depth = 0
        self.frames: list[Frame] = []

    @property
    def party(self) -> int:
        return self._link.party

    def send(self, to: int, frame: bytes | memoryview) -> None:
        self._depths[self.party, to].append(self._depth + 1)
        self.frames.append(Frame(self.party, to, bytes(frame), self._depth + 1))
        self._link.send(to, frame)

    def receive(self, sender: int) -> bytes | memoryview:
        frame = self._link.receive(sender)
        self._depth = max(self._depth, self._depths[sender, self.party].popleft())
        return frame


@dataclass(frozen=True, slots=True)
class Session(Generic[T]):
    """What three parties returned, spent and sent (`frames[i]` by party i, in order)."""

    results: tuple[T, T, T]
    cost: Cost
    depth: int
    frames: tuple[tuple[Frame, ...], ...]
    positions_bytes: tuple[dict[tuple[int, str], int], ...]

    def received_by(self, party: int) -> list[Frame]:
        return [frame for sent in self.frames for frame in sent if frame.to == party]

    def trace(self) -> list[list[tuple[int, int, int]]]:
        """Who sent how much to whom, at which depth: all that an observer of the wire sees."""
        return [[(frame.to, len(frame.raw), frame.depth) for frame in sent] for sent in self.frames]


def run(
    program: Callable[[Party], T],
    manifest: Manifest | None = None,
    *,
    open_stream: OpenStream = prg.open_stream,
    keys: Sequence[bytes] = KEYS,
    wrap: Callable[[Link], Link] = lambda link: link,
    timeout_s: float = 20.0,
) -> Session[T]:
    """Run the program as parties 0, 1 and 2; raise the error that came first."""
    depths = {(i, j): deque[int]() for i in range(3) for j in range(3) if i != j}
    memory = memory_links(timeout_s)
    recorders = [RecordingLink(wrap(link), depths) for link in memory]
    counters = [CountingLink(link) for link in recorders]
    parties = [
        Party(
            i,
            counters[i],
            PairKeys(keys[i], keys[(i + 1) % 3]),
            manifest or Manifest(),
            open_stream=open_stream,
        )
        for i in range(3)
    ]
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def work(index: int) -> None:
        try:
            results[index] = program(parties[index])
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            errors.append(error)
            memory[index].close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert len({party.rounds for party in parties}) == 1
    return Session(
        (results[0], results[1], results[2]),
        Cost(parties[0].rounds, sum(counter.bytes_sent for counter in counters)),
        max((frame.depth for recorder in recorders for frame in recorder.frames), default=0),
        tuple(tuple(recorder.frames) for recorder in recorders),
        tuple({(n, str(p)): b for (n, p), b in party.positions_bytes().items()} for party in parties),
    )


def shared(values: object, dtype: np.dtype[Any] = WORD) -> tuple[Arithmetic, Arithmetic, Arithmetic]:
    """Share integers as a client would."""
    return split(np.asarray(values), secrets.token_bytes, dtype)


def words_of(shares: Sequence[Shared]) -> Words:
    """Reconstruct, after checking that both holders of each share agree."""
    for i in range(3):
        np.testing.assert_array_equal(shares[i].next, shares[(i + 1) % 3].own)
    kind = type(shares[0])
    words: Words = kind.add(kind.add(shares[0].own, shares[1].own), shares[2].own)
    return words


def values_of(shares: Sequence[Shared]) -> Words:
    """Reconstruct as signed integers."""
    return decode(words_of(shares))


def evaluate(program: Callable[..., Shared], *columns: Words, dtype: np.dtype[Any] = WORD) -> Words:
    """Run a protocol on columns shared in one ring; return the result as signed integers."""
    return values_of(_evaluated(program, columns, dtype))


def bits_of(program: Callable[..., Boolean], *columns: Words, dtype: np.dtype[Any] = WORD) -> Words:
    """Run a protocol on columns shared in one ring; return its packed answer as one bit an element."""
    packed = words_of(_evaluated(program, columns, dtype))
    count = columns[0].size
    assert packed.shape == (-(-count // 8),)
    assert not unpack(packed, 8 * packed.size)[count:].any(), "bits after the last are 0"
    return unpack(packed, count)


def _evaluated(
    program: Callable[..., Shared], columns: Sequence[Words], dtype: np.dtype[Any]
) -> Sequence[Shared]:
    shares = [shared(column, dtype) for column in columns]
    session = run(lambda party: program(party, *(share[party.index] for share in shares)))
    assert_streams_in_step(session.positions_bytes)
    return session.results


def assert_streams_in_step(positions: Sequence[dict[tuple[int, str], int]]) -> None:
    """Both holders of a key have drawn equally much of each of its streams."""
    for party in range(3):
        for (neighbour, purpose), drawn in positions[party].items():
            assert positions[neighbour].get((party, purpose)) == drawn
