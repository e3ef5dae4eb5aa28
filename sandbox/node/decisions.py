"""What a node decides for itself from the bytes it received: admission, and the check of a quote (R2, R3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from billing.tariff import ExchangeFees
from policies.admission import decide
from policies.compute_set import accepted, check_compute_set
from records import clock
from records.document import Signed
from records.errors import EvidenceError, JobRefused, NotPermitted, Reason, RequestExpired
from records.job import Acceptance, Job, Quote
from records.keys import VerifyingKey
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox import parameters
from sandbox.derivation import (
    Derived,
    Facts,
    buyer_facts,
    derive,
    party_facts,
    require_sealed_literals,
    use_request,
)
from sandbox.identity import Identity
from sandbox.node import pins, uses
from sandbox.ports import AdmissionRequest, Caller
from sandbox.sql import placeholders
from sandbox.sql.plan import LocalPart


@dataclass(frozen=True, slots=True)
class VerifiedJob:
    """A job with all records it refers to, each verified against this node's own pins."""

    job: Signed[Job]
    facts: Facts
    keys: Mapping[str, VerifyingKey]
    records: tuple[Signed[PartyRecord], ...]


@dataclass(frozen=True, slots=True)
class BoundParts:
    """What a provider alone knows of an agreed plan; empty at a node that is none.

    `parts`: by number in the plan, those that this node's own engine runs, with the literals of the query.
    `literals`: in the order of their placeholders, for what finishes a local result.
    """

    parts: Mapping[int, LocalPart] = field(repr=False)
    literals: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreement:
    """An accepted quote with the verified job and what the node derives from it."""

    verified: VerifiedJob
    derived: Derived
    quote: Signed[Quote]
    bound: BoundParts


def verify(
    connection: Connection,
    request: AdmissionRequest,
    environment: str,
    first_use: Iterable[str],
    fees: ExchangeFees,
) -> VerifiedJob:
    """Check every signature of a request, with pinned keys only.

    Raises:
        SignatureInvalid, MalformedDocument: a document is not what its signer made.
        EvidenceError: a party's key is not the pinned one.
        UnknownObject: a party is not pinned here.
    """
    keys: dict[str, VerifyingKey] = {}
    parties: dict[str, PartyRecord] = {}
    records: list[Signed[PartyRecord]] = []
    for envelope in request.party_records:
        claimed = PartyRecord.unverified(envelope)
        signed = PartyRecord.verified(envelope, claimed.document.verifying_key, environment)
        keys[signed.document.party] = pins.require(
            connection, signed, first_use=first_use, key_events=request.key_events
        )
        parties[signed.document.party] = signed.document
        records.append(signed)
    job = Job.verified(request.job, _key(keys, Job.unverified(request.job).document.buyer), environment)
    products: dict[str, ProductRecord] = {}
    for envelope in request.product_records:
        provider = ProductRecord.unverified(envelope).document.provider
        product = ProductRecord.verified(envelope, _key(keys, provider), environment).document
        products[product.product] = product
    memberships = [
        CollectionMembership.verified(
            envelope, _key(keys, CollectionMembership.unverified(envelope).document.provider), environment
        ).document
        for envelope in request.memberships
    ]
    return VerifiedJob(job, Facts(parties, products, memberships, fees), keys, tuple(records))


def reasons_against(
    connection: Connection, identity: Identity, verified: VerifiedJob, now: datetime
) -> tuple[Derived | None, tuple[Reason, ...]]:
    """Derive the job and return all reasons why this node refuses it; none: it permits.

    Raises:
        EvidenceError, MalformedDocument: see `bound_parts`.
    """
    job, node = verified.job.document, identity.party
    if clock.from_text(job.expires_at) <= now:
        return None, (
            Reason(node, "job.expires_at", "a job past its time", "a valid job", "submit it again"),
        )
    require_sealed_literals(job)
    try:
        derived = derive(job, verified.facts)
        bound_parts(verified, derived, identity)
    except JobRefused as refusal:
        return None, refusal.reasons
    reasons: list[Reason] = []
    for product, terms in derived.terms.items():
        if terms.provider == node:
            request = use_request(derived, job, verified.facts, product, now)
            reasons += decide(terms, request).reasons
            reasons += uses.check(connection, terms, job.buyer, now)
    if job.epsilon is not None:
        reasons.append(Reason(node, "epsilon", "differential privacy", "none", "submit the job without ε"))
    return derived, tuple(reasons)


def bound_parts(verified: VerifiedJob, derived: Derived, identity: Identity) -> BoundParts:
    """Return the parts of a plan that this node's own engine runs, with their literals.

    A literal takes the place of a placeholder and nothing else, so the agreed plan stays what it is.

    Raises:
        EvidenceError: the literals are not sealed to this node, or not those that the job commits to.
        MalformedDocument: they do not fit their places in the query.
    """
    job, node = verified.job.document, identity.party
    if node not in derived.providers:
        return BoundParts({}, ())
    literals = parameters.unseal(job, node, identity.sealing_keys)
    return BoundParts(
        {
            number: replace(part, sql=placeholders.bind_text(part.sql, literals)) if literals else part
            for number, part in enumerate(derived.plan.parts)
            if part.provider == node
        },
        literals,
    )


def check_quote(
    verified: VerifiedJob,
    derived: Derived,
    quote: Signed[Quote],
    acceptance: Signed[Acceptance],
    now: datetime,
) -> None:
    """Return if the accepted quote says what this node derives itself.

    Raises:
        EvidenceError: it differs: a changed plan, compute set, price, opening, leak or result key.
        RequestExpired: quote or acceptance are past their time.
    """
    job, said, accepted_by = verified.job, quote.document, acceptance.document
    if (accepted_by.quote_digest, accepted_by.job_digest, accepted_by.buyer) != (
        quote.digest,
        job.digest,
        job.document.buyer,
    ):
        raise EvidenceError("the acceptance is not the buyer's for this quote")
    pairs: dict[str, tuple[object, object]] = {
        "job": (said.job_digest, job.digest),
        "plan": (said.plan_digest, derived.plan.digest),
        "technique": (said.technique, derived.technique),
        "nodes": (said.nodes, derived.nodes),
        "compute set": (said.compute_set, derived.compute_set),
        "openings": (said.openings, derived.openings),
        "leaks": (said.leaks, derived.leaks),
        "assumption": (said.assumption, derived.assumption),
        "charge": (said.charge, derived.charge),
        "result key": (said.result_key, job.document.result_key),
        "buyer's key": (
            said.result_key,
            verified.facts.parties[job.document.buyer].sealing_key,
        ),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise EvidenceError(f"the accepted quote differs from this node's own derivation in: {what}")
    if min(clock.from_text(said.expires_at), clock.from_text(accepted_by.expires_at)) <= now:
        raise RequestExpired("the quote or its acceptance has expired; ask for a new quote")
    require_compute_set(verified, derived)


def require_compute_set(verified: VerifiedJob, derived: Derived) -> None:
    """Return if the three seats have three controllers foreign to the buyer (R2).

    Raises:
        JobRefused: they have not.
    """
    if not derived.compute_set:
        return
    parties = verified.facts.parties
    seats = tuple(party_facts(parties[name]) for name in derived.compute_set)
    candidates = tuple(
        party_facts(item) for item in parties.values() if item.role not in ("buyer", "regulator")
    )
    willing = accepted(candidates, tuple(derived.terms.values()), derived.providers)
    reasons = check_compute_set(seats, buyer_facts(parties[verified.job.document.buyer]), willing)
    if reasons:
        raise JobRefused(reasons)


def require_exchange(caller: Caller) -> None:
    """Return if the caller is an exchange; a check that the transport also makes.

    Raises:
        NotPermitted: it is not.
    """
    if caller.role != "exchange":
        raise NotPermitted("only the exchange may ask this of a node")


def _key(keys: Mapping[str, VerifyingKey], party: str) -> VerifyingKey:
    if party not in keys:
        raise EvidenceError(f"the record of `{party}` is missing from the request")
    return keys[party]
