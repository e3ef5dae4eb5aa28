"""The exchange: what `ExchangePort` asks of it, and its own operator's acts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from billing import log, trial_balance
from billing.tariff import ExchangeFees
from records import canonical
from records.clock import Clock
from records.document import Signed
from records.errors import NotPermitted, StateConflict
from records.job import Job, SealedResult
from records.keys import Signer
from records.parties import PartyRecord
from sandbox.exchange import blobs, jobs, money, parties, registrations, statements
from sandbox.exchange.driver import Driver, Patience
from sandbox.exchange.effects import JobEffects
from sandbox.exchange.keyring import Keyring
from sandbox.exchange.logbook import Logbook
from sandbox.exchange.metering import HANDOUT, RECEIPT, SEALED, TOKEN, Metering
from sandbox.exchange.quoting import Quoting
from sandbox.lifecycle import State
from sandbox.ports import (
    Blob,
    Caller,
    Catalogue,
    JobEvent,
    JobView,
    LogProof,
    NodePort,
    ReleasedResult,
)
from sandbox.store import Store

MAX_LEAVES = 1000


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """What an operator may set. Fees and tax are in basis points on top of the providers' prices."""

    fees: ExchangeFees = field(
        default_factory=lambda: ExchangeFees(fee_basis_points=500, tax_basis_points=600)
    )
    token_ttl: timedelta = timedelta(minutes=10)
    patience: Patience = field(default_factory=Patience)


class Exchange:
    """One exchange over its store. Implements `sandbox.ports.ExchangePort`."""

    def __init__(
        self,
        *,
        record: Signed[PartyRecord],
        signer: Signer,
        log_signer: Signer,
        store: Store,
        nodes: Callable[[str], NodePort],
        clock: Clock,
        settings: ExchangeSettings | None = None,
    ) -> None:
        """`nodes` gives the port of a registered node by name; `record` is the exchange's own."""
        chosen = settings or ExchangeSettings()
        self.record = record
        self._environment = record.document.environment
        self._store = store
        self._clock = clock
        self._logbook = Logbook(self._environment, signer, log_signer)
        keyring = Keyring(store, self._environment)
        self._quoting = quoting = Quoting(self._environment, signer, chosen.fees)
        metering = Metering(
            environment=self._environment,
            store=store,
            signer=signer,
            keyring=keyring,
            logbook=self._logbook,
            quoting=quoting,
            fees=chosen.fees,
            token_ttl=chosen.token_ttl,
        )
        effects = JobEffects(
            caller=Caller(record.document.party, "exchange"),
            store=store,
            keyring=keyring,
            quoting=quoting,
            metering=metering,
            nodes=nodes,
            clock=clock,
        )
        self._driver = Driver(store, effects, clock, chosen.patience)
        with store.begin() as connection:
            if not parties.is_known(connection, record.document.party):
                parties.enrol(connection, self._logbook, record.to_bytes(), self._environment, clock())

    def start(self) -> None:
        """Take up all open jobs; call it on the event loop."""
        self._driver.start()

    async def stop(self) -> None:
        """Stop driving jobs; nothing is lost."""
        await self._driver.stop()

    # The operator's acts.

    def enrol(self, record: bytes) -> Signed[PartyRecord]:
        """Register a party whose record the operator has checked by other means."""
        with self._store.begin() as connection:
            return parties.enrol(connection, self._logbook, record, self._environment, self._clock())

    def revoke(self, party: str) -> None:
        """Revoke a party's keys at once."""
        with self._store.begin() as connection:
            parties.revoke(connection, self._logbook, party, self._clock())

    def deposit(self, buyer: str, currency: str, amount_minor: int, deposit_id: str) -> None:
        """Credit a buyer with money that came in, once per `deposit_id`."""
        with self._store.begin() as connection:
            money.deposit(connection, buyer, currency, amount_minor, deposit_id, self._clock())

    def party(self, name: str) -> Signed[PartyRecord]:
        """Return a party's present record."""
        with self._store.read() as connection:
            return parties.active(connection, name)

    def check(self) -> None:
        """Check ledger and log as a whole; raise `EvidenceError` where they do not hold."""
        with self._store.read() as connection:
            trial_balance.check(connection)
            log.check(connection, self._environment)

    # ExchangePort: registration.

    async def rotate_key(self, caller: Caller, event: bytes, record: bytes) -> None:
        """See `ExchangePort`."""
        if PartyRecord.unverified(record).document.party != caller.party:
            raise NotPermitted("a party changes its own keys only")
        with self._store.begin() as connection:
            parties.rotate(connection, self._logbook, event, record, self._environment, self._clock())

    async def register_product(self, caller: Caller, record: bytes) -> None:
        """See `ExchangePort`."""
        with self._store.begin() as connection:
            signed = registrations.register(connection, record, caller.party, self._environment)
            facts = {"product": signed.document.product, "provider": caller.party, "record": signed.digest}
            self._logbook.enter(connection, "product-registered", self._clock(), facts)

    async def join_collection(self, caller: Caller, membership: bytes) -> None:
        """See `ExchangePort`."""
        with self._store.begin() as connection:
            registrations.join(connection, membership, caller.party, self._environment)

    async def catalogue(self, caller: Caller) -> Catalogue:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return Catalogue(
                products=tuple(item.to_bytes() for item in registrations.all_products(connection)),
                memberships=tuple(item.to_bytes() for item in registrations.all_memberships(connection)),
                parties=tuple(item.to_bytes() for item in parties.all_active(connection)),
                key_events=tuple(parties.key_events(connection)),
            )

    # ExchangePort: jobs.

    async def submit(self, caller: Caller, job: bytes) -> str:
        """See `ExchangePort`."""
        if Job.unverified(job).document.buyer != caller.party:
            raise NotPermitted("a buyer submits its own jobs only")
        with self._store.begin() as connection:
            key = parties.active(connection, caller.party).document.verifying_key
            job_id = jobs.submit(connection, job, key, self._environment, self._clock())
        self._driver.wake(job_id)
        return job_id

    async def job(self, caller: Caller, job_id: str) -> JobView:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            jobs.require_owner(connection, job_id, caller.party)
            return jobs.view(connection, job_id)

    async def jobs(self, caller: Caller) -> tuple[JobView, ...]:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return tuple(jobs.view(connection, job_id) for job_id in jobs.ids_of(connection, caller.party))

    async def accept(self, caller: Caller, job_id: str, acceptance: bytes) -> None:
        """See `ExchangePort`."""
        with self._store.begin() as connection:
            jobs.require_owner(connection, job_id, caller.party)
            key = parties.active(connection, caller.party).document.verifying_key
            jobs.accept(connection, job_id, acceptance, key, self._environment, self._clock())
        self._driver.wake(job_id)

    async def cancel(self, caller: Caller, job_id: str, cancellation: bytes) -> None:
        """See `ExchangePort`."""
        with self._store.begin() as connection:
            jobs.require_owner(connection, job_id, caller.party)
            key = parties.active(connection, caller.party).document.verifying_key
            jobs.cancel(connection, job_id, cancellation, key, self._environment)
        self._driver.wake(job_id)

    async def watch(self, caller: Caller, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            jobs.require_owner(connection, job_id, caller.party)
        async for event in self._driver.watch(job_id, after):
            yield event

    async def result(self, caller: Caller, job_id: str) -> ReleasedResult:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            jobs.require_owner(connection, job_id, caller.party)
            snapshot = jobs.snapshot(connection, job_id)
            if snapshot.state not in (State.RELEASED, State.SETTLED):
                raise StateConflict(f"the job is {snapshot.state}: nothing is released")

            def documents(kind: str) -> dict[str, bytes]:
                return jobs.documents(connection, job_id, kind, snapshot.attempt)

            sealed = documents(SEALED)
            _, quoted_on = self._quoting.derive(connection, job_id)
            return ReleasedResult(
                attempt=snapshot.attempt,
                blobs=tuple(blob for node, item in sealed.items() for blob in _blobs(node, item)),
                statements=tuple(sealed.values()),
                handouts=tuple(documents(HANDOUT).values()),
                attempt_keys=tuple(documents("attempt-keys").values()),
                token=documents(TOKEN)["exchange"],
                party_records=quoted_on.party_records,
                product_records=quoted_on.product_records,
                memberships=quoted_on.memberships,
            )

    async def fetch(
        self, caller: Caller, job_id: str, node: str, index: int, offset: int
    ) -> AsyncIterator[bytes]:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            jobs.require_owner(connection, job_id, caller.party)
            snapshot = jobs.snapshot(connection, job_id)
            if snapshot.state not in (State.RELEASED, State.SETTLED):
                raise StateConflict(f"the job is {snapshot.state}: nothing is released")
            for chunk in blobs.read(connection, job_id, snapshot.attempt, node, index, offset):
                yield chunk

    async def receipt(self, caller: Caller, job_id: str) -> bytes:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            found = jobs.documents(connection, job_id, RECEIPT, 0)
        if caller.party not in found:
            raise StateConflict("there is no receipt of this job for you yet")
        return found[caller.party]

    async def statement(self, caller: Caller) -> bytes:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return canonical.encode(statements.of(connection, caller.party, caller.role))

    # ExchangePort: sealed shares on their way.

    async def uploaded(self, caller: Caller, acceptance_digest: str, attempt: int, index: int) -> int:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            job_id = jobs.by_acceptance(connection, acceptance_digest)
            return blobs.size(connection, job_id, attempt, caller.party, index)

    async def upload(
        self,
        caller: Caller,
        acceptance_digest: str,
        attempt: int,
        index: int,
        offset: int,
        chunks: AsyncIterator[bytes],
    ) -> int:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            job_id = jobs.by_acceptance(connection, acceptance_digest)
            snapshot = jobs.snapshot(connection, job_id)
            nodes = jobs.signed_quote(connection, job_id).document.nodes
        if caller.party not in nodes or snapshot.state is not State.HELD or snapshot.attempt != attempt:
            raise StateConflict("the job expects no upload by this node for this attempt")
        size = offset
        async for chunk in chunks:
            with self._store.begin() as connection:
                size = blobs.append(connection, job_id, attempt, caller.party, index, size, chunk)
        return size

    # ExchangePort: the log.

    async def checkpoint(self, caller: Caller) -> str:
        """See `ExchangePort`."""
        with self._store.begin() as connection:
            return self._logbook.checkpoint(connection)

    async def leaves(self, caller: Caller, start: int, count: int) -> tuple[bytes, ...]:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return tuple(log.leaves(connection, start, start + min(count, MAX_LEAVES)))

    async def consistency(self, caller: Caller, old_size: int, new_size: int) -> LogProof:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return LogProof(tuple(log.consistency(connection, old_size, new_size)))

    async def inclusion(self, caller: Caller, index: int, size: int) -> LogProof:
        """See `ExchangePort`."""
        with self._store.read() as connection:
            return LogProof(tuple(log.inclusion(connection, index, size)))


def _blobs(node: str, envelope: bytes) -> list[Blob]:
    statement = SealedResult.unverified(envelope).document
    return [Blob(node, share.index, share.size, share.ciphertext_digest) for share in statement.shares]
