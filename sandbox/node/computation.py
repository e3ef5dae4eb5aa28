"""A node's part of one attempt, run in a worker thread: local SQL, shares in, the gate, shares out.

Steps, for a joint plan (who runs them):
1. every pair that talks confirms its keys (all nodes);
2. each provider runs its part, pads it, splits it, and sends one pair of shares to each compute party;
3. the compute parties run `sandbox.gate.shares.gate`;
4. each compute party tells the nodes without a seat what it came to; they must all be told the same.
Every provider learns nothing; a compute party learns the number of rows and cells released.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpc.manifest import Opening
from mpc.party import PairKeys, Party
from mpc.sharing import Arithmetic, from_bytes, split, to_bytes
from mpc.transcript import Head, RecordingLink
from records import canonical
from records.errors import EvidenceError, LimitExceeded, SourceUnreadable
from records.job import ChannelDigest, OpeningRecord, opening_ledger
from sandbox.derivation import Derived
from sandbox.gate import costs, plain, shares
from sandbox.gate.layout import Layout
from sandbox.gate.shares import Gated, JointInput
from sandbox.link.mesh import Mesh
from sandbox.node.keys import AttemptSecrets
from sandbox.sql.keys import encode_keys, tags
from sandbox.sql.partials import encode_partials
from sandbox.sql.plan import LocalPart, Plan
from sandbox.stopwatch import Stopwatch

logger = logging.getLogger(__name__)

RunPart = Callable[[LocalPart], pa.Table]


@dataclass(frozen=True, slots=True, repr=False)
class HeldShare:
    """A share to be sealed: its index, its bytes, the salt both of its holders know."""

    index: int
    data: bytes
    salt: bytes

    def __repr__(self) -> str:
        return f"HeldShare({self.index}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Computed:
    """What an attempt came to at this node."""

    verdict: Literal["sealed", "withheld"]
    cells: int
    opening_ledger: str
    shares: tuple[HeldShare, ...]
    transcript: tuple[ChannelDigest, ...] = ()


class SeatLink:
    """The channel between the three seats, as `mpc.link.Link` wants it: peers by index."""

    def __init__(self, mesh: Mesh, seats: tuple[str, ...], party: int, watch: Stopwatch) -> None:
        """`party` is this node's index in `seats`; `watch` sums the time spent on the wire."""
        self._mesh = mesh
        self._seats = seats
        self._party = party
        self._watch = watch

    @property
    def party(self) -> int:
        """The index of this node's seat."""
        return self._party

    def send(self, to: int, frame: bytes | memoryview) -> None:
        """Send one frame to seat `to`."""
        with self._watch.measure("wire"):
            self._mesh.send(self._seats[to], frame)

    def receive(self, sender: int) -> bytes | memoryview:
        """Wait for the next frame of seat `sender`."""
        with self._watch.measure("wire"):
            return self._mesh.receive(self._seats[sender])


def run_local(derived: Derived, run_part: RunPart) -> Computed:
    """Run a plan of one provider and apply the gate in the clear; the one share is the finished table."""
    part = derived.plan.parts[0]
    try:
        result = plain.gate(derived.plan, derived.rules, run_part(part))
    except (LimitExceeded, SourceUnreadable) as fault:
        # Which of them it was depends on rows: outside, it is a withheld result like any other (R12).
        logger.warning("local part withheld", extra={"product": part.product, "fault": fault.code})
        result = None
    ledger = ledger_digest(
        tuple(Opening(item.opening_id, item.receivers, item.shape) for item in derived.openings)
    )
    if result is None:
        return Computed("withheld", 0, "", ())
    table = result.table.replace_schema_metadata({"suppressed": str(result.suppressed)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    held = HeldShare(0, sink.getvalue().to_pybytes(), secrets.token_bytes(32))
    return Computed("sealed", result.cells, ledger, (held,))


def run_joint(
    derived: Derived, attempt: AttemptSecrets, mesh: Mesh, run_part: RunPart, watch: Stopwatch
) -> Computed:
    """Take this node's part in a joint plan; `watch` learns where the time goes."""
    seats, node = derived.compute_set, attempt.node
    onlookers = tuple(name for name in derived.nodes if name not in seats)
    # (1) whoever exchanges frames with this node
    peers = tuple(name for name in (derived.nodes if node in seats else seats) if name != node)
    with watch.measure("wire"):
        attempt.confirm(mesh, peers)
    # (2)
    own = _send_inputs(derived, attempt, mesh, run_part) if node in derived.providers else None
    if node not in seats:
        return _told(mesh, seats)
    # (3)
    with watch.measure("wire"):
        inputs = [
            own if name == node and own is not None else _receive_input(derived.plan, mesh, name)
            for name in _owners(derived.plan)
        ]
    seat = seats.index(node)
    before, after = seats[(seat + 2) % 3], seats[(seat + 1) % 3]
    keys = PairKeys(
        attempt.pair_key(before, "shared-randomness"), attempt.pair_key(after, "shared-randomness")
    )
    link = RecordingLink(SeatLink(mesh, seats, seat, watch))
    party = Party(seat, link, keys, costs.manifest(derived.openings))
    with watch.measure("protocol"):
        gated = shares.gate(party, derived.plan, derived.rules, inputs)
    # (4)
    for name in onlookers:
        mesh.send(name, _telling(gated))
    ledger, transcript = ledger_digest(party.ledger.entries), _transcript(link.heads, seats)
    if gated.shares is None:
        return Computed("withheld", 0, ledger, (), transcript)
    salts = (attempt.pair_key(before, "share-commitment"), attempt.pair_key(after, "share-commitment"))
    held = tuple(HeldShare((seat + offset) % 3, gated.shares[offset], salts[offset]) for offset in range(2))
    return Computed("sealed", gated.cells, ledger, held, transcript)


def ledger_digest(openings: tuple[Opening, ...]) -> str:
    """Return the digest of an opening ledger, as it stands in a sealed result (R8)."""
    return opening_ledger(
        [
            OpeningRecord(opening_id=item.id, receivers=item.receivers, shape=item.shape or ())
            for item in openings
        ]
    )


def _owners(plan: Plan) -> list[str]:
    return [part.provider for part in plan.parts]


def _send_inputs(
    derived: Derived, attempt: AttemptSecrets, mesh: Mesh, run_part: RunPart
) -> JointInput | None:
    """Share this provider's groups among the seats; return the pair of its own seat, if it has one."""
    block, faulty = _block(derived.plan, attempt, run_part)
    words = np.concatenate([block.reshape(-1), np.array([faulty], dtype=np.uint64)])
    own = None
    for seat, share in zip(derived.compute_set, split(words, secrets.token_bytes), strict=True):
        if seat == attempt.node:
            own = _joint_input(share, Layout.of(derived.plan))
        else:
            mesh.send(seat, to_bytes(share.own) + to_bytes(share.next))
    return own


def _block(plan: Plan, attempt: AttemptSecrets, run_part: RunPart) -> tuple[npt.NDArray[np.uint64], int]:
    """Return this provider's padded block, and 1 if its groups could not be put in."""
    layout = Layout.of(plan)
    block = np.zeros(layout.input_shape, dtype=np.uint64)
    # Padding rows are matched by nobody: their tags are random, and they are not valid.
    block[:, 0] = np.frombuffer(secrets.token_bytes(8 * layout.groups), dtype=np.uint64)
    part = next(item for item in plan.parts if item.provider == attempt.node)
    try:
        table = run_part(part)
        partials = encode_partials(plan, table)
        keys = encode_keys(table, plan.keys)
    except (LimitExceeded, SourceUnreadable) as fault:
        logger.warning("part cannot be put in", extra={"product": part.product, "fault": fault.code})
        return block, 1
    rows = table.num_rows
    block[:rows, 0] = tags(keys, attempt.context)
    block[:rows, 1] = 1
    names = ["u", *(measure.name for measure in plan.measures), *(support.name for support in plan.supports)]
    for column, name in enumerate(names, start=2):
        block[:rows, column] = partials[name].view(np.uint64)
    block[:rows, 2 + len(names) :] = keys
    return block, 0


def _receive_input(plan: Plan, mesh: Mesh, owner: str) -> JointInput:
    layout = Layout.of(plan)
    frame = mesh.receive(owner)
    size = layout.input_shape[0] * layout.input_shape[1] + 1
    if len(frame) != 2 * 8 * size:
        raise EvidenceError(f"`{owner}` sent an input of another length than the plan has; void the attempt")
    half = len(frame) // 2
    return _joint_input(
        Arithmetic(from_bytes(frame[:half], (size,)), from_bytes(frame[half:], (size,))), layout
    )


def _joint_input(share: Arithmetic, layout: Layout) -> JointInput:
    return JointInput(share[:-1].reshape(*layout.input_shape), share[-1:])


def _transcript(heads: Sequence[Head], seats: tuple[str, ...]) -> tuple[ChannelDigest, ...]:
    return tuple(
        ChannelDigest(
            peer=seats[head.peer],
            direction=head.direction,
            frames=head.frames,
            size_bytes=head.size_bytes,
            digest=f"sha256:{head.digest.hex()}",
        )
        for head in heads
    )


def _telling(gated: Gated) -> bytes:
    return canonical.encode(["sealed" if gated.shares else "withheld", gated.cells])


def _told(mesh: Mesh, seats: tuple[str, ...]) -> Computed:
    said = {bytes(mesh.receive(seat)) for seat in seats}
    if len(said) != 1:
        raise EvidenceError("the compute parties say different things of one attempt; void it")
    match canonical.decode(said.pop()):
        case ["sealed", int(cells)]:
            return Computed("sealed", cells, "", ())
        case ["withheld", 0]:
            return Computed("withheld", 0, "", ())
    raise EvidenceError("a compute party said something that is no outcome; void the attempt")
