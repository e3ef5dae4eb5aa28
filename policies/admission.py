"""Admission: what one provider's terms say of one request. Pure; every node calls it for itself.

Deny by default: a request is permitted only where every clause of `CHECKS` is silent. All failing clauses
are reported, so that a buyer can mend a request in one go. Decisions depend on terms and request alone,
never on rows (R12); budgets of uses and ε belong to the node's ledger, and R2 to `policies.compute_set`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Literal

from policies.columns import ColumnUse, check_use
from policies.compute_set import PartyFacts, check_party
from policies.fields import is_decimal
from policies.terms import Terms
from records.errors import Reason

EVERYONE = "*"


@dataclass(frozen=True, slots=True)
class UseRequest:
    """One buyer's request for one product, as a node derives it from the signed job and its own plan.

    `providers` are all providers of the job, and `columns` the uses of columns of all its products: those of
    other products are their own providers' to judge. `epsilon` is a decimal, or None for a job without noise.
    `now` is aware.
    """

    product: str
    buyer: str
    purpose: str
    technique: str
    providers: tuple[str, ...]
    columns: tuple[ColumnUse, ...]
    compute_parties: tuple[PartyFacts, ...]
    leaks: tuple[str, ...]
    epsilon: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Obligation:
    """A clause that gate or ledger must still honour for a permitted job, with its parameter."""

    clause: str
    parameter: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A permit with its obligations, or a refusal with every reason."""

    effect: Literal["permit", "refuse"]
    reasons: tuple[Reason, ...]
    obligations: tuple[Obligation, ...]


def decide(terms: Terms, request: UseRequest) -> Decision:
    """Return the decision of `terms` on `request`, with all failing clauses."""
    reasons = tuple(reason for check in CHECKS for reason in check(terms, request))
    if reasons:
        return Decision("refuse", reasons, ())
    return Decision("permit", (), tuple(_obligations(terms)))


def _check_product(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    if request.product != terms.product:
        yield terms.reason(
            "product",
            wanted=request.product,
            limit=terms.product,
            remedy="ask for the product of these terms",
        )


def _check_buyer(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    # The limit never lists the other buyers: whom a provider deals with is its own affair.
    named = {EVERYONE, request.buyer}
    if named.intersection(terms.buyers.deny):
        yield terms.reason(
            "buyers.deny", wanted=request.buyer, limit="not on the list", remedy="ask the provider for access"
        )
    elif not named.intersection(terms.buyers.allow):
        yield terms.reason(
            "buyers.allow", wanted=request.buyer, limit="on the list", remedy="ask the provider for access"
        )


def _check_purpose(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    if request.purpose not in terms.purposes:
        yield _not_listed(terms, "purposes", request.purpose, terms.purposes, "state one of these purposes")


def _check_technique(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    if request.technique not in terms.techniques:
        yield _not_listed(
            terms, "techniques", request.technique, terms.techniques, "use one of these techniques"
        )


def _check_validity(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    start, end = terms.valid.from_, terms.valid.until
    if start is not None and request.now < _midnight(start):
        yield terms.reason(
            "valid.from", wanted="a use before", limit=start.isoformat(), remedy="wait until then"
        )
    if end is not None and request.now >= _midnight(end):
        yield terms.reason(
            "valid.until",
            wanted="a use after",
            limit=end.isoformat(),
            remedy="ask the provider for new terms",
        )


def _check_columns(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    # Names of products are compared in any spelling, so that no spelling is judged by nobody.
    own = (use for use in request.columns if use.product.casefold() == terms.product.casefold())
    for use in dict.fromkeys(own):
        reason = check_use(terms, use)
        if reason is not None:
            yield reason


def _check_parties(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    if request.technique == "secret-sharing" and not request.compute_parties:
        yield terms.reason(
            "parties.accept",
            wanted="secret sharing among parties that are not named",
            limit=", ".join(terms.parties.accept) or "none",
            remedy="name the compute parties",
        )
    for party in request.compute_parties:
        yield from check_party(terms, party, request.providers)


def _check_leaks(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    for leak in dict.fromkeys(request.leaks):
        if leak not in terms.leaks:
            yield _not_listed(terms, "leaks", leak, terms.leaks, "choose a plan without this leak")


def _check_epsilon(terms: Terms, request: UseRequest) -> Iterator[Reason]:
    if request.epsilon is None:
        return
    cap = terms.privacy.epsilon_per_job
    remedy = f"ask for a positive ε of at most {cap}" if cap else "submit the job without ε"
    if cap is None or not is_decimal(request.epsilon) or not 0 < Fraction(request.epsilon) <= Fraction(cap):
        wanted = f"ε = {request.epsilon}" if is_decimal(request.epsilon) else "an ε that is no decimal"
        yield terms.reason("privacy.epsilon_per_job", wanted=wanted, limit=cap or "none", remedy=remedy)


CHECKS: tuple[Callable[[Terms, UseRequest], Iterator[Reason]], ...] = (
    _check_product,
    _check_buyer,
    _check_purpose,
    _check_technique,
    _check_validity,
    _check_columns,
    _check_parties,
    _check_leaks,
    _check_epsilon,
)


def _obligations(terms: Terms) -> Iterator[Obligation]:
    if terms.names_unit:
        yield Obligation("release.min_units", str(terms.release.min_units))
    yield Obligation("release.max_rows", str(terms.release.max_rows))
    for clause, limit in (
        ("uses.total", terms.uses.total),
        ("uses.per_buyer", terms.uses.per_buyer),
        ("uses.per_day", terms.uses.per_day),
    ):
        if limit is not None:
            yield Obligation(clause, str(limit))


def _not_listed(terms: Terms, clause: str, wanted: str, listed: tuple[str, ...], remedy: str) -> Reason:
    return terms.reason(
        clause,
        wanted=wanted,
        limit=", ".join(listed) or "none",
        remedy=remedy if listed else "ask the provider to list it",
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
