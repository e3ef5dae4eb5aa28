"""The straight line of a job, and the one function that takes a job along it.

    SUBMITTED → ADMITTED → QUOTED → HELD → EXECUTED → METERED → RELEASED → SETTLED

`advance` takes a job exactly one stage further. The effect of a stage talks to nodes and computes; what it
wants written is committed **together with the change of state**, so a crash leaves either both or
neither, and calling `advance` again is always safe: every effect may be repeated (nodes answer a
repeated call with what they answered before).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sqlalchemy import Connection

from records.errors import Reason, StateConflict


class State(StrEnum):
    """Where a job stands."""

    SUBMITTED = "SUBMITTED"
    ADMITTED = "ADMITTED"
    QUOTED = "QUOTED"
    HELD = "HELD"
    EXECUTED = "EXECUTED"
    METERED = "METERED"
    RELEASED = "RELEASED"
    SETTLED = "SETTLED"
    REFUSED = "REFUSED"
    WITHHELD = "WITHHELD"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"


_S = State
_INTERRUPTED = frozenset({_S.CANCELLED, _S.EXPIRED, _S.FAILED})

TRANSITIONS: Mapping[State, frozenset[State]] = {
    _S.SUBMITTED: _INTERRUPTED | {_S.ADMITTED, _S.REFUSED},
    _S.ADMITTED: _INTERRUPTED | {_S.QUOTED, _S.REFUSED},
    _S.QUOTED: _INTERRUPTED | {_S.HELD, _S.REFUSED},
    _S.HELD: _INTERRUPTED | {_S.EXECUTED},
    _S.EXECUTED: _INTERRUPTED | {_S.METERED, _S.WITHHELD},
    # After METERED the charge stands until a node has signed that its key is destroyed (R7).
    _S.METERED: frozenset({_S.RELEASED, _S.FAILED}),
    _S.RELEASED: frozenset({_S.SETTLED}),
    _S.SETTLED: frozenset(),
    _S.REFUSED: frozenset(),
    _S.WITHHELD: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.FAILED: frozenset(),
}
"""Which state may follow which. The store's constraint and the diagram in the docs come from it."""

CANCELLED_BY_BUYER = Reason("exchange", "lifecycle.cancelled", "a result", "none", "submit the job again")
PAST_ITS_TIME = Reason("exchange", "lifecycle.expired", "a result in time", "none", "submit the job again")

TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job as it stood when it was read: what `advance` decides on."""

    job_id: str
    state: State
    attempt: int
    accepted: bool
    cancel_requested: bool
    stopped: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage came to: the next state, what to write with it, and the public reasons if it ends."""

    to: State
    write: Callable[[Connection], None]
    reasons: tuple[Reason, ...] = ()


class Effects(Protocol):
    """What the stages do. Each may be called again after a crash; `None` means: not yet, ask later."""

    async def admit(self, job: JobSnapshot) -> Outcome:
        """Ask every node for its own decision."""

    async def quote(self, job: JobSnapshot) -> Outcome:
        """Plan, price and sign a quote."""

    async def hold(self, job: JobSnapshot) -> Outcome:
        """Reserve money at the exchange and uses at every node: all or none."""

    async def execute(self, job: JobSnapshot) -> Outcome | None:
        """Run a numbered attempt at the nodes, gate included, until their results lie sealed here."""

    async def meter(self, job: JobSnapshot) -> Outcome:
        """Write usage, postings, log leaf and release token: one transaction."""

    async def release(self, job: JobSnapshot) -> Outcome | None:
        """Collect every node's key against the token; or reverse on a node's void statement."""

    async def settle(self, job: JobSnapshot) -> Outcome:
        """Split the charge among the providers and hand out receipts."""

    async def end(self, job: JobSnapshot, to: State, reasons: tuple[Reason, ...]) -> Outcome:
        """Void what is held and log why the job ended."""

    def commit(self, job: JobSnapshot, outcome: Outcome) -> None:
        """Move the job from the state it was read in to the outcome's, and write, in one transaction."""


async def advance(job: JobSnapshot, effects: Effects, now: datetime) -> State:
    """Take `job` one stage further; return the state it is in afterwards.

    Raises:
        StateConflict: another server moved the job in the meantime (nothing was written).
        PeerUnavailable: a node did not answer; nothing was written, call again later.
    """
    outcome = await _stage(job, effects, now)
    if outcome is None:
        return job.state
    if outcome.to not in TRANSITIONS[job.state]:
        raise StateConflict(f"a job does not go from {job.state} to {outcome.to}")
    effects.commit(job, outcome)
    return outcome.to


async def _stage(job: JobSnapshot, effects: Effects, now: datetime) -> Outcome | None:
    if job.cancel_requested and State.CANCELLED in TRANSITIONS[job.state]:
        return await effects.end(job, State.CANCELLED, (CANCELLED_BY_BUYER,))
    if now >= job.expires_at and State.EXPIRED in TRANSITIONS[job.state]:
        return await effects.end(job, State.EXPIRED, (PAST_ITS_TIME,))
    if job.stopped and job.state is not State.RELEASED:
        return None  # a stop order: the job does not advance, and runs into its expiry
    if job.state is State.QUOTED and not job.accepted:
        return None  # the next step is the buyer's
    stages: Mapping[State, Callable[[JobSnapshot], Awaitable[Outcome | None]]] = {
        State.SUBMITTED: effects.admit,
        State.ADMITTED: effects.quote,
        State.QUOTED: effects.hold,
        State.HELD: effects.execute,
        State.EXECUTED: effects.meter,
        State.METERED: effects.release,
        State.RELEASED: effects.settle,
    }
    return await stages[job.state](job) if job.state in stages else None
