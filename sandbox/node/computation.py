"""A node's part of one attempt, run in a worker thread: local SQL, shares in, the gate, shares out.

Steps, for a joint plan (who runs them):
1. every pair that talks confirms its keys (all nodes);
2. each provider runs its parts, pads them, splits them, and sends each compute party its shares;
3. the compute parties run `sandbox.gate.shares.gate`: the plan's program, then the release rules;
4. each compute party tells the nodes without a seat what it came to; they must all be told the same.
Every provider learns nothing; a compute party learns the number of rows and cells released.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from connectors.connector import collect
from connectors.locked_database import Limits
from mpc.manifest import Opening
from mpc.party import PairKeys, Party
from mpc.transcript import Head, RecordingLink
from records import canonical
from records.errors import EvidenceError, LimitExceeded, SourceUnreadable
from records.job import ChannelDigest, OpeningRecord, opening_ledger
from sandbox.derivation import Derived
from sandbox.gate import costs, plain, shares
from sandbox.gate.shares import Gated
from sandbox.link.mesh import Mesh
from sandbox.node.inputs import RunPart, encode_own, exchange_inputs
from sandbox.node.keys import AttemptSecrets
from sandbox.stopwatch import Stopwatch

logger = logging.getLogger(__name__)


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


def run_local(derived: Derived, run_part: RunPart, literals: Sequence[str] = ()) -> Computed:
    """Run a plan of one provider and apply the gate in the clear; the one share is the finished table.

    `literals` are what the placeholders of the query stand for.
    """
    part = derived.plan.parts[0]
    try:
        rows = collect(run_part(part), Limits().result_mib << 20)
        result = plain.gate(derived.plan, derived.rules, rows, literals)
    except (LimitExceeded, SourceUnreadable) as fault:
        # Which of them it was depends on rows: outside, it is a withheld result like any other (R12).
        logger.warning("local part withheld", extra={"products": part.products, "fault": fault.code})
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
    plan = derived.plan
    own = encode_own(plan.parts, node, run_part, attempt.context)
    with watch.measure("wire"):
        inputs = exchange_inputs(mesh, node, seats, plan.parts, own)
    if node not in seats:
        return _told(mesh, seats)
    # (3)
    seat = seats.index(node)
    before, after = seats[(seat + 2) % 3], seats[(seat + 1) % 3]
    keys = PairKeys(
        attempt.pair_key(before, "shared-randomness"), attempt.pair_key(after, "shared-randomness")
    )
    link = RecordingLink(SeatLink(mesh, seats, seat, watch))
    party = Party(seat, link, keys, costs.manifest(derived.openings))
    with watch.measure("protocol"):
        gated = shares.gate(party, plan, derived.rules, inputs)
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
