"""A node: what `NodePort` asks of it, and its own officer's acts. It trusts nobody, and checks for itself."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from billing.tariff import ExchangeFees
from connectors.sources import Source
from policies import terms as policy
from records import clock
from records.clock import Clock
from records.document import Signed
from records.errors import (
    EvidenceError,
    JobRefused,
    Reason,
    StateConflict,
    UnknownObject,
    UsufructError,
)
from records.job import (
    Acceptance,
    Admission,
    Hold,
    Job,
    KeyHandout,
    Quote,
    ReasonRecord,
    ReleaseToken,
    SealedResult,
    VoidStatement,
)
from records.parties import PartyRecord, ProductRecord
from sandbox import receipt as receipts
from sandbox.derivation import Derived
from sandbox.identity import Identity
from sandbox.node import attempts, handing_out, holds, journal, pins, products, uses
from sandbox.node.agreements import Agreements, require_held
from sandbox.node.attempts import Attempts, OpenMesh
from sandbox.node.decisions import check_quote, reasons_against, require_exchange, verify
from sandbox.node.products import Shelf
from sandbox.ports import AdmissionRequest, Caller, ExchangePort, HoldRequest, NodePort, ReleaseRequest
from sandbox.receipt import ExchangeKeys
from sandbox.store import Store
from sandbox.wire.transfer import deliver

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What an officer configures: `pins` {party: key id}; roles in `first_use` are pinned when first seen."""

    pins: Mapping[str, str] = field(default_factory=dict)
    first_use: frozenset[str] = frozenset({"buyer"})


class Node:
    """One provider's or notary's node over its store. Implements `sandbox.ports.NodePort`."""

    def __init__(
        self,
        *,
        identity: Identity,
        exchange_record: Signed[PartyRecord],
        exchange: Callable[[], ExchangePort],
        peers: Callable[[str], NodePort],
        store: Store,
        open_mesh: OpenMesh,
        clock: Clock,
        settings: NodeSettings | None = None,
        on_record: Callable[[Signed[PartyRecord]], None] = lambda _: None,
    ) -> None:
        """`exchange_record` was obtained and checked when the node was set up: its keys are pinned.

        `on_record` hears of every party record that carries a pinned key, so that a transport knows it.
        """
        chosen = settings or NodeSettings()
        self._identity = identity
        self._exchange = exchange
        self._peers = peers
        self._store = store
        self._now = clock
        self._first_use = chosen.first_use
        self._on_record = on_record
        self._shelf = Shelf()
        self._releasing = asyncio.Lock()
        self._agreements = Agreements(store, identity, chosen.first_use)
        self._attempts = Attempts(identity, store, open_mesh, self._shelf.run, clock)
        document = exchange_record.document
        if document.log_key is None:
            raise EvidenceError("the exchange's record names no log key")
        self._exchange_keys = ExchangeKeys(
            document.environment,
            document.verifying_key,
            type(document.verifying_key).from_json(document.log_key),
        )
        own = identity.record.document
        with store.begin() as connection:
            pins.configure(
                connection,
                {
                    **chosen.pins,
                    document.party: document.verifying_key.key_id,
                    own.party: own.verifying_key.key_id,
                },
            )
            known = journal.parties_of_held(connection)
        for record in known:
            # What runs on after a restart is between parties known from before it.
            if record.document.party != own.party and self.is_pinned(record):
                on_record(record)

    # The officer's acts.

    def pin(self, party: str, key_id: str) -> None:
        """Confirm a party's key locally."""
        with self._store.begin() as connection:
            pins.configure(connection, {party: key_id})

    async def offer(self, source: Source, terms: policy.Terms) -> Signed[ProductRecord]:
        """Open a source and register it with its terms; unchanged, it keeps its version."""
        connector = self._shelf.open(terms.product, source)
        with self._store.begin() as connection:
            record = products.register(
                connection, connector, terms, self._identity.signer, self._identity.environment, self._now()
            )
        known = {
            ProductRecord.unverified(item).digest
            for item in (await self._exchange().catalogue(self._caller)).products
        }
        if record.digest not in known:
            await self._exchange().register_product(self._caller, record.to_bytes())
        return record

    def is_pinned(self, record: Signed[PartyRecord], key_events: Iterable[bytes] = ()) -> bool:
        """Tell whether this node trusts the key of a party's record."""
        with self._store.begin() as connection:
            try:
                pins.require(connection, record, key_events=key_events)
            except (EvidenceError, UnknownObject):
                return False
        return True

    async def join(self, product: str, collection: str) -> None:
        """Let a product take part in a collection."""
        with self._store.read() as connection:
            record = products.newest(connection, product).document
        signed = products.membership(record, collection, self._identity.signer, self._now())
        await self._exchange().join_collection(self._caller, signed.to_bytes())

    async def learn_ends(self) -> None:
        """Fetch the receipts of jobs that ended while the exchange could not reach this node."""
        await holds.learn_ends(self._store, self._exchange(), self._caller, self._exchange_keys, self._now)

    def close(self) -> None:
        """Break off what runs; close sources and store."""
        self._attempts.close()
        self._shelf.close()
        self._store.close()

    # NodePort.

    async def admit(self, caller: Caller, request: AdmissionRequest) -> bytes:
        """See `NodePort`."""
        require_exchange(caller)
        digest = Job.unverified(request.job).digest
        with self._store.begin() as connection:
            before = journal.admission(connection, digest)
            if before is not None:
                return before
            holds.end_expired(connection, self._identity.party, self._now())
            plan_digest, reasons = self._decide(connection, request)
            admission = Admission(
                environment=self._identity.environment,
                job_digest=digest,
                node=self._identity.party,
                effect="refuse" if reasons else "permit",
                reasons=tuple(ReasonRecord.of(reason) for reason in reasons),
                plan_digest=plan_digest,
                sequence=journal.next_number(connection, "sequence"),
                state_digest=uses.state_digest(connection, self._salt),
                issued_at=clock.to_text(self._now()),
            ).sign(self._identity.signer)
            journal.keep_admission(connection, digest, request, admission.to_bytes())
            return admission.to_bytes()

    async def hold(self, caller: Caller, request: HoldRequest) -> bytes:
        """See `NodePort`."""
        require_exchange(caller)
        quote = Quote.verified(request.quote, self._exchange_keys.signing, self._identity.environment)
        with self._store.begin() as connection:
            holds.end_expired(connection, self._identity.party, self._now())
            verified = self._agreements.verified(connection, quote)
            job = verified.job.document
            acceptance = Acceptance.verified(
                request.acceptance, verified.keys[job.buyer], self._identity.environment
            )
            before = journal.agreed(connection, acceptance.digest)
            if before is not None:
                if before.status == "void":
                    raise StateConflict("this acceptance was voided; ask for a new quote")
                return bytes(before.hold)
            derived, reasons = reasons_against(connection, self._identity, verified, self._now())
            if reasons or derived is None:
                raise JobRefused(reasons)
            check_quote(verified, derived, quote, acceptance, self._now())
            expires_at = clock.from_text(acceptance.document.expires_at)
            for terms in self._own_terms(derived):
                uses.hold(connection, terms, job.buyer, acceptance.digest, expires_at, self._now())
            hold = Hold(
                environment=self._identity.environment,
                acceptance_digest=acceptance.digest,
                node=self._identity.party,
                expires_at=acceptance.document.expires_at,
                sequence=journal.next_number(connection, "sequence"),
                state_digest=uses.state_digest(connection, self._salt),
                issued_at=clock.to_text(self._now()),
            ).sign(self._identity.signer)
            journal.keep_agreed(connection, job.job_id, quote, acceptance, hold.to_bytes())
            return hold.to_bytes()

    async def void(self, caller: Caller, acceptance_digest: str) -> None:
        """See `NodePort`."""
        require_exchange(caller)
        with self._store.begin() as connection:
            holds.end(connection, self._identity.party, acceptance_digest, self._now())

    async def prepare(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """See `NodePort`."""
        require_exchange(caller)
        with self._store.read() as connection:
            job_digest = require_held(connection, acceptance_digest, self._now()).job_digest
            own = journal.admitted_products(connection, job_digest, self._identity.party)
            products.require_registered_content(connection, self._shelf, own)
        return self._attempts.prepare(acceptance_digest, attempt)

    async def execute(
        self, caller: Caller, acceptance_digest: str, attempt: int, keys: tuple[bytes, ...]
    ) -> bytes:
        """See `NodePort`."""
        require_exchange(caller)
        agreement = self._agreements.of(acceptance_digest)
        statement = await self._attempts.execute(acceptance_digest, attempt, agreement, keys)
        if SealedResult.unverified(statement).document.verdict == "withheld":
            # R12: a withheld result consumes its use, or withholding would be a free oracle.
            with self._store.begin() as connection:
                self._consume(connection, acceptance_digest, agreement.derived)
            return statement
        with self._store.read() as connection:
            blobs = journal.blobs(connection, acceptance_digest, attempt)
        for index, ciphertext in blobs.items():
            await deliver(self._exchange(), self._caller, acceptance_digest, attempt, index, ciphertext)
        return statement

    async def checkpoint_size(self, caller: Caller) -> int:
        """See `NodePort`."""
        with self._store.read() as connection:
            return journal.last_checkpoint(connection)[0]

    async def release(self, caller: Caller, request: ReleaseRequest) -> bytes:
        """See `NodePort`; the checks are listed in `sandbox.node.handing_out`."""
        require_exchange(caller)
        claimed = ReleaseToken.unverified(request.token).document
        with self._store.read() as connection:
            row = journal.attempt(connection, claimed.acceptance_digest, claimed.attempt)
            if row.status == "handed-out":
                return bytes(row.handout)
        agreement = self._agreements.of(claimed.acceptance_digest)
        quote, derived = agreement.quote, agreement.derived
        token = handing_out.check_token(
            request, self._exchange_keys, quote.document, derived, agreement.verified.keys, self._now()
        )
        # (2) and (3) against this node's own rows
        named = {item.node: item.statement_digest for item in token.sealed}
        if (
            row.status != "sealed"
            or named[self._identity.party] != SealedResult.unverified(row.result).digest
        ):
            raise StateConflict("this node has not sealed the result that the token names")
        others = {name: self._peers(name) for name in quote.document.nodes if name != self._identity.party}
        # One at a time: a checkpoint is compared with the last one stored, and then becomes it.
        async with self._releasing:
            with self._store.read() as connection:
                known = journal.last_checkpoint(connection)[1]
            handing_out.check_history(known, request, token, self._exchange_keys)
            await handing_out.compare_with_peers(
                token, self._exchange_keys, others, self._caller, self._exchange
            )
            return self._hand_out(request, token, derived)

    async def destroy(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """See `NodePort`."""
        require_exchange(caller)
        with self._store.begin() as connection:
            row = journal.attempt(connection, acceptance_digest, attempt)
            if row.void_statement is not None:
                return bytes(row.void_statement)
            statement = VoidStatement(
                environment=self._identity.environment,
                acceptance_digest=acceptance_digest,
                attempt=attempt,
                node=self._identity.party,
                issued_at=clock.to_text(self._now()),
            ).sign(self._identity.signer)
            attempts.destroy(connection, acceptance_digest, attempt, statement.to_bytes())
            holds.end(connection, self._identity.party, acceptance_digest, self._now())
            return statement.to_bytes()

    async def settle(self, caller: Caller, receipt: bytes) -> None:
        """See `NodePort`; a receipt that does not verify is refused."""
        require_exchange(caller)
        verified = receipts.verify(receipt, self._exchange_keys).receipt
        if verified.recipient != self._identity.party:
            raise EvidenceError("the receipt is another party's")
        with self._store.begin() as connection:
            journal.keep_receipt(connection, verified.job_id, receipt)

    async def compare_checkpoints(self, caller: Caller, checkpoint: str) -> str:
        """See `NodePort`."""
        handing_out.open_checkpoint(checkpoint, self._exchange_keys)
        with self._store.read() as connection:
            return journal.last_checkpoint(connection)[1]

    # Parts of the above.

    @property
    def _caller(self) -> Caller:
        return Caller(self._identity.party, self._identity.record.document.role)

    @property
    def _salt(self) -> bytes:
        return hashlib.sha256(b"usufruct/state-salt/v1" + self._identity.keys.at_rest).digest()

    def _decide(
        self, connection: Connection, request: AdmissionRequest
    ) -> tuple[str | None, tuple[Reason, ...]]:
        try:
            verified = verify(
                connection, request, self._identity.environment, self._first_use, ExchangeFees(0, 0)
            )
            for record in verified.records:
                self._on_record(record)
            derived, reasons = reasons_against(connection, self._identity, verified, self._now())
        except JobRefused as refusal:
            return None, refusal.reasons
        except UsufructError as fault:
            wanted = "an admission"
            remedy = "correct the job or the records it refers to"
            return None, (Reason(self._identity.party, f"request.{fault.code}", wanted, str(fault), remedy),)
        return (derived.plan.digest if derived else None), reasons

    def _own_terms(self, derived: Derived) -> list[policy.Terms]:
        return [terms for terms in derived.terms.values() if terms.provider == self._identity.party]

    def _hand_out(self, request: ReleaseRequest, token: ReleaseToken, derived: Derived) -> bytes:
        with self._store.begin() as connection:
            now = self._now()
            row = journal.attempt(connection, token.acceptance_digest, token.attempt)
            if attempts.is_past(token.expires_at, now):
                raise StateConflict("the release token has expired; no key is handed out after that")
            handout = KeyHandout(
                environment=self._identity.environment,
                token_digest=ReleaseToken.unverified(request.token).digest,
                attempt=token.attempt,
                node=self._identity.party,
                release_private_key=self._attempts.release_key(row).private.hex(),
                issued_at=clock.to_text(now),
            ).sign(self._identity.signer)
            # Journalled before it is spoken: after a crash the same key is handed out, or none (R7).
            journal.change_attempt(
                connection,
                token.acceptance_digest,
                token.attempt,
                ("sealed",),
                status="handed-out",
                handout=handout.to_bytes(),
            )
            size = handing_out.open_checkpoint(token.checkpoint, self._exchange_keys).size
            journal.keep_checkpoint(connection, size, token.checkpoint)
            self._consume(connection, token.acceptance_digest, derived)
        return handout.to_bytes()

    def _consume(self, connection: Connection, acceptance_digest: str, derived: Derived) -> None:
        for terms in self._own_terms(derived):
            uses.consume(connection, terms.product, acceptance_digest, self._now())
        journal.set_status(connection, acceptance_digest, "consumed")
