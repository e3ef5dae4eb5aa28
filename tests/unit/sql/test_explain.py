"""EXPLAIN: the nodes of a plan come to the quote's figures, and say who computes, sees and assumes what."""

from __future__ import annotations

import re
from typing import Any

import pytest

from billing.tariff import ExchangeFees
from policies import terms as policy
from records import canonical
from records.document import Signed
from records.parties import ColumnRecord, ProductRecord
from sandbox.derivation import Derived, Facts, derive
from sandbox.explain.explanation import Explanation, explain
from sandbox.sql import placeholders
from tests.unit.sandbox.registered import TERMS, identity, job, membership, product

OPEN: dict[str, Any] = {"unit": {"none": "made up"}, "columns": {"*": {"reveal": ["plain"]}}}
FLIGHTS = {"plane": "BIGINT", "origin": "VARCHAR", "delay": "BIGINT", "miles": "DECIMAL(9,2)"}
PLANES = {"plane": "BIGINT", "maker": "VARCHAR", "built": "DATE"}
DECLARED = {"rows": 40, "keys": [["plane"]], "bytes": {"maker": 14}, "ranges": {"plane": [1, 5000]}}

FLOWN = "FROM alice.flights f JOIN carol.planes p ON p.plane = f.plane"
QUERIES = {
    "rows of one provider": "SELECT origin, delay FROM alice.flights WHERE delay > 5 ORDER BY delay LIMIT 3",
    "groups of one provider": "SELECT origin, AVG(delay) AS d FROM alice.flights GROUP BY origin",
    "groups of a collection": "SELECT origin, COUNT(*) AS n, AVG(delay) AS d FROM everyone GROUP BY origin",
    "a join": f"SELECT p.maker, SUM(f.miles) AS m {FLOWN} GROUP BY p.maker",
    "an outer join": f"SELECT f.delay, p.maker {FLOWN.replace('JOIN', 'LEFT JOIN')}",
    "an expression": f"SELECT f.delay * p.plane AS x {FLOWN}",
    "a minimum and a median": "SELECT origin, MIN(delay) AS a, MEDIAN(delay) AS b FROM everyone GROUP BY 1",
    "different values": "SELECT COUNT(DISTINCT origin) AS n FROM everyone",
    "the first": "SELECT origin, SUM(delay) AS d FROM everyone GROUP BY origin ORDER BY d DESC LIMIT 2",
    "a window": "SELECT origin, RANK() OVER (ORDER BY delay DESC) AS place FROM everyone",
    "a union": "SELECT origin FROM alice.flights UNION SELECT maker FROM carol.planes",
    "a sub-query": "SELECT delay FROM alice.flights WHERE plane IN (SELECT p.plane FROM carol.planes p)",
    "one value for all": "SELECT delay FROM alice.flights WHERE delay > (SELECT COUNT(*) FROM carol.planes)",
}


def offered(name: str, columns: dict[str, str], **changes: Any) -> Signed[ProductRecord]:
    provider, _, table = name.partition(".")
    terms = policy.parse(TERMS | OPEN | changes, product=name)
    records = tuple(ColumnRecord(name=column, type=kind) for column, kind in columns.items())
    return product(provider, table, columns=records, terms=terms.to_json(), terms_digest=terms.digest)


PRODUCTS = {
    "alice.flights": offered("alice.flights", FLIGHTS),
    "bob.flights": offered("bob.flights", FLIGHTS),
    "carol.planes": offered("carol.planes", PLANES, public=DECLARED),
}


def derived(query: str, **protected: Any) -> Derived:
    """Return what a query comes to; `protected` are changes to the terms of flights."""
    template, _ = placeholders.extract(query)
    collections = ("everyone",) if "everyone" in query else ()
    read = [name for name in PRODUCTS if name in query or (collections and name.endswith(".flights"))]
    records = PRODUCTS | {
        name: offered(name, FLIGHTS, **protected) for name in read if protected and "flights" in name
    }
    of = job(products=[records[name] for name in read], query=template, collections=collections)
    parties = {name: identity(name, "provider") for name in ("alice", "bob", "carol")}
    parties |= {"notary": identity("notary", "notary"), "acme": identity("acme", "buyer")}
    members = [
        membership(name, columns=records[f"{name}.flights"].document.columns) for name in ("alice", "bob")
    ]
    facts = Facts(
        parties={name: each.record.document for name, each in parties.items()},
        products={name: record.document for name, record in records.items()},
        memberships=[each.document for each in members],
        fees=ExchangeFees(0, 0),
    )
    return derive(of.document, facts)


def explained(query: str) -> Explanation:
    return explain(derived(query), "acme")


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("unit", ["none", "row"])
def test_all_nodes_together_come_to_the_figures_of_the_quote(query: str, unit: str) -> None:
    protected = {"unit": "row"} if unit == "row" and "GROUP BY" in query else {}
    of = derived(query, **protected)
    nodes = explain(of, "acme").nodes
    assert sum(node.cost.rounds for node in nodes) == of.rounds
    assert sum(node.cost.bytes for node in nodes) == of.wire_bytes
    # Each node rounds its microseconds down, the quote its milliseconds up.
    assert 0 <= of.compute_ms - sum(node.time_us for node in nodes) / 1000 < 1 + len(nodes) / 1000


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_nodes_are_a_tree_from_the_providers_engines_to_the_buyer(query: str) -> None:
    of = derived(query)
    nodes = explain(of, "acme").nodes
    assert [node.number for node in nodes] == [*range(1, len(nodes) + 1)]
    assert all(max(node.inputs, default=0) < node.number for node in nodes)
    assert {number for node in nodes for number in node.inputs} == {*range(1, len(nodes))}
    assert nodes[-1].by == ("acme",)
    leaves = [node for node in nodes if not node.inputs]
    assert [(node.by, node.sql) for node in leaves] == [
        ((part.provider,), part.sql) for part in of.plan.parts
    ]
    shared = {node.by for node in nodes if node.inputs and node is not nodes[-1]}
    assert shared == {of.compute_set or (of.providers[0],)}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_text_and_document_have_every_node(query: str) -> None:
    explanation = explained(query)
    text, document = str(explanation), canonical.encode(explanation.to_json())
    for node in explanation.nodes:
        assert (
            len(re.findall(rf"^[│ ]*(?:[├└]─ )?{node.number}  {re.escape(node.by[0])}", text, re.MULTILINE))
            == 1
        )
        assert canonical.encode(node.what) in document
    assert canonical.decode(document) == explanation.to_json()


def test_a_join_says_rows_keys_and_bits() -> None:
    (said,) = [node.what for node in explained(QUERIES["a join"]).nodes if node.what.startswith("match")]
    assert re.fullmatch(r"match 16 rows with 40 on f\.plane = p\.plane \(\d+ bits\), and take p\.maker", said)


def test_groups_say_their_keys_and_aggregates() -> None:
    (said,) = [node.what for node in explained(QUERIES["a join"]).nodes if node.what.startswith("group")]
    assert said.startswith("group 16 rows by p.maker: ")
    assert "SUM(f.miles)" in said


def test_extremes_and_the_first_rows_are_named_as_in_the_query() -> None:
    text = str(explained(QUERIES["a minimum and a median"]))
    assert "MIN(everyone.delay)" in text
    assert "PERCENTILE_DISC(1/2)" in text
    first = str(explained(QUERIES["the first"]))
    assert re.search(r"take the first 2 of 32 rows by [^,]*everyone\.delay\)+ DESC", first)


def test_bounds_that_nobody_declared_are_named_and_declared_ones_are_not() -> None:
    declared = {"ranges": {"delay": [0, 100], "plane": [1, 5000]}}
    bare, bounded = derived(QUERIES["an expression"]), derived(QUERIES["an expression"], public=declared)
    (notes,) = [" ".join(node.notes) for node in explain(bare, "acme").nodes if node.by == ("alice",)]
    assert "f.delay lies within ±" in notes
    assert "lies within" not in str(explain(bounded, "acme"))


def test_a_key_that_the_provider_must_keep_is_named() -> None:
    assert "no two rows agree in p.plane" in str(explained(QUERIES["a join"]))


def test_bounds_of_texts_are_named() -> None:
    (notes,) = [node.notes for node in explained(QUERIES["a join"]).nodes if node.by == ("carol",)]
    assert any("p.maker has at most 14 bytes" in note for note in notes)


def test_only_gate_and_buyer_learn_more_than_random_orders() -> None:
    *before, gate, finish = explained(QUERIES["a join"]).nodes
    assert all(node.learns.startswith("nothing") for node in before)
    assert "how many rows and cells" in gate.learns
    assert finish.learns == "the result: maker VARCHAR, m DECIMAL(38,2)"


def test_literals_stay_placeholders() -> None:
    text = str(
        explained("SELECT origin, COUNT(*) AS n FROM everyone WHERE origin = 'Jane Doe' GROUP BY origin")
    )
    assert "Jane Doe" not in text
    assert "$t1" in text
