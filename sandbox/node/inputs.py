"""The parts of a joint plan on their way into shares: a node's own are run and sent, the others' taken in.

Every frame's size and turn follow from the plan. Frames are taken in while later ones go out, so that a link
needs room for `FRAMES_AHEAD` of them however long a table is.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa

from mpc.party import FRAMES_AHEAD
from records.errors import LimitExceeded, SourceUnreadable
from sandbox.joint.inputs import PlainInput, encode_part, faulty_part
from sandbox.joint.run import JointInput
from sandbox.joint.sharing import InputShares, frame_bytes, input_frames
from sandbox.link.mesh import Mesh
from sandbox.sql.plan import LocalPart

logger = logging.getLogger(__name__)

RunPart: TypeAlias = Callable[[LocalPart], Iterator[pa.RecordBatch]]
"""Runs a part of the plan over this node's own products; there is at least one batch."""


def encode_own(
    parts: Sequence[LocalPart], node: str, run_part: RunPart, context: bytes
) -> dict[int, PlainInput]:
    """Return this node's parts as they enter shares, by number; one that fails enters empty and faulty."""
    found = {}
    for number, part in enumerate(parts):
        if part.provider != node:
            continue
        try:
            found[number] = encode_part(part, run_part(part), context)
        except (LimitExceeded, SourceUnreadable) as fault:
            logger.warning("part cannot be put in", extra={"products": part.products, "fault": fault.code})
            found[number] = faulty_part(part)
    return found


def exchange_inputs(
    mesh: Mesh, node: str, seats: Sequence[str], parts: Sequence[LocalPart], own: Mapping[int, PlainInput]
) -> list[JointInput]:
    """Send this node's inputs to the seats; at a seat, return its shares of all parts, else nothing.

    Raises:
        EvidenceError: a provider sent an input of another length than the plan has.
        PeerUnavailable: a peer is gone, sends nothing or takes nothing.
    """
    seat = seats.index(node) if node in seats else None
    collected = [] if seat is None else [InputShares(seat, part, []) for part in parts]
    outgoing = _outgoing(parts, own)
    incoming = {} if seat is None else _incoming(parts, node, seat)
    for turn in itertools.count():
        sent = next(outgoing, None)
        number, frames = sent or (0, ())
        for receiver, frame in enumerate(frames):
            if frame and receiver == seat:
                collected[number].frames.append(frame)
            elif frame:
                mesh.send(seats[receiver], frame)
        if turn >= FRAMES_AHEAD:
            incoming = {name: due for name, due in incoming.items() if _taken(mesh, name, due, collected)}
        if sent is None and not incoming:
            return [shares.finished() for shares in collected]
    raise AssertionError("counting never ends")


def _outgoing(
    parts: Sequence[LocalPart], own: Mapping[int, PlainInput]
) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """Yield turn by turn the number of a part, and what each seat is sent of it."""
    for number, plain in own.items():
        for frames in input_frames(parts[number], plain, secrets.token_bytes):
            yield number, frames


def _incoming(parts: Sequence[LocalPart], node: str, seat: int) -> dict[str, Iterator[tuple[int, int]]]:
    """Return for each other provider, turn by turn, the number of its part, and the bytes that it sends."""
    numbers: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        if part.provider != node:
            numbers.setdefault(part.provider, []).append(number)
    return {name: _turns(parts, own, seat) for name, own in numbers.items()}


def _turns(parts: Sequence[LocalPart], numbers: Sequence[int], seat: int) -> Iterator[tuple[int, int]]:
    for number in numbers:
        for size in frame_bytes(parts[number], seat):
            yield number, size


def _taken(mesh: Mesh, name: str, due: Iterator[tuple[int, int]], collected: Sequence[InputShares]) -> bool:
    """Take in what a provider sends in its next turn, if it sends anything; return whether it had one."""
    turn = next(due, None)
    if turn is None:
        return False
    number, size = turn
    if size:
        collected[number].frames.append(mesh.receive(name))
    return True
