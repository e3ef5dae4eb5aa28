"""A node's own rows about jobs: what it admitted, what it agreed to, how far its attempts went."""

from __future__ import annotations

import base64
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from records import canonical
from records.canonical import Json
from records.document import Signed
from records.errors import EvidenceError, StateConflict, UnknownObject
from records.job import Acceptance, Quote
from records.parties import PartyRecord, ProductRecord
from sandbox.node import tables
from sandbox.ports import AdmissionRequest


def next_number(connection: Connection, name: str) -> int:
    """Return the next value of a monotone counter (R18)."""
    counter = tables.counter
    row = connection.execute(select(counter.c.value).where(counter.c.name == name)).one_or_none()
    if row is None:
        connection.execute(insert(counter).values(name=name, value=1))
        return 1
    connection.execute(update(counter).where(counter.c.name == name).values(value=row.value + 1))
    return int(row.value) + 1


def admission(connection: Connection, job_digest: str) -> bytes | None:
    """Return what this node said about a job, if it was asked before."""
    row = connection.execute(
        select(tables.admission.c.admission).where(tables.admission.c.job_digest == job_digest)
    ).one_or_none()
    return row.admission if row else None


def keep_admission(
    connection: Connection, job_digest: str, request: AdmissionRequest, admission: bytes
) -> None:
    """Write down a decision with the bytes it was made on."""
    connection.execute(
        insert(tables.admission).values(
            job_digest=job_digest, request=_encode_request(request), admission=admission
        )
    )


def admitted_request(connection: Connection, job_digest: str) -> AdmissionRequest:
    """Return the bytes on which a job was decided.

    Raises:
        UnknownObject: this node never saw the job.
    """
    row = connection.execute(
        select(tables.admission.c.request).where(tables.admission.c.job_digest == job_digest)
    ).one_or_none()
    if row is None:
        raise UnknownObject("this node has not admitted the job")
    return _decode_request(row.request)


def admitted_products(connection: Connection, job_digest: str, provider: str) -> list[Signed[ProductRecord]]:
    """Return the records of one provider's products on which a job was decided; raises as the above."""
    request = admitted_request(connection, job_digest)
    records = [ProductRecord.unverified(envelope) for envelope in request.product_records]
    return [record for record in records if record.document.provider == provider]


def parties_of_held(connection: Connection) -> list[Signed[PartyRecord]]:
    """Return the newest record of every party that a job still held for refers to."""
    newest: dict[str, Signed[PartyRecord]] = {}
    for row in held(connection):
        for envelope in admitted_request(connection, row.job_digest).party_records:
            record = PartyRecord.unverified(envelope)
            known = newest.get(record.document.party)
            if known is None or known.document.version < record.document.version:
                newest[record.document.party] = record
    return list(newest.values())


def jobs_without_receipt(connection: Connection) -> dict[str, str]:
    """Return {acceptance digest: job id} of all jobs that hold or consumed uses and have no receipt yet."""
    table = tables.agreed
    query = select(table.c.acceptance_digest, table.c.job_id).where(
        table.c.status != "void", table.c.job_id.not_in(select(tables.receipt.c.job_id))
    )
    return {row.acceptance_digest: row.job_id for row in connection.execute(query)}


def agreed(connection: Connection, acceptance_digest: str) -> Row[Any] | None:
    """Return the row of an accepted quote, if this node holds for it."""
    return connection.execute(
        select(tables.agreed).where(tables.agreed.c.acceptance_digest == acceptance_digest)
    ).one_or_none()


def keep_agreed(
    connection: Connection,
    job_id: str,
    quote: Signed[Quote],
    acceptance: Signed[Acceptance],
    hold: bytes,
) -> None:
    """Write down an accepted quote; a job is agreed to once (R3).

    Raises:
        EvidenceError: another acceptance of the same job is already agreed to.
    """
    table = tables.agreed
    job_digest = acceptance.document.job_digest
    if connection.execute(select(table.c.job_digest).where(table.c.job_digest == job_digest)).first():
        raise EvidenceError("this node already agreed to another acceptance of this job")
    connection.execute(
        insert(table).values(
            acceptance_digest=acceptance.digest,
            job_digest=job_digest,
            job_id=job_id,
            quote=quote.to_bytes(),
            acceptance=acceptance.to_bytes(),
            hold=hold,
            status="held",
        )
    )


def set_status(connection: Connection, acceptance_digest: str, status: str) -> None:
    """Say whether the uses of an acceptance are `held`, `consumed` or `void`."""
    connection.execute(
        update(tables.agreed)
        .where(tables.agreed.c.acceptance_digest == acceptance_digest)
        .values(status=status)
    )


def held(connection: Connection) -> list[Row[Any]]:
    """Return all accepted quotes whose uses are still held."""
    return list(connection.execute(select(tables.agreed).where(tables.agreed.c.status == "held")))


def attempt(connection: Connection, acceptance_digest: str, number: int) -> Row[Any]:
    """Return the row of an attempt.

    Raises:
        StateConflict: this node did not prepare it.
    """
    row = _attempt(connection, acceptance_digest, number)
    if row is None:
        raise StateConflict("this node has not prepared the attempt")
    return row


def last_attempt(connection: Connection, acceptance_digest: str) -> Row[Any] | None:
    """Return the latest attempt of an acceptance."""
    table = tables.attempt
    return connection.execute(
        select(table)
        .where(table.c.acceptance_digest == acceptance_digest)
        .order_by(table.c.attempt.desc())
        .limit(1)
    ).one_or_none()


def add_attempt(
    connection: Connection, acceptance_digest: str, number: int, release_private: bytes, keys: bytes
) -> None:
    """Write down a prepared attempt with its protected release key, before its public key is spoken of."""
    connection.execute(
        insert(tables.attempt).values(
            acceptance_digest=acceptance_digest,
            attempt=number,
            status="prepared",
            release_private=release_private,
            keys=keys,
        )
    )


def change_attempt(
    connection: Connection, acceptance_digest: str, number: int, was: tuple[str, ...], **values: object
) -> None:
    """Move an attempt on from one of the states `was`.

    Raises:
        StateConflict: it is in another state.
    """
    table = tables.attempt
    changed = connection.execute(
        update(table)
        .where(
            table.c.acceptance_digest == acceptance_digest,
            table.c.attempt == number,
            table.c.status.in_(was),
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        raise StateConflict("the attempt is not in a state in which this can be done")


def destroy_keys_before(connection: Connection, acceptance_digest: str, number: int) -> None:
    """Destroy the release keys and sealed bytes of all earlier attempts (R4)."""
    table, blob = tables.attempt, tables.sealed_blob
    connection.execute(
        update(table)
        .where(
            table.c.acceptance_digest == acceptance_digest,
            table.c.attempt < number,
            table.c.status != "handed-out",
        )
        .values(status="destroyed", release_private=None)
    )
    connection.execute(
        blob.delete().where(blob.c.acceptance_digest == acceptance_digest, blob.c.attempt < number)
    )


def keep_blobs(
    connection: Connection, acceptance_digest: str, number: int, ciphertexts: dict[int, bytes]
) -> None:
    """Keep sealed shares until the exchange has them."""
    for index, ciphertext in ciphertexts.items():
        connection.execute(
            insert(tables.sealed_blob).values(
                acceptance_digest=acceptance_digest, attempt=number, share_index=index, ciphertext=ciphertext
            )
        )


def blobs(connection: Connection, acceptance_digest: str, number: int) -> dict[int, bytes]:
    """Return the sealed shares that this node made in an attempt."""
    table = tables.sealed_blob
    rows = connection.execute(
        select(table).where(table.c.acceptance_digest == acceptance_digest, table.c.attempt == number)
    )
    return {row.share_index: row.ciphertext for row in rows}


def last_checkpoint(connection: Connection) -> tuple[int, str]:
    """Return size and note of the largest checkpoint seen; (0, "") before the first."""
    table = tables.seen_checkpoint
    row = connection.execute(select(table).order_by(table.c.size.desc()).limit(1)).one_or_none()
    return (row.size, row.note) if row else (0, "")


def keep_checkpoint(connection: Connection, size: int, note: str) -> None:
    """Remember a verified checkpoint."""
    table = tables.seen_checkpoint
    if connection.execute(select(table.c.size).where(table.c.size == size)).first() is None:
        connection.execute(insert(table).values(size=size, note=note))


def keep_receipt(connection: Connection, job_id: str, receipt: bytes) -> None:
    """Keep this node's receipt of a job; the first one stays."""
    table = tables.receipt
    if connection.execute(select(table.c.job_id).where(table.c.job_id == job_id)).first() is None:
        connection.execute(insert(table).values(job_id=job_id, receipt=receipt))


def _attempt(connection: Connection, acceptance_digest: str, number: int) -> Row[Any] | None:
    table = tables.attempt
    return connection.execute(
        select(table).where(table.c.acceptance_digest == acceptance_digest, table.c.attempt == number)
    ).one_or_none()


def _encode_request(request: AdmissionRequest) -> bytes:
    def encoded(items: tuple[bytes, ...]) -> list[str]:
        return [base64.b64encode(item).decode() for item in items]

    document: Json = {
        "job": base64.b64encode(request.job).decode(),
        "parties": encoded(request.party_records),
        "products": encoded(request.product_records),
        "memberships": encoded(request.memberships),
        "key_events": encoded(request.key_events),
    }
    return canonical.encode(document)


def _decode_request(data: bytes) -> AdmissionRequest:
    document: Any = canonical.decode(data)

    def decoded(name: str) -> tuple[bytes, ...]:
        return tuple(base64.b64decode(item) for item in document[name])

    return AdmissionRequest(
        base64.b64decode(document["job"]),
        decoded("parties"),
        decoded("products"),
        decoded("memberships"),
        decoded("key_events"),
    )
