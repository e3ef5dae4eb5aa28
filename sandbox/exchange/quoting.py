"""From a stored job to a signed quote, reading registered metadata only (R12)."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from sqlalchemy import Connection

from billing.tariff import ExchangeFees
from records import clock
from records.document import Signed
from records.errors import JobRefused, Reason, UnknownObject
from records.job import Job, Quote, RecordPin
from records.keys import Signer
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox.derivation import LIMITS, Derived, Facts, derive, providers_of
from sandbox.exchange import jobs, parties, registrations
from sandbox.ports import AdmissionRequest

QUOTE_TTL = timedelta(minutes=10)
PARTY_RECORD = "party-record"
MEMBERSHIP = "membership"
REMEMBERED = 256


class Quoting:
    """Derives jobs and prices them."""

    def __init__(self, environment: str, signer: Signer, fees: ExchangeFees) -> None:
        """`fees` are what this exchange adds to the providers' prices."""
        self._environment = environment
        self._signer = signer
        self._fees = fees
        self._remembered: OrderedDict[str, tuple[Derived, AdmissionRequest]] = OrderedDict()

    def derive(self, connection: Connection, job_id: str) -> tuple[Derived, AdmissionRequest]:
        """Return what the job comes to, and the request that lets every node derive the same.

        Once `fix_records` has run, neither later registrations nor enrolments change the answer.

        Raises:
            JobRefused: there is no way to run it.
        """
        if job_id in self._remembered:
            return self._remembered[job_id]
        signed = jobs.signed_job(connection, job_id)
        fixed = jobs.documents(connection, job_id, PARTY_RECORD, 0)
        records = (
            [PartyRecord.unverified(envelope) for envelope in fixed.values()]
            if fixed
            else _parties(connection, signed.document)
        )
        products = [_product(connection, pin, must_be_newest=not fixed) for pin in signed.document.products]
        if fixed:  # who joined a collection since then is no part of this job
            kept = jobs.documents(connection, job_id, MEMBERSHIP, 0)
            members = [CollectionMembership.unverified(envelope) for envelope in kept.values()]
        else:
            members = [
                member
                for collection in signed.document.collections
                for member in registrations.members(connection, collection)
            ]
        facts = Facts(
            parties={record.document.party: record.document for record in records},
            products={record.document.product: record.document for record in products},
            memberships=[member.document for member in members],
            fees=self._fees,
        )
        request = AdmissionRequest(
            job=signed.to_bytes(),
            party_records=tuple(record.to_bytes() for record in records),
            product_records=tuple(record.to_bytes() for record in products),
            memberships=tuple(member.to_bytes() for member in members),
            key_events=tuple(parties.key_events(connection, [item.document.party for item in records])),
        )
        answer = derive(signed.document, facts), request
        if fixed:  # from now on it is a function of stored bytes
            self._remembered[job_id] = answer
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return answer

    @staticmethod
    def fix_records(connection: Connection, job_id: str, request: AdmissionRequest) -> None:
        """Keep the records that the nodes were asked with; from now on the job derives from these."""
        records = [(PartyRecord.unverified(item).document.party, item) for item in request.party_records]
        jobs.keep(connection, job_id, PARTY_RECORD, 0, records)
        members = [(CollectionMembership.unverified(item).document, item) for item in request.memberships]
        named = [(f"{member.collection}/{member.product}", item) for member, item in members]
        jobs.keep(connection, job_id, MEMBERSHIP, 0, named)

    def quote(self, connection: Connection, job_id: str, now: datetime) -> Signed[Quote]:
        """Return a signed quote that expires in `QUOTE_TTL`.

        Raises:
            JobRefused: the buyer's price cap is below the price.
        """
        derived, request = self.derive(connection, job_id)
        job = Job.unverified(request.job)
        _require_within_cap(job.document, derived)
        quote = Quote(
            environment=self._environment,
            job_digest=job.digest,
            plan_digest=derived.plan.digest,
            technique=derived.technique,
            nodes=derived.nodes,
            compute_set=derived.compute_set,
            party_records=tuple(
                RecordPin(name=record.document.party, record_digest=record.digest)
                for record in map(PartyRecord.unverified, request.party_records)
                if record.document.party in derived.nodes
            ),
            assumption=derived.assumption,
            limits=LIMITS,
            leaks=derived.leaks,
            fee_basis_points=self._fees.fee_basis_points,
            tax_basis_points=self._fees.tax_basis_points,
            openings=derived.openings,
            epsilon=None,
            half_width=None,
            charge=derived.charge,
            compute_ms=derived.compute_ms,
            rounds=derived.rounds,
            wire_bytes=derived.wire_bytes,
            seconds=f"{derived.compute_ms / 1000:.1f}",
            result_key=job.document.result_key,
            issued_at=clock.to_text(now),
            expires_at=clock.to_text(min(now + QUOTE_TTL, clock.from_text(job.document.expires_at))),
        )
        return quote.sign(self._signer)


def _parties(connection: Connection, job: Job) -> list[Signed[PartyRecord]]:
    """Return the buyer and all who may compute: providers of the job, notaries, the exchange."""
    wanted = {job.buyer, *providers_of(job)}
    return [
        record
        for record in parties.all_active(connection)
        if record.document.party in wanted or record.document.role in ("notary", "exchange")
    ]


def _product(connection: Connection, pin: RecordPin, *, must_be_newest: bool) -> Signed[ProductRecord]:
    try:
        if must_be_newest:
            return registrations.newest(connection, pin.name)
        return registrations.by_digest(connection, pin.record_digest)
    except UnknownObject as error:
        raise JobRefused(
            (Reason("exchange", "product", f"`{pin.name}`", "registered products", str(error)),)
        ) from error


def _require_within_cap(job: Job, derived: Derived) -> None:
    if job.max_price_minor is not None and derived.charge.total_minor > job.max_price_minor:
        raise JobRefused(
            (
                Reason(
                    "exchange",
                    "price",
                    f"at most {job.max_price_minor} {derived.charge.currency} (minor units)",
                    f"{derived.charge.total_minor}",
                    "raise the cap, or ask for fewer groups or columns",
                ),
            )
        )
