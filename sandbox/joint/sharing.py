"""Inputs on their way from a provider to three compute parties, as shares x = x0 + x1 + x2.

A column of numbers is shared additively, all others by XOR. The provider draws two seeds a and b and expands
them to x0 and x1 (as in `mpc/prg.py`), so that only x2 crosses the wire: party 0 is sent a and b; party 1 is
sent b and x2; party 2 is sent x2 and a. A party sees seeds, and words that are uniform without the seed that
it lacks: it learns nothing. Frames and their sizes follow from the plan alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from mpc.prg import Stream, Words
from mpc.sharing import BYTE, Boolean
from records.errors import EvidenceError
from sandbox.joint.inputs import PlainInput
from sandbox.joint.run import JointInput
from sandbox.joint.tables import Ring, SharedTable, named, rings
from sandbox.sql.plan import LocalPart
from sandbox.sql.steps import TableShape

SEED_BYTES = 16
FRAME_BYTES = 1 << 18
_SEEDS_OF = ((0, 1), (1,), (0,))
"""Party → which of the seeds it is sent."""


def input_frames(
    part: LocalPart, plain: PlainInput, random_bytes: Callable[[int], bytes]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield what parties 0, 1 and 2 are sent, frame by frame; an empty frame is not sent.

    `random_bytes` must be a cryptographic source such as `secrets.token_bytes`.
    """
    seeds = [random_bytes(SEED_BYTES) for _ in "ab"]
    first, second, third = (b"".join(seeds[seed] for seed in own) for own in _SEEDS_OF)
    yield first, second, third
    streams = [Stream(seed) for seed in seeds]
    faulty = np.array([plain.faulty], dtype=BYTE)
    for (kind, dtype), words in zip(_rings(part), (faulty, plain.valid, *plain.columns), strict=True):
        for start, stop in _runs(words.size, dtype.itemsize):
            run = words[start:stop]
            x0, x1 = (stream.words(run.shape, dtype) for stream in streams)
            frame = kind.subtract(kind.subtract(run, x0), x1).astype(dtype.newbyteorder("<")).tobytes()
            yield b"", frame, frame


def frame_bytes(part: LocalPart, party: int) -> Iterator[int]:
    """Yield the sizes of the frames that a party is sent, in the order of `input_frames`; 0 is not sent."""
    yield SEED_BYTES * len(_SEEDS_OF[party])
    for (_, dtype), count in zip(_rings(part), _counts(part), strict=True):
        for start, stop in _runs(count, dtype.itemsize):
            yield 0 if party == 0 else (stop - start) * dtype.itemsize


def input_bytes(part: LocalPart) -> int:
    """Return the bytes of all frames that a part sends to three parties."""
    return sum(sum(frame_bytes(part, party)) for party in range(3))


@dataclass(frozen=True, slots=True)
class InputShares:
    """What party `party` collects of one part, frame by frame."""

    party: int
    part: LocalPart
    frames: list[bytes | memoryview]

    def finished(self) -> JointInput:
        """Return the input, once every frame that is not empty has come.

        Raises:
            EvidenceError: a frame has another length than the plan demands.
        """
        sizes = [size for size in frame_bytes(self.part, self.party) if size]
        if [len(frame) for frame in self.frames] != sizes:
            raise EvidenceError("a provider sent an input of another length than planned; void the attempt")
        sent = iter(self.frames)
        seeds = bytes(next(sent))
        held = {
            seed: Stream(seeds[k * SEED_BYTES : (k + 1) * SEED_BYTES])
            for k, seed in enumerate(_SEEDS_OF[self.party])
        }

        def share(index: int, ring: Ring, count: int) -> Words:
            if index in held:
                return held[index].words((count,), ring[1])
            return _received(sent, ring, count)

        columns = []
        for ring, count in zip(_rings(self.part), _counts(self.part), strict=True):
            own, following = (share((self.party + k) % 3, ring, count) for k in range(2))
            columns.append(ring[0](own, following))
        faulty, valid, *rest = columns
        shape = TableShape(self.part.rows, {item.column.name: item.column for item in self.part.columns})
        table = SharedTable(shape, cast("Boolean", valid), named(shape, shape.columns, rest))
        return JointInput(table, cast("Boolean", faulty))


def share_input(
    part: LocalPart, plain: PlainInput, random_bytes: Callable[[int], bytes]
) -> tuple[JointInput, JointInput, JointInput]:
    """Return what three parties hold of an input, without a wire between them."""
    collected = [InputShares(party, part, []) for party in range(3)]
    for frames in input_frames(part, plain, random_bytes):
        for shares, frame in zip(collected, frames, strict=True):
            if frame:
                shares.frames.append(frame)
    first, second, third = (shares.finished() for shares in collected)
    return first, second, third


def _received(frames: Iterator[bytes | memoryview], ring: Ring, count: int) -> Words:
    words = np.empty(count, dtype=ring[1])
    for start, stop in _runs(count, ring[1].itemsize):
        words[start:stop] = np.frombuffer(next(frames), dtype=ring[1].newbyteorder("<"))
    return words


def _rings(part: LocalPart) -> list[Ring]:
    """Return the rings of the mark of a fault, of the valid bits, and of all columns of shares."""
    columns = (ring for item in part.columns for ring in rings(item.column))
    return [(Boolean, BYTE), (Boolean, BYTE), *columns]


def _counts(part: LocalPart) -> list[int]:
    return [1] + [part.rows] * (len(_rings(part)) - 1)


def _runs(count: int, width: int) -> Iterator[tuple[int, int]]:
    step = FRAME_BYTES // width
    for start in range(0, count, step):
        yield start, min(start + step, count)
