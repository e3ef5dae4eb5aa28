"""The straight line of a job: every state against every outcome, and what interrupts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from records.errors import PeerUnavailable, Reason, StateConflict
from sandbox.lifecycle import TERMINAL, TRANSITIONS, JobSnapshot, Outcome, State, advance

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
LINE = (
    State.SUBMITTED,
    State.ADMITTED,
    State.QUOTED,
    State.HELD,
    State.EXECUTED,
    State.METERED,
    State.RELEASED,
    State.SETTLED,
)
STAGE = dict(zip(LINE, ("admit", "quote", "hold", "execute", "meter", "release", "settle"), strict=False))
INTERRUPTIBLE = frozenset(LINE[:5])


def nothing(_: Connection) -> None:
    return None


@dataclass
class Line:
    """Effects that come to what a test says, and remember what they were asked."""

    outcomes: dict[str, State | BaseException | None] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    ended: list[tuple[State, tuple[Reason, ...]]] = field(default_factory=list)
    committed: list[tuple[State, State]] = field(default_factory=list)

    def _stage(self, name: str) -> Outcome | None:
        self.called.append(name)
        to = self.outcomes[name]
        if isinstance(to, BaseException):
            raise to
        return None if to is None else Outcome(to, nothing)

    def _due(self, name: str) -> Outcome:
        outcome = self._stage(name)
        assert outcome is not None
        return outcome

    async def admit(self, _: JobSnapshot) -> Outcome:
        return self._due("admit")

    async def quote(self, _: JobSnapshot) -> Outcome:
        return self._due("quote")

    async def hold(self, _: JobSnapshot) -> Outcome:
        return self._due("hold")

    async def execute(self, _: JobSnapshot) -> Outcome | None:
        return self._stage("execute")

    async def meter(self, _: JobSnapshot) -> Outcome:
        return self._due("meter")

    async def release(self, _: JobSnapshot) -> Outcome | None:
        return self._stage("release")

    async def settle(self, _: JobSnapshot) -> Outcome:
        return self._due("settle")

    async def end(self, _: JobSnapshot, to: State, reasons: tuple[Reason, ...]) -> Outcome:
        self.ended.append((to, reasons))
        return Outcome(to, nothing, reasons)

    def commit(self, job: JobSnapshot, outcome: Outcome) -> None:
        self.committed.append((job.state, outcome.to))


def snapshot(
    state: State,
    *,
    accepted: bool = True,
    cancel_requested: bool = False,
    stopped: bool = False,
    expires_in_s: int = 60,
) -> JobSnapshot:
    expires_at = NOW + timedelta(seconds=expires_in_s)
    return JobSnapshot("job", state, 1, accepted, cancel_requested, stopped, expires_at)


def step(job: JobSnapshot, effects: Line) -> State:
    return asyncio.run(advance(job, effects, NOW))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("to", State)
def test_an_outcome_is_committed_exactly_where_the_table_has_it(state: State, to: State) -> None:
    if state in TERMINAL:
        effects = Line()
        assert step(snapshot(state), effects) is state
        assert (effects.called, effects.ended, effects.committed) == ([], [], [])
        return
    effects = Line({STAGE[state]: to})
    if to in TRANSITIONS[state]:
        assert step(snapshot(state), effects) is to
        assert effects.committed == [(state, to)]
    else:
        with pytest.raises(StateConflict, match=f"from {state} to {to}"):
            step(snapshot(state), effects)
        assert effects.committed == []
    assert effects.called == [STAGE[state]]


@pytest.mark.parametrize("state", [State.HELD, State.METERED])
def test_not_yet_leaves_the_job_where_it_is(state: State) -> None:
    effects = Line({STAGE[state]: None})
    assert step(snapshot(state), effects) is state
    assert effects.committed == []


@pytest.mark.parametrize("state", STAGE)
def test_a_silent_node_leaves_the_job_where_it_is(state: State) -> None:
    effects = Line({STAGE[state]: PeerUnavailable("silent")})
    with pytest.raises(PeerUnavailable):
        step(snapshot(state), effects)
    assert effects.committed == []


def test_a_quote_waits_for_its_buyer() -> None:
    effects = Line({"hold": State.HELD})
    assert step(snapshot(State.QUOTED, accepted=False), effects) is State.QUOTED
    assert effects.called == []
    assert step(snapshot(State.QUOTED), effects) is State.HELD


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_cancelled_job_ends_until_it_is_metered(state: State, accepted: bool) -> None:
    effects = Line({name: LINE[LINE.index(at) + 1] for at, name in STAGE.items()})
    reached = step(snapshot(state, accepted=accepted, cancel_requested=True), effects)
    if state in INTERRUPTIBLE:
        assert reached is State.CANCELLED
        assert (effects.called, effects.committed) == ([], [(state, State.CANCELLED)])
        assert [reason.clause for reason in effects.ended[0][1]] == ["lifecycle.cancelled"]
    else:
        assert effects.ended == []


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("late_by_s", [0, 1])
def test_a_job_past_its_time_ends_until_it_is_metered(state: State, late_by_s: int) -> None:
    effects = Line({name: LINE[LINE.index(at) + 1] for at, name in STAGE.items()})
    reached = step(snapshot(state, expires_in_s=-late_by_s), effects)
    if state in INTERRUPTIBLE:
        assert reached is State.EXPIRED
        assert [reason.clause for reason in effects.ended[0][1]] == ["lifecycle.expired"]
    else:
        assert effects.ended == []
        assert len(effects.called) == (state in STAGE)


def test_a_cancellation_comes_before_the_expiry() -> None:
    effects = Line()
    assert step(snapshot(State.HELD, cancel_requested=True, expires_in_s=-1), effects) is State.CANCELLED


@pytest.mark.parametrize("state", State)
def test_a_stopped_job_does_not_advance(state: State) -> None:
    effects = Line({name: LINE[LINE.index(at) + 1] for at, name in STAGE.items()})
    reached = step(snapshot(state, stopped=True), effects)
    if state is State.RELEASED:
        # What is released is paid out: the buyer has the keys.
        assert reached is State.SETTLED
    else:
        assert reached is state
        assert effects.called == []


@pytest.mark.parametrize("state", sorted(INTERRUPTIBLE))
def test_a_stopped_job_runs_into_its_expiry(state: State) -> None:
    assert step(snapshot(state, stopped=True, expires_in_s=0), Line()) is State.EXPIRED


FLAGS = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(-5, 5))


@settings(deadline=None)
@given(st.sampled_from(State), FLAGS, st.data())
def test_one_call_does_at_most_one_stage(
    state: State, flags: tuple[bool, bool, bool, int], data: st.DataObject
) -> None:
    accepted, cancel, stopped, expires_in_s = flags
    outcomes: dict[str, State | BaseException | None] = {
        name: data.draw(st.sampled_from(sorted(TRANSITIONS[at]))) for at, name in STAGE.items()
    }
    effects = Line(outcomes)
    job = snapshot(
        state, accepted=accepted, cancel_requested=cancel, stopped=stopped, expires_in_s=expires_in_s
    )
    reached = step(job, effects)
    assert len(effects.called) + len(effects.ended) <= 1
    assert effects.committed == ([] if reached is state else [(state, reached)])
    assert reached is state or reached in TRANSITIONS[state]


def test_the_line_is_walked_to_its_end() -> None:
    effects = Line({name: LINE[LINE.index(at) + 1] for at, name in STAGE.items()})
    state = State.SUBMITTED
    walked = [state]
    while state not in TERMINAL:
        state = step(snapshot(state), effects)
        walked.append(state)
    assert tuple(walked) == LINE
    assert effects.called == list(STAGE.values())


def test_the_table_has_every_state_and_no_way_back() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set(State) - set(STAGE) == TERMINAL
    for state, following in TRANSITIONS.items():
        assert all(LINE.index(to) > LINE.index(state) for to in following if to in LINE)


def test_after_metering_only_a_void_statement_ends_a_job() -> None:
    # R7: no cancellation, no expiry, no withholding once the charge is booked.
    assert TRANSITIONS[State.METERED] == {State.RELEASED, State.FAILED}
    assert TRANSITIONS[State.RELEASED] == {State.SETTLED}
