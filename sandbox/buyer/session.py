"""What a buyer does, asynchronously and without state of its own: all is found again by the job's id."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from billing.tariff import ExchangeFees
from records import canonical, clock, ids
from records.clock import Clock
from records.document import Document, Signed
from records.errors import (
    EvidenceError,
    JobEnded,
    JobRefused,
    Reason,
    ResultWithheld,
    StateConflict,
    UnknownObject,
)
from records.job import Acceptance, Cancellation, Job, Quote, RecordPin, ReleaseToken
from records.keys import VerifyingKey
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox import parameters
from sandbox.buyer import evidence
from sandbox.buyer.opening import OpenedResult, open_result, verify_release
from sandbox.derivation import Derived, Facts, derive, providers_of
from sandbox.identity import Identity
from sandbox.lifecycle import TERMINAL, State
from sandbox.ports import Caller, ExchangePort, JobEvent, JobView
from sandbox.receipt import ExchangeKeys
from sandbox.sql import names, placeholders
from sandbox.wire.transfer import collect

JOB_TTL = timedelta(hours=1)
DEFAULT_MAX_GROUPS = 256
D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is on offer: verified records by name."""

    products: dict[str, Signed[ProductRecord]]
    collections: dict[str, tuple[CollectionMembership, ...]]
    parties: dict[str, Signed[PartyRecord]]


class BuyerSession:
    """One buyer at one exchange."""

    def __init__(
        self, identity: Identity, exchange_record: Signed[PartyRecord], exchange: ExchangePort, now: Clock
    ) -> None:
        """`exchange_record` was obtained and checked when the buyer enrolled: its keys are trusted."""
        document = exchange_record.document
        if document.log_key is None:
            raise EvidenceError("the exchange's record names no log key")
        verifying = type(document.verifying_key)
        self.keys = ExchangeKeys(
            document.environment, document.verifying_key, verifying.from_json(document.log_key)
        )
        self._identity = identity
        self._exchange = exchange
        self._now = now
        self._caller = Caller(identity.party, "buyer")
        self._parsed: dict[bytes, Signed[Any]] = {}
        self._seen: set[tuple[bytes, str]] = set()

    async def listing(self) -> Listing:
        """Return the catalogue, every record checked against its signer's own record."""
        catalogue = await self._exchange.catalogue(self._caller)
        parties: dict[str, Signed[PartyRecord]] = {}
        for envelope in catalogue.parties:
            claimed = self._verified(PartyRecord, envelope, lambda record: record.verifying_key)
            parties[claimed.document.party] = claimed

        def provider_key(record: ProductRecord | CollectionMembership) -> VerifyingKey:
            return parties[record.provider].document.verifying_key

        products: dict[str, Signed[ProductRecord]] = {}
        for envelope in catalogue.products:
            product = self._verified(ProductRecord, envelope, provider_key)
            products[product.document.product] = product
        collections: dict[str, tuple[CollectionMembership, ...]] = {}
        for envelope in catalogue.memberships:
            member = self._verified(CollectionMembership, envelope, provider_key).document
            collections[member.collection] = (*collections.get(member.collection, ()), member)
        return Listing(products, collections, parties)

    def _verified(self, kind: type[D], envelope: bytes, key_of: Callable[[D], VerifyingKey]) -> Signed[D]:
        """Return a signed record; what was verified before under the same key is not verified again."""
        if envelope not in self._parsed:
            self._parsed[envelope] = kind.unverified(envelope)
        claimed: Signed[D] = self._parsed[envelope]
        key = key_of(claimed.document)
        if (envelope, key.key_id) not in self._seen:
            claimed = kind.verified(envelope, key, self.keys.environment)
            self._seen.add((envelope, key.key_id))
        return claimed

    async def draft(
        self,
        query: str,
        *,
        purpose: str,
        technique: Literal["auto", "local", "secret-sharing"],
        epsilon: str | None,
        max_groups: int,
        max_price_minor: int | None,
    ) -> Signed[Job]:
        """Return a signed job for `query`, with the products and versions that it reads.

        Raises:
            UnknownObject: the query names nothing in the catalogue.
            MalformedDocument: it does not parse.
            JobRefused: it is of a kind that is not supported.
        """
        listing = await self.listing()
        template, values = placeholders.extract(query)
        collections, products = _read(listing, names.source_names(template))
        now = self._now()
        job_id = ids.uuid7(now, secrets.token_bytes)
        pins = tuple(
            RecordPin(name=product, record_digest=listing.products[product].digest) for product in products
        )
        sealed_to = sealing_keys(listing, products, self._identity)
        job = Job(
            environment=self.keys.environment,
            job_id=job_id,
            buyer=self._identity.party,
            idempotency_key=secrets.token_hex(16),
            query=template,
            parameters=parameters.seal(values, sealed_to, job_id) if values else None,
            collections=collections,
            products=pins,
            purpose=purpose,
            technique=technique,
            epsilon=epsilon,
            max_groups=max_groups,
            max_price_minor=max_price_minor,
            result_key=str(self._identity.record.document.sealing_key),
            issued_at=clock.to_text(now),
            expires_at=clock.to_text(now + JOB_TTL),
        )
        return job.sign(self._identity.signer)

    async def submit(self, job: Signed[Job]) -> str:
        """Bring a job to the exchange; doing it again is safe."""
        return await self._exchange.submit(self._caller, job.to_bytes())

    async def view(self, job_id: str) -> JobView:
        """Return a job as the exchange has it."""
        return await self._exchange.job(self._caller, job_id)

    async def views(self) -> tuple[JobView, ...]:
        """Return all jobs of this buyer, newest first."""
        return await self._exchange.jobs(self._caller)

    async def quoted(self, job_id: str) -> Signed[Quote]:
        """Wait for the job's quote, and check it against the buyer's own derivation.

        Raises:
            JobRefused: a node, the planner or the exchange refused, with all reasons.
            EvidenceError: the quote differs from what the job comes to.
        """
        view = await self._reach(
            job_id, {State.QUOTED, State.HELD, State.EXECUTED, State.METERED, State.RELEASED}
        )
        quote = Quote.verified(view.quote, self.keys.signing, self.keys.environment)
        job = Job.unverified(view.job)
        derived = await self.derived(job.document, quote.document)
        said, ours = quote.document, derived
        evidence.require_listed((await self.listing()).parties, said)
        pairs = (
            (said.job_digest, job.digest),
            (said.plan_digest, ours.plan.digest),
            (said.technique, ours.technique),
            (said.nodes, ours.nodes),
            (said.compute_set, ours.compute_set),
            (said.charge, ours.charge),
            (said.openings, ours.openings),
            (said.leaks, ours.leaks),
            (said.result_key, job.document.result_key),
        )
        if any(theirs != mine for theirs, mine in pairs):
            raise EvidenceError("the quote differs from what the job comes to: do not accept it")
        return quote

    async def accept(self, job_id: str, quote: Signed[Quote], max_price_minor: int | None) -> None:
        """Sign and send the acceptance of a quote.

        Raises:
            JobRefused: the price is above `max_price_minor`; nothing was accepted.
        """
        price = quote.document.charge
        if max_price_minor is not None and price.total_minor > max_price_minor:
            raise JobRefused(
                (
                    Reason(
                        self._identity.party,
                        "max_price",
                        f"at most {max_price_minor} {price.currency} (minor units)",
                        str(price.total_minor),
                        "raise max_price, or ask for fewer groups or columns",
                    ),
                )
            )
        now = self._now()
        acceptance = Acceptance(
            environment=self.keys.environment,
            quote_digest=quote.digest,
            job_digest=quote.document.job_digest,
            buyer=self._identity.party,
            issued_at=clock.to_text(now),
            expires_at=clock.to_text(now + JOB_TTL),
        )
        try:
            await self._exchange.accept(
                self._caller, job_id, acceptance.sign(self._identity.signer).to_bytes()
            )
        except StateConflict:
            # The answer to an earlier acceptance of this very quote was lost on the way.
            stored = (await self.view(job_id)).acceptance
            if not stored or Acceptance.unverified(stored).document.quote_digest != quote.digest:
                raise

    async def cancel(self, job_id: str) -> None:
        """Order the job to stop; possible until METERED."""
        order = Cancellation(
            environment=self.keys.environment,
            job_id=job_id,
            buyer=self._identity.party,
            issued_at=clock.to_text(self._now()),
        )
        await self._exchange.cancel(self._caller, job_id, order.sign(self._identity.signer).to_bytes())

    def watch(self, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
        """Yield the job's steps as they happen."""
        return self._exchange.watch(self._caller, job_id, after)

    async def settled(self, job_id: str) -> JobView:
        """Wait until the job is settled.

        Raises:
            JobRefused, ResultWithheld, JobEnded: it ended without a result.
        """
        return await self._reach(job_id, {State.SETTLED})

    async def open(self, job_id: str) -> OpenedResult:
        """Fetch, unwrap and open the result of a settled job.

        Raises:
            EvidenceError, SignatureInvalid: job, acceptance or quote are not those that this buyer signed
                and accepted, or a record, statement or key is not what they name.
        """
        me, view = self._identity, await self.settled(job_id)
        quote = Quote.verified(view.quote, self.keys.signing, self.keys.environment)
        job, acceptance = evidence.own(Job, view.job, me), evidence.own(Acceptance, view.acceptance, me)
        accepted = acceptance.document
        if (accepted.quote_digest, accepted.job_digest, quote.document.job_digest) != (
            quote.digest,
            job.digest,
            job.digest,
        ):
            raise EvidenceError("the exchange shows another job or quote than this buyer accepted")
        released = await self._exchange.result(self._caller, job_id)
        facts = evidence.quoted_on(released, job.document, quote.document, me.record.document)
        release = verify_release(
            released,
            quote,
            acceptance.digest,
            self.keys.signing,
            {name: facts.parties[name].verifying_key for name in quote.document.nodes},
            self.keys.environment,
        )
        derived = derive(job.document, facts)
        fetched = await asyncio.gather(
            *(collect(self._exchange, self._caller, job_id, blob) for blob in released.blobs)
        )
        ciphertexts = {
            (blob.node, blob.index): data for blob, data in zip(released.blobs, fetched, strict=True)
        }
        literals = parameters.unseal(job.document, me.party, me.sealing_keys)
        return await asyncio.to_thread(
            open_result, derived.plan, release, ciphertexts, evidence.result_key(quote.document, me), literals
        )

    async def token(self, job_id: str) -> ReleaseToken:
        """Return the release token of a job that was released."""
        released = await self._exchange.result(self._caller, job_id)
        return ReleaseToken.verified(released.token, self.keys.signing, self.keys.environment).document

    async def receipt(self, job_id: str) -> bytes:
        """Return the buyer's receipt of an ended job."""
        return await self._exchange.receipt(self._caller, job_id)

    async def statement(self) -> Any:
        """Return the buyer's account."""
        return canonical.decode(await self._exchange.statement(self._caller))

    async def planned(self, job: Job) -> Derived:
        """Derive a job from the catalogue alone, without a quote: its charge lacks all fees.

        The compute set is the one that the exchange will name, unless parties come or go until then.
        """
        listing = await self.listing()
        parties = {name: item.document for name, item in listing.parties.items()}
        concerned = {*providers_of(job), *(name for name, each in parties.items() if each.role == "notary")}
        known = {name: parties[name] for name in sorted(concerned)} | {
            job.buyer: self._identity.record.document
        }
        return derive(job, _facts(listing, job, known, ExchangeFees(0, 0)))

    async def derived(self, job: Job, quote: Quote) -> Derived:
        """Derive a job as every node does, with the seats that the quote names."""
        listing = await self.listing()
        parties = {name: listing.parties[name].document for name in sorted({job.buyer, *quote.nodes})}
        fees = ExchangeFees(quote.fee_basis_points, quote.tax_basis_points)
        return derive(job, _facts(listing, job, parties, fees))

    async def _reach(self, job_id: str, wanted: set[State]) -> JobView:
        """Wait until a job is in one of `wanted`, or settled, or ended."""
        async for event in self.watch(job_id):
            state = State(event.state)
            if state in wanted or state in TERMINAL:
                break
        view = await self.view(job_id)
        _raise_if_ended(view)
        return view


def _facts(listing: Listing, job: Job, parties: Mapping[str, PartyRecord], fees: ExchangeFees) -> Facts:
    return Facts(
        parties=parties,
        products={name: item.document for name, item in listing.products.items()},
        memberships=[item for name in job.collections for item in listing.collections.get(name, ())],
        fees=fees,
    )


def _read(listing: Listing, sources: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the collections that a query names, and all products that it reads, both sorted.

    Raises:
        UnknownObject: it names something that is not on offer.
    """
    collections, products = [], set()
    for name in sources:
        if name in listing.collections:
            collections.append(name)
            products |= {member.product for member in listing.collections[name]}
        elif name in listing.products:
            products.add(name)
        else:
            raise UnknownObject("the query names no product or collection on offer; see `products()`")
    return tuple(sorted(collections)), tuple(sorted(products))


def sealing_keys(listing: Listing, products: Iterable[str], buyer: Identity) -> dict[str, bytes]:
    """Return the public sealing keys of the providers of `products` and of the buyer itself, by name.

    The buyer's own is taken from its own identity: an exchange could list another one.
    """
    providers = {listing.products[name].document.provider for name in products}
    records = {name: listing.parties[name].document for name in providers}
    records[buyer.party] = buyer.record.document
    keys = {}
    for name, record in records.items():
        if record.sealing_key is None:
            raise EvidenceError(f"the record of `{name}` names no sealing key")
        keys[name] = bytes.fromhex(record.sealing_key)
    return keys


def reasons_of(view: JobView) -> tuple[Reason, ...]:
    """Return why a job ended, as the buyer may know."""
    entries: Any = canonical.decode(view.reason.encode())
    return tuple(Reason(**entry) for entry in entries)


def _raise_if_ended(view: JobView) -> None:
    match State(view.state):
        case State.REFUSED:
            raise JobRefused(reasons_of(view))
        case State.WITHHELD:
            raise ResultWithheld(reasons_of(view))
        case State.CANCELLED | State.EXPIRED | State.FAILED:
            raise JobEnded(reasons_of(view))
