"""What every party derives for itself from the signed bytes of a job (R3): plan, nodes, compute set, price.

The exchange derives it to make a quote, each node derives it again before it admits and before it holds,
and compares. Pure: the caller has verified the signatures of the records it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from billing import tariff
from policies import terms as policy
from policies.admission import UseRequest
from policies.columns import ColumnUse
from policies.compute_set import BuyerFacts, PartyFacts, accepted, check_compute_set, choose_compute_set
from policies.meet import ReleaseRules, meet
from policies.terms import Terms
from records.errors import JobRefused, MalformedDocument, Reason
from records.job import Charge, Job, OpeningRecord, Technique
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox.gate import costs
from sandbox.gate.costs import JobCost
from sandbox.joint.shapes import shapes
from sandbox.offered import catalogue
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.plan import Asked, Plan
from sandbox.sql.planner import MAX_ROWS, plan

JOINT_ASSUMPTION = (
    "Secret sharing among three compute parties: no one of them learns anything about the rows of others, as "
    "long as each follows the protocol and no two of them collude."
)
LOCAL_ASSUMPTION = (
    "The provider computes on its own rows, in its own domain; it applies the gate and is trusted to do so."
)
LIMITS = (
    "One compute party that deviates from the protocol can defeat the joint gate (R24).",
    "Without a witness of the log, a receipt does not exclude a fork; nodes compare checkpoints (R6).",
    "Releases of several jobs together are not checked against each other yet (R15).",
)

MAX_SHARED_ROWS = 1 << 24
"""Of one table in shares: what three machines hold in memory."""
MAX_COMPUTE_MS = 3_600_000
"""A job that is declared to compute for more than an hour would hold its nodes beyond its own expiry."""
REMEMBERED = 64
"""Plans."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The verified records a job refers to. `parties` are the buyer and all candidates, by name."""

    parties: Mapping[str, PartyRecord]
    products: Mapping[str, ProductRecord]
    memberships: Sequence[CollectionMembership]
    fees: tariff.ExchangeFees


@dataclass(frozen=True, slots=True)
class Derived:
    """The whole consequence of a job: equal at every party, or the job does not run."""

    plan: Plan
    terms: Mapping[str, Terms]
    rules: ReleaseRules
    providers: tuple[str, ...]
    nodes: tuple[str, ...]
    compute_set: tuple[str, ...]
    uses: tuple[ColumnUse, ...]
    openings: tuple[OpeningRecord, ...]
    leaks: tuple[str, ...]
    technique: Technique
    assumption: str
    compute_ms: int
    rounds: int
    wire_bytes: int
    charge: Charge


def derive(job: Job, facts: Facts) -> Derived:
    """Return what `job` comes to.

    Raises:
        JobRefused: the planner, the terms of different providers together, or R2 leave no way.
        MalformedDocument: the query does not parse, or a record is not the one that the job pins.
    """
    terms = {name: policy.parse(record.terms, product=name) for name, record in _products(job, facts).items()}
    rules = meet(tuple(terms.values()))
    derived_plan = _plan(job, facts, terms, rules)
    if set(derived_plan.products) != set(terms):
        raise MalformedDocument("`products` are not those that the query reads")
    _require_room(derived_plan)
    cost = costs.declared(derived_plan, rules)
    _require_time(cost)
    providers = tuple(sorted({part.provider for part in derived_plan.parts}))
    seats = _compute_set(derived_plan, facts, job.buyer, tuple(terms.values()), providers)
    charge = _charge(
        terms, tariff.Usage(costs.most_cells(derived_plan, rules.max_rows), cost.compute_ms), facts.fees
    )
    return Derived(
        plan=derived_plan,
        terms=terms,
        rules=rules,
        providers=providers,
        nodes=tuple(sorted({*providers, *seats})),
        compute_set=seats,
        uses=derived_plan.column_uses,
        openings=costs.openings(derived_plan),
        leaks=derived_plan.leaks,
        technique=derived_plan.technique,
        assumption=JOINT_ASSUMPTION if seats else LOCAL_ASSUMPTION,
        compute_ms=cost.compute_ms,
        rounds=cost.rounds,
        wire_bytes=cost.wire_bytes,
        charge=charge,
    )


def require_sealed_literals(job: Job) -> None:
    """Return if the query has placeholders only, and what they stand for is sealed to its parties.

    These are the providers of its products, who fill them in, and the buyer, who finishes the result.

    Raises:
        MalformedDocument: it has literals, or the sealed parameters are for other parties.
        LimitExceeded, JobRefused: see `sandbox.sql.grammar.parse`.
    """
    sealed_to = tuple(item.party for item in job.parameters.keys) if job.parameters else ()
    due = tuple(sorted({*providers_of(job), job.buyer})) if placeholders.names(job.query) else ()
    if sealed_to != due:
        raise MalformedDocument(
            "the literals of a query are sealed to exactly the providers of its products, and its buyer"
        )


def providers_of(job: Job) -> tuple[str, ...]:
    """Return the providers of the products that a job reads, sorted."""
    return tuple(sorted({pin.name.partition(".")[0] for pin in job.products}))


def use_request(derived: Derived, job: Job, facts: Facts, product: str, now: datetime) -> UseRequest:
    """Return what the provider of `product` is asked to permit."""
    return UseRequest(
        product=product,
        buyer=job.buyer,
        purpose=job.purpose,
        technique=derived.technique,
        providers=derived.providers,
        columns=derived.uses,
        compute_parties=tuple(party_facts(facts.parties[name]) for name in derived.compute_set),
        leaks=derived.leaks,
        epsilon=job.epsilon,
        now=now,
    )


def metered_charge(derived: Derived, cells: int, fees: tariff.ExchangeFees, *, withheld: bool) -> Charge:
    """Return what is owed for `cells` shown: the same function as the quote, over metered usage (R13)."""
    usage = tariff.Usage(cells, derived.compute_ms)
    return _charge(derived.terms, usage, fees, withheld=withheld)


def party_facts(record: PartyRecord) -> PartyFacts:
    """Return what R2 looks at in a party's record."""
    if record.role not in ("provider", "notary", "exchange"):
        raise MalformedDocument(f"`{record.party}` is no node")
    return PartyFacts(
        party=record.party,
        kind=record.role,
        region=record.region,
        controller=record.controller,
        affiliates=frozenset(record.affiliates),
    )


def buyer_facts(record: PartyRecord) -> BuyerFacts:
    """Return what R2 looks at in a buyer's record."""
    return BuyerFacts(record.party, record.controller, frozenset(record.affiliates))


def _plan(job: Job, facts: Facts, terms: Mapping[str, Terms], rules: ReleaseRules) -> Plan:
    known = catalogue(job.collections, _products(job, facts), terms, facts.memberships)
    # Rows of one provider are bounded by its terms; those of several by what the buyer asked to pay for.
    alone = len(providers_of(job)) == 1 and job.technique != "secret-sharing"
    most_rows = min(rules.max_rows, MAX_ROWS) if alone else job.max_groups
    return _planned(job.query, known, job.technique, most_rows)


@lru_cache(maxsize=REMEMBERED)
def _planned(query: str, known: Catalogue, technique: Asked, most_rows: int) -> Plan:
    # A node derives a job when it admits it, holds for it and runs it; planning is the slow part.
    return plan(query, known, technique=technique, max_rows=most_rows)


def _require_room(derived_plan: Plan) -> None:
    rows = max((table.rows for table in shapes(derived_plan.steps, derived_plan.parts)), default=0)
    if rows > MAX_SHARED_ROWS:
        raise JobRefused(
            (
                Reason(
                    "planner",
                    "max_groups",
                    f"a table of {rows} rows in shares",
                    f"at most {MAX_SHARED_ROWS} rows",
                    "ask for fewer groups, join on declared keys, or use products that declare `public.rows`",
                ),
            )
        )


def _require_time(cost: JobCost) -> None:
    if cost.compute_ms > MAX_COMPUTE_MS:
        raise JobRefused(
            (
                Reason(
                    "planner",
                    "compute",
                    f"{-(-cost.compute_ms // 1000)} s of computing",
                    f"at most {MAX_COMPUTE_MS // 1000} s",
                    "ask for fewer groups, group before you join, or filter more at the providers",
                ),
            )
        )


def _products(job: Job, facts: Facts) -> dict[str, ProductRecord]:
    return {pin.name: _pinned(pin.name, pin.record_digest, facts.products) for pin in job.products}


def _pinned(name: str, digest: str, products: Mapping[str, ProductRecord]) -> ProductRecord:
    record = products.get(name)
    if record is None or record.digest != digest:
        raise JobRefused(
            (
                Reason(
                    name.partition(".")[0],
                    "product.version",
                    f"`{name}` at the version that the job names",
                    "the newest registered version",
                    "read the catalogue again and submit a new job",
                ),
            )
        )
    return record


def _compute_set(
    derived_plan: Plan, facts: Facts, buyer: str, terms: tuple[Terms, ...], providers: tuple[str, ...]
) -> tuple[str, ...]:
    if derived_plan.technique == "local":
        return ()
    # The exchange takes no seat in this version: it relays and coordinates, and sees no share (R2).
    candidates = tuple(
        party_facts(record) for record in facts.parties.values() if record.role in ("provider", "notary")
    )
    willing = accepted(candidates, terms, providers)
    asking = buyer_facts(facts.parties[buyer])
    seats = choose_compute_set(willing, providers, asking)
    reasons = check_compute_set(seats, asking, willing)
    if reasons:
        raise JobRefused(reasons)
    return tuple(party.party for party in seats)


def _charge(
    terms: Mapping[str, Terms], usage: tariff.Usage, fees: tariff.ExchangeFees, *, withheld: bool = False
) -> Charge:
    tariffs = {
        each.product: tariff.Tariff(
            each.price.currency,
            each.price.per_use,
            each.price.per_cell,
            each.price.per_compute_second,
            each.refused_result.charge_compute,
        )
        for each in terms.values()
    }
    charge = tariff.charge(tariffs, usage, fees, withheld=withheld)
    return Charge(currency=charge.currency, total_minor=charge.total_minor, split=charge.split)
