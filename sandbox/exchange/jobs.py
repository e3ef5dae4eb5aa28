"""Rows of jobs: intake of what buyers sign, reading, and moving a job from one state to the next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from records import canonical, clock
from records.document import Signed
from records.errors import (
    LimitExceeded,
    NotPermitted,
    Reason,
    RequestExpired,
    RequestReplayed,
    StateConflict,
    UnknownObject,
)
from records.job import Acceptance, Cancellation, Job, Quote
from records.keys import VerifyingKey
from sandbox.derivation import require_sealed_literals
from sandbox.exchange.tables import job, job_document, job_event
from sandbox.lifecycle import TERMINAL, JobSnapshot, Outcome, State
from sandbox.ports import JobEvent, JobView

MAX_JOB_TTL = timedelta(hours=24)
MAX_CLOCK_SKEW = timedelta(minutes=2)
MAX_OPEN_JOBS_PER_BUYER = 1000


def submit(
    connection: Connection, envelope: bytes, key: VerifyingKey, environment: str, now: datetime
) -> str:
    """Store a signed job in SUBMITTED and return its id; the same job again returns the same id.

    Raises:
        RequestExpired: past its time, issued in the future, or valid for longer than a day.
        RequestReplayed: the idempotency key or the job id was used with another job.
        LimitExceeded: the buyer has too many open jobs.
        MalformedDocument: the query holds literals; see `placeholders.names`.
    """
    signed = Job.verified(envelope, key, environment)
    require_sealed_literals(signed.document)
    document = signed.document
    known = connection.execute(
        select(job.c.job_id, job.c.digest).where(
            job.c.buyer == document.buyer, job.c.idempotency_key == document.idempotency_key
        )
    ).one_or_none()
    if known is not None:
        if known.digest != signed.digest:
            raise RequestReplayed("the idempotency key was used with another job; draw a new one")
        return str(known.job_id)
    _require_fresh(document.issued_at, document.expires_at, now)
    if connection.execute(select(job.c.job_id).where(job.c.job_id == document.job_id)).first() is not None:
        raise RequestReplayed("the job id was used before; draw a new one")
    open_jobs = connection.execute(
        select(func.count()).where(job.c.buyer == document.buyer, job.c.state.not_in(sorted(TERMINAL)))
    ).scalar_one()
    if open_jobs >= MAX_OPEN_JOBS_PER_BUYER:
        raise LimitExceeded(f"at most {MAX_OPEN_JOBS_PER_BUYER} open jobs; finish or cancel some")
    connection.execute(
        insert(job).values(
            job_id=document.job_id,
            buyer=document.buyer,
            idempotency_key=document.idempotency_key,
            digest=signed.digest,
            state=State.SUBMITTED,
            job=envelope,
            attempt=0,
            reasons=_encode(()),
            expires_at=document.expires_at,
            created_at=clock.to_text(now),
        )
    )
    _add_event(connection, document.job_id, State.SUBMITTED, now)
    return document.job_id


def accept(
    connection: Connection, job_id: str, envelope: bytes, key: VerifyingKey, environment: str, now: datetime
) -> None:
    """Store the buyer's acceptance of the job's quote. The same acceptance again is no error.

    Raises:
        StateConflict: there is no open quote, or it was accepted before in other words.
        RequestExpired: the quote or the acceptance is past its time.
        NotPermitted: the acceptance names another quote, job or buyer.
    """
    signed = Acceptance.verified(envelope, key, environment)
    document = signed.document
    row = _row(connection, job_id)
    if row.acceptance is not None:
        if row.acceptance_digest != signed.digest:
            raise StateConflict("the quote is accepted already")
        return
    if State(row.state) is not State.QUOTED:
        raise StateConflict(f"the job is {row.state}: there is no open quote to accept")
    quote = Quote.unverified(row.quote)
    named = (document.quote_digest, document.job_digest, document.buyer)
    if named != (quote.digest, row.digest, row.buyer):
        raise NotPermitted("the acceptance names another quote, job or buyer")
    if clock.from_text(quote.document.expires_at) <= now or clock.from_text(document.expires_at) <= now:
        raise RequestExpired("the quote has expired; submit the job again for a new one")
    if clock.from_text(document.expires_at) > now + MAX_JOB_TTL:
        raise RequestExpired("an acceptance is valid for at most a day; sign it again")
    connection.execute(
        update(job)
        .where(job.c.job_id == job_id)
        .values(acceptance=envelope, acceptance_digest=signed.digest, expires_at=document.expires_at)
    )


def cancel(connection: Connection, job_id: str, envelope: bytes, key: VerifyingKey, environment: str) -> None:
    """Store the buyer's order to stop.

    Raises:
        StateConflict: the job is METERED or beyond, or ended.
        NotPermitted: the order names another job or buyer.
    """
    document = Cancellation.verified(envelope, key, environment).document
    row = _row(connection, job_id)
    if (document.job_id, document.buyer) != (job_id, row.buyer):
        raise NotPermitted("the cancellation names another job or buyer")
    if State(row.state) in TERMINAL | {State.METERED, State.RELEASED}:
        raise StateConflict(f"the job is {row.state}: it can be cancelled until METERED")
    connection.execute(update(job).where(job.c.job_id == job_id).values(cancellation=envelope))


def move(connection: Connection, snapshot: JobSnapshot, outcome: Outcome, now: datetime) -> None:
    """Move a job from the state in which it was read, and write what the outcome brings.

    Raises:
        StateConflict: it is no longer in that state and attempt.
    """
    moved = connection.execute(
        update(job)
        .where(
            job.c.job_id == snapshot.job_id, job.c.state == snapshot.state, job.c.attempt == snapshot.attempt
        )
        .values(state=outcome.to, reasons=_encode(outcome.reasons))
    )
    if moved.rowcount != 1:
        raise StateConflict("another server moved the job")
    outcome.write(connection)
    _add_event(connection, snapshot.job_id, outcome.to, now)


def start_attempt(connection: Connection, snapshot: JobSnapshot) -> int:
    """Number the next attempt, before any node hears of it (R4)."""
    changed = connection.execute(
        update(job)
        .where(job.c.job_id == snapshot.job_id, job.c.state == State.HELD, job.c.attempt == snapshot.attempt)
        .values(attempt=snapshot.attempt + 1)
    )
    if changed.rowcount != 1:
        raise StateConflict("another server moved the job")
    return snapshot.attempt + 1


def snapshot(connection: Connection, job_id: str) -> JobSnapshot:
    """Read a job as `lifecycle.advance` wants it."""
    row = _row(connection, job_id)
    return JobSnapshot(
        job_id=job_id,
        state=State(row.state),
        attempt=row.attempt,
        accepted=row.acceptance is not None,
        cancel_requested=row.cancellation is not None,
        stopped=row.stop_order is not None,
        expires_at=clock.from_text(row.expires_at),
    )


def signed_job(connection: Connection, job_id: str) -> Signed[Job]:
    """Return the job's own document (verified when it was taken in)."""
    return Job.unverified(_row(connection, job_id).job)


def signed_quote(connection: Connection, job_id: str) -> Signed[Quote]:
    """Return the job's quote."""
    return Quote.unverified(_row(connection, job_id).quote)


def signed_acceptance(connection: Connection, job_id: str) -> Signed[Acceptance]:
    """Return the buyer's acceptance."""
    return Acceptance.unverified(_row(connection, job_id).acceptance)


def set_quote(connection: Connection, job_id: str, envelope: bytes) -> None:
    """Store the quote of a job."""
    connection.execute(update(job).where(job.c.job_id == job_id).values(quote=envelope))


def open_jobs(connection: Connection) -> list[str]:
    """Return the ids of all jobs that have not ended: what a restarted server takes up again."""
    rows = connection.execute(select(job.c.job_id).where(job.c.state.not_in(sorted(TERMINAL))))
    return [row.job_id for row in rows]


def by_acceptance(connection: Connection, acceptance_digest: str) -> str:
    """Return the id of the job that this acceptance belongs to."""
    row = connection.execute(
        select(job.c.job_id).where(job.c.acceptance_digest == acceptance_digest)
    ).one_or_none()
    if row is None:
        raise UnknownObject("no job with this acceptance")
    return str(row.job_id)


def require_owner(connection: Connection, job_id: str, buyer: str) -> None:
    """Return if the job is the buyer's.

    Raises:
        UnknownObject: there is no such job, or it is somebody else's (one text for both).
    """
    row = connection.execute(select(job.c.buyer).where(job.c.job_id == job_id)).one_or_none()
    if row is None or row.buyer != buyer:
        raise UnknownObject("no such job among yours")


def ids_of(connection: Connection, buyer: str) -> list[str]:
    """Return a buyer's jobs, newest first."""
    rows = connection.execute(
        select(job.c.job_id)
        .where(job.c.buyer == buyer)
        .order_by(job.c.created_at.desc(), job.c.job_id.desc())
    )
    return [row.job_id for row in rows]


def view(connection: Connection, job_id: str) -> JobView:
    """Return a job as its buyer may see it."""
    row = _row(connection, job_id)
    return JobView(
        job_id=job_id,
        state=row.state,
        job=row.job,
        quote=row.quote or b"",
        acceptance=row.acceptance or b"",
        admissions=tuple(documents(connection, job_id, "admission", 0).values()),
        reason=row.reasons.decode(),
        attempt=row.attempt,
    )


def events(connection: Connection, job_id: str, after: int) -> list[JobEvent]:
    """Return the steps of a job after number `after`."""
    rows = connection.execute(
        select(job_event)
        .where(job_event.c.job_id == job_id, job_event.c.sequence > after)
        .order_by(job_event.c.sequence)
    )
    return [JobEvent(row.sequence, row.state, row.at) for row in rows]


def keep(
    connection: Connection, job_id: str, kind: str, attempt: int, envelopes: Iterable[tuple[str, bytes]]
) -> None:
    """Store parties' documents of a job; what is stored already is not overwritten."""
    upsert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    for party, envelope in envelopes:
        connection.execute(
            upsert(job_document)
            .values(job_id=job_id, kind=kind, attempt=attempt, party=party, envelope=envelope)
            .on_conflict_do_nothing()
        )


def documents(connection: Connection, job_id: str, kind: str, attempt: int) -> dict[str, bytes]:
    """Return {party: envelope} of one kind of document of a job; of a membership by `collection/product`."""
    rows = connection.execute(
        select(job_document.c.party, job_document.c.envelope)
        .where(
            job_document.c.job_id == job_id, job_document.c.kind == kind, job_document.c.attempt == attempt
        )
        .order_by(job_document.c.party)
    )
    return {row.party: row.envelope for row in rows}


def _encode(reasons: tuple[Reason, ...]) -> bytes:
    return canonical.encode([reason.to_json() for reason in reasons])


def _row(connection: Connection, job_id: str) -> Row[Any]:
    row = connection.execute(select(job).where(job.c.job_id == job_id)).one_or_none()
    if row is None:
        raise UnknownObject("no such job")
    return row


def _add_event(connection: Connection, job_id: str, state: State, now: datetime) -> None:
    last = connection.execute(
        select(func.max(job_event.c.sequence)).where(job_event.c.job_id == job_id)
    ).scalar_one()
    # R13: what a buyer may see of time is coarse; durations tell of other people's rows.
    at = clock.to_text(now.replace(microsecond=0))
    connection.execute(insert(job_event).values(job_id=job_id, sequence=(last or 0) + 1, state=state, at=at))


def _require_fresh(issued_at: str, expires_at: str, now: datetime) -> None:
    issued, expires = clock.from_text(issued_at), clock.from_text(expires_at)
    if expires <= now:
        raise RequestExpired("the job is past its time; sign it again")
    if issued > now + MAX_CLOCK_SKEW or expires - issued > MAX_JOB_TTL:
        raise RequestExpired("the job is issued in the future or valid for more than a day; sign it again")
