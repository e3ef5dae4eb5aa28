"""Usage, charge, log leaf and token: what is booked about a job, each time in the caller's one transaction.

A release is booked once, together with the change of state to METERED: the usage row, the postings, the leaf
and the token exist all or not at all. A charge is reversed only on a node's void statement (R7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert

from billing import log, notes
from billing.tariff import ExchangeFees
from records import clock
from records.canonical import Json
from records.document import Signed
from records.errors import EvidenceError, Reason
from records.job import (
    AttemptKeys,
    Charge,
    KeyHandout,
    NodeStatement,
    Quote,
    ReleaseToken,
    SealedResult,
    Usage,
    VoidStatement,
)
from records.keys import Signer
from sandbox.derivation import metered_charge
from sandbox.exchange import blobs, jobs, money, parties
from sandbox.exchange.keyring import Keyring
from sandbox.exchange.logbook import Entry, Logbook, visible_fields
from sandbox.exchange.quoting import Quoting
from sandbox.exchange.tables import usage
from sandbox.hpke import SealingKey
from sandbox.lifecycle import State
from sandbox.outcome import AgreedOutcome
from sandbox.ports import ReleaseRequest
from sandbox.store import Store

PREPARED = "attempt-keys"
SEALED = "sealed-result"
TOKEN = "release-token"  # noqa: S105 - the kind of a document
HANDOUT = "key-handout"
RECEIPT = "receipt"
VOID = "void-statement"


@dataclass(frozen=True, slots=True)
class PendingRelease:
    """A booked release on its way: what each node is asked with."""

    nodes: tuple[str, ...]
    expires_at: datetime
    token_size: int
    request: ReleaseRequest


class Metering:
    """Writes what jobs cost and what became of them."""

    def __init__(
        self,
        *,
        environment: str,
        store: Store,
        signer: Signer,
        keyring: Keyring,
        logbook: Logbook,
        quoting: Quoting,
        fees: ExchangeFees,
        token_ttl: timedelta,
    ) -> None:
        """`token_ttl` bounds how long a booked charge may lack its release."""
        self._environment = environment
        self._store = store
        self._signer = signer
        self._keyring = keyring
        self._logbook = logbook
        self._quoting = quoting
        self._fees = fees
        self._token_ttl = token_ttl

    def check_sealed(
        self,
        connection: Connection,
        job_id: str,
        attempt: int,
        acceptance_digest: str,
        results: Mapping[str, SealedResult],
    ) -> None:
        """Return if every sealed share lies here as its node signed it.

        Raises:
            EvidenceError: a statement is about another attempt, or a share was substituted.
        """
        for name, result in results.items():
            if (result.acceptance_digest, result.attempt) != (acceptance_digest, attempt):
                raise EvidenceError(f"`{name}` signed an outcome of another attempt")
            for share in result.shares:
                blobs.check(connection, job_id, attempt, name, share)

    def book_release(
        self, connection: Connection, job_id: str, attempt: int, outcome: AgreedOutcome, now: datetime
    ) -> None:
        """Write usage row, postings, log leaf and release token."""
        quote = jobs.signed_quote(connection, job_id)
        charge = self._charge(connection, job_id, quote.document, outcome.cells, withheld=False)
        statements = jobs.documents(connection, job_id, SEALED, attempt)
        self._book_usage(connection, job_id, attempt, outcome.cells, charge, now)
        money.book(connection, job_id, charge, now)
        sealed = tuple(
            NodeStatement(node=name, statement_digest=SealedResult.unverified(envelope).digest)
            for name, envelope in statements.items()
        )
        entry = self._logbook.enter(
            connection,
            "release",
            now,
            self._facts(connection, job_id)
            | {
                "attempt": attempt,
                "cells": outcome.cells,
                "charge": {"currency": charge.currency, "total_minor": charge.total_minor},
                "statements": [item.statement_digest for item in sealed],
                # Numbered, not named: the names of fields stand in the log for everybody to read.
                **{
                    f"part.{number}": {"payee": payee, "amount_minor": amount_minor}
                    for number, (payee, amount_minor) in enumerate(sorted(charge.split.items()))
                },
            },
        )
        self._issue_token(connection, job_id, attempt, outcome.cells, charge, sealed, entry, now)

    def book_withheld(self, connection: Connection, job_id: str, now: datetime) -> None:
        """Give the hold back but for compute where the terms charge it; log that nothing was released."""
        snapshot = jobs.snapshot(connection, job_id)
        quote = jobs.signed_quote(connection, job_id)
        charge = self._charge(connection, job_id, quote.document, 0, withheld=True)
        self._book_usage(connection, job_id, snapshot.attempt, None, charge, now)
        if charge.total_minor:
            money.book(connection, job_id, charge, now)
            money.settle(connection, job_id, charge, now)
        else:
            money.void(connection, job_id, now)
        entry = self._logbook.enter(
            connection,
            "withheld",
            now,
            self._facts(connection, job_id)
            | {"charge": {"currency": charge.currency, "total_minor": charge.total_minor}},
        )
        self._write_receipts(connection, job_id, entry.index, None, now)

    def book_end(
        self, connection: Connection, job_id: str, to: State, reasons: tuple[Reason, ...], now: datetime
    ) -> None:
        """Give the hold back and log the end of a job that was not released."""
        money.void(connection, job_id, now)
        clauses: list[Json] = [f"{reason.provider}: {reason.clause}" for reason in reasons]
        entry = self._logbook.enter(
            connection, str(to).lower(), now, self._facts(connection, job_id) | {"clauses": clauses}
        )
        self._write_receipts(connection, job_id, entry.index, None, now)

    def book_reversal(
        self, connection: Connection, job_id: str, voids: Sequence[Signed[VoidStatement]], now: datetime
    ) -> None:
        """Reverse a charge on the ground of at least one node's statement; they are kept and logged."""
        snapshot = jobs.snapshot(connection, job_id)
        envelopes = [(void.document.node, void.to_bytes()) for void in voids]
        jobs.keep(connection, job_id, VOID, snapshot.attempt, envelopes)
        money.reverse(connection, job_id, now)
        entry = self._logbook.enter(
            connection,
            "reversed",
            now,
            self._facts(connection, job_id) | {"statements": [void.digest for void in voids]},
        )
        self._write_receipts(connection, job_id, entry.index, None, now)

    def name_silent(self, job_id: str, silent: tuple[str, ...], now: datetime) -> None:
        """Log, once per job, which nodes keep a booked charge pending (R7)."""
        with self._store.begin() as connection:
            snapshot = jobs.snapshot(connection, job_id)
            known = jobs.documents(connection, job_id, "silent", snapshot.attempt)
            for name in silent:
                if name not in known:
                    self._logbook.enter(connection, "silent-node", now, {"job": job_id, "node": name})
                    jobs.keep(connection, job_id, "silent", snapshot.attempt, [(name, b"")])

    def release_request(self, job_id: str, attempt: int) -> PendingRelease:
        """Return what is to be asked of each node of a metered job."""
        with self._store.read() as connection:
            envelope = jobs.documents(connection, job_id, TOKEN, attempt)["exchange"]
            token = ReleaseToken.unverified(envelope).document
            size = notes.parse_checkpoint(notes.parse(token.checkpoint.encode()).text).size
            request = ReleaseRequest(
                token=envelope,
                leaf=next(log.leaves(connection, token.log_index, token.log_index + 1)),
                inclusion=tuple(log.inclusion(connection, token.log_index, size)),
                known_size=0,
                consistency=(),
                statements=tuple(jobs.documents(connection, job_id, SEALED, attempt).values()),
                opened=self._logbook.binding(connection, token.log_index),
            )
        nodes = tuple(item.node for item in token.sealed)
        return PendingRelease(nodes, clock.from_text(token.expires_at), size, request)

    def for_node(self, pending: PendingRelease, known_size: int) -> ReleaseRequest:
        """Return the request with the proof that leads from what the node knows of the log to the token."""
        low, high = sorted((known_size, pending.token_size))
        with self._store.read() as connection:
            proof = tuple(log.consistency(connection, low, high)) if low else ()
        return replace(pending.request, known_size=known_size, consistency=proof)

    def handouts(self, job_id: str, attempt: int) -> dict[str, bytes]:
        """Return the keys handed out so far, by node."""
        with self._store.read() as connection:
            return jobs.documents(connection, job_id, HANDOUT, attempt)

    def keep_handout(self, job_id: str, attempt: int, node: str, handout: bytes) -> None:
        """Store a node's key at once, so that a crash does not ask twice.

        Raises:
            EvidenceError: it is not the key that the node announced for this attempt, or for another token.
        """
        given = self._keyring.verified(KeyHandout, node, handout).document
        with self._store.begin() as connection:
            token = ReleaseToken.unverified(jobs.documents(connection, job_id, TOKEN, attempt)["exchange"])
            announced = AttemptKeys.unverified(jobs.documents(connection, job_id, PREPARED, attempt)[node])
            key = SealingKey(bytes.fromhex(given.release_private_key))
            if given.token_digest != token.digest or key.public.hex() != announced.document.release_key:
                raise EvidenceError(f"`{node}` handed out another key than the one of this attempt")
            jobs.keep(connection, job_id, HANDOUT, attempt, [(node, handout)])

    def verified_void(
        self, node: str, envelope: bytes, acceptance_digest: str, attempt: int
    ) -> Signed[VoidStatement]:
        """Return a node's statement that its key is destroyed.

        Raises:
            EvidenceError: it is about another attempt.
        """
        signed = self._keyring.verified(VoidStatement, node, envelope)
        if (signed.document.acceptance_digest, signed.document.attempt) != (acceptance_digest, attempt):
            raise EvidenceError(f"`{node}` signed a void statement for another attempt")
        return signed

    def book_receipts(self, connection: Connection, job_id: str, attempt: int, now: datetime) -> None:
        """Write each party's receipt of a release."""
        envelope = jobs.documents(connection, job_id, TOKEN, attempt)["exchange"]
        token = ReleaseToken.unverified(envelope).document
        self._write_receipts(connection, job_id, token.log_index, envelope, now)

    def book_settlement(self, connection: Connection, job_id: str, attempt: int, now: datetime) -> None:
        """Pay the providers, the fee and the tax out of the job's clearing account."""
        token = ReleaseToken.unverified(jobs.documents(connection, job_id, TOKEN, attempt)["exchange"])
        money.settle(connection, job_id, token.document.charge, now)

    def _charge(
        self, connection: Connection, job_id: str, quote: Quote, cells: int, *, withheld: bool
    ) -> Charge:
        derived, _ = self._quoting.derive(connection, job_id)
        charge = metered_charge(derived, cells, self._fees, withheld=withheld)
        if charge.total_minor > quote.charge.total_minor:
            raise EvidenceError("the charge would exceed its quote")
        return charge

    def _book_usage(
        self,
        connection: Connection,
        job_id: str,
        attempt: int,
        cells: int | None,
        charge: Charge,
        now: datetime,
    ) -> None:
        """Write the usage row with the signed document behind it; `cells` is None for a withheld result."""
        quote = jobs.signed_quote(connection, job_id).document
        document = Usage(
            environment=self._environment,
            job_id=job_id,
            acceptance_digest=jobs.signed_acceptance(connection, job_id).digest,
            attempt=attempt,
            verdict="withheld" if cells is None else "released",
            cells=cells or 0,
            compute_ms=quote.compute_ms,
            wire_bytes=quote.wire_bytes,
            charge=charge,
            issued_at=clock.to_text(now),
        )
        connection.execute(
            insert(usage).values(
                job_id=job_id,
                acceptance_digest=document.acceptance_digest,
                attempt=attempt,
                cells=document.cells,
                compute_ms=document.compute_ms,
                document=document.sign(self._signer).to_bytes(),
            )
        )

    def _issue_token(
        self,
        connection: Connection,
        job_id: str,
        attempt: int,
        cells: int,
        charge: Charge,
        sealed: tuple[NodeStatement, ...],
        entry: Entry,
        now: datetime,
    ) -> None:
        token = ReleaseToken(
            environment=self._environment,
            job_id=job_id,
            acceptance_digest=jobs.signed_acceptance(connection, job_id).digest,
            attempt=attempt,
            sealed=sealed,
            cells=cells,
            charge=charge,
            log_index=entry.index,
            checkpoint=self._logbook.checkpoint(connection),
            issued_at=clock.to_text(now),
            expires_at=clock.to_text(now + self._token_ttl),
        )
        envelope = token.sign(self._signer).to_bytes()
        jobs.keep(connection, job_id, TOKEN, attempt, [("exchange", envelope)])

    def _facts(self, connection: Connection, job_id: str) -> dict[str, Json]:
        """Return what every leaf about a job commits to: names and digests, never the query or a literal."""
        job = jobs.signed_job(connection, job_id)
        facts: dict[str, Json] = {
            "job": job_id,
            "job_digest": job.digest,
            "buyer": job.document.buyer,
            "purpose": job.document.purpose,
            "products": [pin.name for pin in job.document.products],
        }
        view = jobs.view(connection, job_id)
        if view.quote:
            quote = jobs.signed_quote(connection, job_id).document
            facts |= {"plan": quote.plan_digest, "technique": quote.technique, "nodes": list(quote.nodes)}
        if view.acceptance:
            facts["acceptance"] = jobs.signed_acceptance(connection, job_id).digest
        return facts

    def _write_receipts(
        self, connection: Connection, job_id: str, index: int, token: bytes | None, now: datetime
    ) -> None:
        job = jobs.signed_job(connection, job_id).document
        view = jobs.view(connection, job_id)
        quote = jobs.signed_quote(connection, job_id).document if view.quote else None
        openings = self._logbook.fields(connection, index)
        recipients = {job.buyer} | {pin.name.partition(".")[0] for pin in job.products}
        recipients |= set(quote.nodes) if quote else set()
        receipts = []
        for recipient in sorted(recipients):
            role = parties.role(connection, recipient)
            receipts.append(
                (
                    recipient,
                    self._logbook.receipt(
                        connection,
                        recipient=recipient,
                        job_id=job_id,
                        index=index,
                        visible=visible_fields(openings, recipient, role),
                        token=token if role == "buyer" else None,
                        assumption=quote.assumption if quote else "",
                        limits=quote.limits if quote else (),
                        at=now,
                    ),
                )
            )
        jobs.keep(connection, job_id, RECEIPT, 0, receipts)
