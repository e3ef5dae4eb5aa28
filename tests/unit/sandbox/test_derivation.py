"""What every party derives from the signed bytes of a job: the same everywhere, or nothing runs (R3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from billing.tariff import ExchangeFees
from policies import terms as policy
from records.document import Signed
from records.errors import JobRefused, MalformedDocument, UnknownObject
from records.job import RecordPin
from records.parties import PartyRecord, ProductRecord
from sandbox import derivation
from sandbox.derivation import Derived, Facts, derive, metered_charge, use_request
from tests.unit.sandbox.registered import NOW, TERMS, identity, job, membership, product

QUERY = "SELECT origin, COUNT(*) AS n, AVG(delay) AS d FROM everyone GROUP BY origin"
FEES = ExchangeFees(fee_basis_points=500, tax_basis_points=600)
PROVIDERS = ("alice", "bob")
OPEN: dict[str, Any] = {"unit": {"none": "made-up data"}, "columns": {"origin": {"reveal": ["plain"]}}}


def offered(provider: str, **changes: Any) -> Signed[ProductRecord]:
    terms = policy.parse(TERMS | changes, product=f"{provider}.flights")
    return product(provider, terms=terms.to_json(), terms_digest=terms.digest)


def party(name: str, role: Any, **changes: Any) -> PartyRecord:
    return identity(name, role).record.document.model_copy(update=changes)


def facts(products: list[Signed[ProductRecord]], **changes: Any) -> Facts:
    names = [each.document.provider for each in products]
    parties = {name: party(name, "provider") for name in names}
    parties |= {
        "notary": party("notary", "notary"),
        "exchange": party("exchange", "exchange"),
        "acme": party("acme", "buyer"),
    }
    whole = Facts(
        parties=parties,
        products={each.document.product: each.document for each in products},
        memberships=[membership(name).document for name in names],
        fees=FEES,
    )
    return replace(whole, **changes)


def product_of(provider: str, table: str) -> Signed[ProductRecord]:
    terms = policy.parse(TERMS | OPEN, product=f"{provider}.{table}")
    return product(provider, table, terms=terms.to_json(), terms_digest=terms.digest)


def joined(max_groups: int, **public: int) -> Derived:
    """Return a join in which every row of a provider matches at most 64 of the other."""
    declared = {"public": {"most": {"origin": 64}, **public}}
    products = [offered(name, **OPEN, **declared) for name in PROVIDERS]
    query = "SELECT COUNT(*) AS n FROM alice.flights AS a JOIN bob.flights AS b ON a.origin = b.origin"
    return derive(job(products=products, query=query, max_groups=max_groups).document, facts(products))


def joint(**changes: Any) -> Derived:
    products = [offered(name) for name in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",), **changes)
    return derive(of.document, facts(products))


def test_the_plan_of_a_collection_is_joint() -> None:
    derived = joint()
    assert derived.technique == "secret-sharing"
    assert derived.providers == PROVIDERS
    assert derived.nodes == ("alice", "bob", "notary")
    assert sorted(derived.compute_set) == ["alice", "bob", "notary"]
    assert [item.opening_id for item in derived.openings[-2:]] == ["released-size", "result"]
    assert [item.opening_id for item in derived.openings if item.receivers == "buyer"] == ["result"]
    assert derived.leaks == derived.plan.leaks
    assert derived.charge.total_minor == sum(derived.charge.split.values())


def test_every_party_derives_the_same() -> None:
    products = [offered(name) for name in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    there = facts(list(reversed(products)))
    here = facts(products)
    shuffled = replace(there, parties=dict(reversed(list(there.parties.items()))))
    assert derive(of, here) == derive(of, shuffled)


def test_one_product_is_computed_at_home() -> None:
    products = [offered("alice")]
    of = job(products=products, query="SELECT COUNT(*) AS n FROM alice.flights")
    derived = derive(of.document, facts(products))
    assert (derived.technique, derived.nodes, derived.compute_set) == ("local", ("alice",), ())
    assert derived.wire_bytes == 0


def test_a_product_at_another_version_is_refused() -> None:
    products = [offered("alice")]
    pins = (RecordPin(name="alice.flights", record_digest="sha256:old"),)
    of = job(query="SELECT COUNT(*) AS n FROM alice.flights").document.model_copy(update={"products": pins})
    with pytest.raises(JobRefused) as refusal:
        derive(of, facts(products))
    assert refusal.value.reasons[0].clause == "product.version"


def test_the_job_pins_the_members_of_its_collection() -> None:
    products = [offered(name) for name in (*PROVIDERS, "carol")]
    of = job(products=products[:2], query=QUERY, collections=("everyone",))
    with pytest.raises(MalformedDocument):
        derive(of.document, facts(products))


def test_the_job_pins_what_its_query_reads() -> None:
    products = [offered(name) for name in PROVIDERS]
    of = job(products=products, query="SELECT COUNT(*) AS n FROM alice.flights")
    with pytest.raises(MalformedDocument):
        derive(of.document, facts(products))


def test_a_query_of_something_else_is_unknown() -> None:
    products = [offered("alice")]
    for query in ("SELECT COUNT(*) AS n FROM bob.flights", "SELECT COUNT(nothing) AS n FROM alice.flights"):
        with pytest.raises(UnknownObject):
            derive(job(products=products, query=query).document, facts(products))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("notary", {"controller": "acme-controller"}),
        ("notary", {"controller": "alice-controller"}),
        ("notary", {"affiliates": ("acme-controller",)}),
        ("acme", {"affiliates": ("notary-controller",)}),
        ("acme", {"controller": "bob-controller"}),
    ],
)
def test_three_seats_have_three_controllers_foreign_to_the_buyer(name: str, changes: dict[str, Any]) -> None:
    products = [offered(each) for each in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    whole = facts(products)
    parties = {**whole.parties, name: whole.parties[name].model_copy(update=changes)}
    with pytest.raises(JobRefused):
        derive(of, replace(whole, parties=parties))


def test_the_exchange_takes_no_seat_even_where_terms_accept_it() -> None:
    accepting = {"parties": {"accept": ["notary", "provider", "exchange"]}}
    products = [offered(name, **accepting) for name in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    whole = facts(products)
    assert "exchange" not in derive(of, whole).compute_set
    parties = {name: record for name, record in whole.parties.items() if name != "notary"}
    with pytest.raises(JobRefused):
        derive(of, replace(whole, parties=parties))


def test_the_strictest_terms_win() -> None:
    products = [offered("alice"), offered("bob", release={"min_units": 50, "max_rows": 3})]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    rules = derive(of, facts(products)).rules
    assert (rules.min_units, rules.max_rows) == (50, 3)


def test_a_table_too_large_for_shares_is_refused() -> None:
    with pytest.raises(JobRefused) as refusal:
        joined(max_groups=1_000_000)
    (reason,) = refusal.value.reasons
    assert (reason.provider, reason.clause) == ("planner", "max_groups")
    assert reason.remedy
    assert joined(max_groups=1000).technique == "secret-sharing"


def test_more_than_an_hour_of_computing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed_ms = joined(max_groups=1000).compute_ms
    monkeypatch.setattr(derivation, "MAX_COMPUTE_MS", needed_ms)
    joined(max_groups=1000)
    monkeypatch.setattr(derivation, "MAX_COMPUTE_MS", needed_ms - 1)
    with pytest.raises(JobRefused) as refusal:
        joined(max_groups=1000)
    (reason,) = refusal.value.reasons
    assert (reason.provider, reason.clause) == ("planner", "compute")


def test_what_terms_declare_bounds_what_enters_shares() -> None:
    assert {part.rows for part in joined(max_groups=1000).plan.parts} == {1000}
    assert {part.rows for part in joined(max_groups=1000, rows=300).plan.parts} == {300}


def test_a_provider_may_have_several_products_in_a_job() -> None:
    products = [offered("alice", **OPEN), offered("bob", **OPEN), product_of("alice", "planes")]
    query = (
        "SELECT f.origin, COUNT(*) AS n FROM everyone AS f"
        " WHERE f.origin IN (SELECT p.origin FROM alice.planes AS p)"
        " AND f.origin IN (SELECT a.origin FROM alice.flights AS a) GROUP BY f.origin"
    )
    whole = facts(products[:2])
    whole = replace(whole, products={each.document.product: each.document for each in products})
    derived = derive(job(products=products, query=query, collections=("everyone",)).document, whole)
    assert derived.providers == ("alice", "bob")
    assert derived.plan.products == ("alice.flights", "alice.planes", "bob.flights")
    assert {part.provider for part in derived.plan.parts} == {"alice", "bob"}
    single = metered_charge(derived, 0, ExchangeFees(0, 0), withheld=False).split
    assert single["alice"] == 2 * single["bob"]


def test_more_groups_cost_more() -> None:
    assert joint(max_groups=8).charge.total_minor < joint(max_groups=64).charge.total_minor


@pytest.mark.parametrize("cells", [0, 1, 10, 48])
def test_a_charge_stays_within_its_quote(cells: int) -> None:
    derived = joint(max_groups=16)
    charge = metered_charge(derived, cells, FEES, withheld=False)
    assert charge.total_minor <= derived.charge.total_minor
    assert charge.total_minor == sum(charge.split.values())
    assert (charge == derived.charge) == (cells == 48)
    assert set(charge.split) == {"alice", "bob", "exchange-fee", "tax"}


def test_a_withheld_result_costs_nothing() -> None:
    assert metered_charge(joint(), 0, FEES, withheld=True).total_minor == 0


def test_a_node_is_asked_with_what_was_derived() -> None:
    products = [offered(name) for name in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    derived = derive(of, facts(products))
    request = use_request(derived, of, facts(products), "alice.flights", NOW)
    assert (request.purpose, request.technique) == ("research", "secret-sharing")
    uses = {(use.column, use.use) for use in request.columns if use.product == "alice.flights"}
    assert uses == {("origin", "group"), ("origin", "output"), ("delay", "output")}
    assert {use.product for use in request.columns} == {"alice.flights", "bob.flights"}
    assert sorted(item.party for item in request.compute_parties) == ["alice", "bob", "notary"]


def test_neither_buyer_nor_regulator_computes() -> None:
    products = [offered(name) for name in PROVIDERS]
    of = job(products=products, query=QUERY, collections=("everyone",)).document
    whole = facts(products)
    parties = {"a-regulator": party("a-regulator", "regulator"), **whole.parties}
    assert derive(of, replace(whole, parties=parties)) == derive(of, whole)
