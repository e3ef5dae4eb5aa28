"""Jobs at the exchange: taken in once, accepted in one form, moved from where they were read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from records import clock
from records.document import Signed
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    Reason,
    RequestExpired,
    RequestReplayed,
    SignatureInvalid,
    StateConflict,
    UnknownObject,
)
from records.job import Cancellation, Job
from sandbox.exchange import jobs
from sandbox.lifecycle import TERMINAL, Outcome, State
from tests.unit.sandbox.registered import ENVIRONMENT, LATER, NOW, acceptance, identity, job, quote

BUYER = identity("acme", "buyer")
KEY = BUYER.record.document.verifying_key
REASON = Reason("alice", "purposes", "ads", "research", "state another purpose")


def submit(connection: Connection, of: Signed[Job]) -> str:
    return jobs.submit(connection, of.to_bytes(), KEY, ENVIRONMENT, NOW)


def move(connection: Connection, job_id: str, *path: State) -> None:
    for to in path:
        outcome = Outcome(to, lambda _: None)
        jobs.move(connection, jobs.snapshot(connection, job_id), outcome, NOW)


def quoted(connection: Connection) -> tuple[str, bytes]:
    """Bring a job to QUOTED; return its id and the buyer's acceptance."""
    of = job()
    job_id = submit(connection, of)
    move(connection, job_id, State.ADMITTED, State.QUOTED)
    offered = quote(of)
    jobs.set_quote(connection, job_id, offered.to_bytes())
    return job_id, acceptance(offered).to_bytes()


def accept(connection: Connection, job_id: str, envelope: bytes) -> None:
    jobs.accept(connection, job_id, envelope, KEY, ENVIRONMENT, NOW)


def cancel(connection: Connection, job_id: str, named: str | None = None, buyer: str = "acme") -> None:
    order = Cancellation(
        environment=ENVIRONMENT, job_id=named or job_id, buyer=buyer, issued_at=clock.to_text(NOW)
    )
    jobs.cancel(connection, job_id, order.sign(BUYER.signer).to_bytes(), KEY, ENVIRONMENT)


def test_a_job_is_taken_in_once(connection: Connection) -> None:
    of = job()
    assert submit(connection, of) == submit(connection, of) == of.document.job_id
    assert [event.state for event in jobs.events(connection, of.document.job_id, 0)] == [State.SUBMITTED]
    assert jobs.signed_job(connection, of.document.job_id) == of


def test_an_idempotency_key_serves_one_job(connection: Connection) -> None:
    submit(connection, job(idempotency_key="k"))
    with pytest.raises(RequestReplayed):
        submit(connection, job(idempotency_key="k", purpose="other"))


def test_a_job_id_serves_one_job(connection: Connection) -> None:
    submit(connection, job(job_id="j"))
    with pytest.raises(RequestReplayed):
        submit(connection, job(job_id="j"))


@pytest.mark.parametrize(
    ("issued_in_s", "expires_in_s"), [(-7200, 0), (-7200, -1), (121, 3600), (0, 24 * 3600 + 1)]
)
def test_a_job_out_of_time_is_refused(connection: Connection, issued_in_s: int, expires_in_s: int) -> None:
    issued_at = clock.to_text(NOW + timedelta(seconds=issued_in_s))
    expires_at = clock.to_text(NOW + timedelta(seconds=expires_in_s))
    with pytest.raises(RequestExpired):
        submit(connection, job(issued_at=issued_at, expires_at=expires_at))


def test_a_job_by_another_key_or_environment_is_refused(connection: Connection) -> None:
    other = identity("mallory", "buyer").record.document.verifying_key
    with pytest.raises(SignatureInvalid):
        jobs.submit(connection, job().to_bytes(), other, ENVIRONMENT, NOW)
    with pytest.raises(MalformedDocument):
        jobs.submit(connection, job(environment="production").to_bytes(), KEY, ENVIRONMENT, NOW)


def test_open_jobs_of_a_buyer_are_bounded(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_OPEN_JOBS_PER_BUYER", 1)
    first = submit(connection, job())
    with pytest.raises(LimitExceeded):
        submit(connection, job())
    move(connection, first, State.REFUSED)
    submit(connection, job())


def test_a_quote_is_accepted_in_one_form(connection: Connection) -> None:
    job_id, envelope = quoted(connection)
    assert not jobs.snapshot(connection, job_id).accepted
    accept(connection, job_id, envelope)
    accept(connection, job_id, envelope)
    assert jobs.snapshot(connection, job_id).accepted
    offered = jobs.signed_quote(connection, job_id)
    with pytest.raises(StateConflict):
        accept(connection, job_id, acceptance(offered, issued_at="2026-01-31T12:00:01.000Z").to_bytes())
    assert jobs.by_acceptance(connection, jobs.signed_acceptance(connection, job_id).digest) == job_id


@pytest.mark.parametrize("changes", [{"quote_digest": "x"}, {"job_digest": "x"}, {"buyer": "other"}])
def test_an_acceptance_of_something_else_is_refused(connection: Connection, changes: dict[str, str]) -> None:
    job_id, _ = quoted(connection)
    fields = {"quote_digest": jobs.signed_quote(connection, job_id).digest} | changes
    envelope = acceptance(jobs.signed_quote(connection, job_id)).document.model_copy(update=fields)
    with pytest.raises(NotPermitted):
        accept(connection, job_id, envelope.sign(BUYER.signer).to_bytes())


def test_an_expired_quote_is_not_accepted(connection: Connection) -> None:
    job_id, envelope = quoted(connection)
    with pytest.raises(RequestExpired):
        jobs.accept(connection, job_id, envelope, KEY, ENVIRONMENT, LATER)


def test_nothing_is_accepted_before_there_is_a_quote(connection: Connection) -> None:
    of = job()
    submit(connection, of)
    with pytest.raises(StateConflict):
        accept(connection, of.document.job_id, acceptance(quote(of)).to_bytes())


CANCELLABLE = [State.SUBMITTED, State.ADMITTED, State.QUOTED, State.HELD, State.EXECUTED]
LINE = [*CANCELLABLE, State.METERED, State.RELEASED, State.SETTLED]


@pytest.mark.parametrize("state", LINE)
def test_a_job_is_cancelled_until_it_is_metered(connection: Connection, state: State) -> None:
    job_id = submit(connection, job())
    move(connection, job_id, *LINE[1 : LINE.index(state) + 1])
    if state in CANCELLABLE:
        cancel(connection, job_id)
        assert jobs.snapshot(connection, job_id).cancel_requested
    else:
        with pytest.raises(StateConflict):
            cancel(connection, job_id)


@pytest.mark.parametrize(("named", "buyer"), [("other-job", "acme"), (None, "other")])
def test_a_cancellation_of_something_else_is_refused(
    connection: Connection, named: str | None, buyer: str
) -> None:
    job_id = submit(connection, job())
    with pytest.raises(NotPermitted):
        cancel(connection, job_id, named, buyer)


def test_a_job_is_moved_from_where_it_was_read(connection: Connection) -> None:
    job_id = submit(connection, job())
    read = jobs.snapshot(connection, job_id)
    written: list[str] = []
    outcome = Outcome(State.REFUSED, lambda _: written.append("first"), (REASON,))
    jobs.move(connection, read, outcome, NOW)
    with pytest.raises(StateConflict):
        jobs.move(connection, read, Outcome(State.ADMITTED, lambda _: written.append("second")), NOW)
    assert written == ["first"]
    assert [event.state for event in jobs.events(connection, job_id, 1)] == [State.REFUSED]
    assert b"state another purpose" in jobs.view(connection, job_id).reason.encode()


def test_attempts_are_numbered_from_a_held_job(connection: Connection) -> None:
    job_id = submit(connection, job())
    with pytest.raises(StateConflict):
        jobs.start_attempt(connection, jobs.snapshot(connection, job_id))
    move(connection, job_id, State.ADMITTED, State.QUOTED, State.HELD)
    read = jobs.snapshot(connection, job_id)
    assert jobs.start_attempt(connection, read) == 1
    with pytest.raises(StateConflict):
        jobs.start_attempt(connection, read)
    with pytest.raises(StateConflict):
        jobs.move(connection, read, Outcome(State.EXECUTED, lambda _: None), NOW)


def test_whose_job_it_is_is_told_to_nobody_else(connection: Connection) -> None:
    job_id = submit(connection, job())
    jobs.require_owner(connection, job_id, "acme")
    texts = set()
    for asked, buyer in ((job_id, "other"), ("none", "acme")):
        with pytest.raises(UnknownObject) as refusal:
            jobs.require_owner(connection, asked, buyer)
        texts.add(str(refusal.value))
    assert len(texts) == 1


def test_open_jobs_are_those_that_have_not_ended(connection: Connection) -> None:
    ids = [submit(connection, job()) for _ in range(3)]
    move(connection, ids[0], State.CANCELLED)
    assert State.CANCELLED in TERMINAL
    assert sorted(jobs.open_jobs(connection)) == sorted(ids[1:])


def test_a_kept_document_is_not_overwritten(connection: Connection) -> None:
    job_id = submit(connection, job())
    jobs.keep(connection, job_id, "hold", 0, [("alice", b"first"), ("bob", b"b")])
    jobs.keep(connection, job_id, "hold", 0, [("alice", b"second")])
    assert jobs.documents(connection, job_id, "hold", 0) == {"alice": b"first", "bob": b"b"}
    assert jobs.documents(connection, job_id, "hold", 1) == {}
