# ruff: noqa: S608 - the queries are the attack
"""R8: queries that pass terms word by word, and would show what the terms hide. Each is run on real rows."""

from __future__ import annotations

from typing import Any

import duckdb
from sqlglot import exp

from policies.columns import check_use
from policies.terms import Terms, parse
from sandbox.sql import disclosure, expression_uses
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from sandbox.sql.dependencies import Matches, Value
from sandbox.sql.disclosure import column_uses
from sandbox.sql.expression_uses import ExpressionUses
from sandbox.sql.names import resolve
from sandbox.sql.scope import Scope
from tests.adversarial.attack import suite
from tests.adversarial.walls import Wall, standing

PEOPLE = (("Ada", 1, 211), ("Ben", 2, 97), ("Cid", 3, 140), ("Dot", 4, 23))
VISITS = ((1, "x"), (3, "y"))
PAYS = [pay for _, _, pay in PEOPLE]

COLUMNS = {
    "alice.people": {"name": "VARCHAR", "id": "BIGINT", "pay": "BIGINT"},
    "bob.visits": {"person": "BIGINT", "kind": "VARCHAR"},
}
PLAIN: dict[str, Any] = {"reveal": ["plain"]}


def key_that_the_buyer_made(defended: bool) -> bool:
    """Pay may be shown of people that bob knows; a key of zeros matches everyone."""
    query = (
        "SELECT q.pay FROM (SELECT pay, id * 0 AS zero FROM alice.people) AS q "
        "JOIN (SELECT DISTINCT person * 0 AS zero FROM bob.visits) AS v ON q.zero = v.zero"
    )

    def column_whatever_was_done(walk: ExpressionUses, node: exp.Expr, scope: Scope) -> Value:
        values = [walk.value(operand, scope) for operand in node.iter_expressions()]
        return Value(frozenset().union(*(value.parts for value in values)), is_column=True)

    wall: Wall = (ExpressionUses, "_operation", column_whatever_was_done)
    return _shows_all_pay(query, {"pay": {"reveal": ["join-payload"]}, "id": PLAIN}, defended, wall)


def pay_beside_anothers_key(defended: bool) -> bool:
    """The key is matched, but the pay beside it comes from another row of the same table."""
    query = (
        "SELECT DISTINCT q.pay FROM (SELECT a.id, b.pay FROM alice.people AS a, alice.people AS b) AS q "
        "JOIN bob.visits AS v ON q.id = v.person"
    )
    grants = {"pay": {"reveal": ["join-payload"]}, "id": {"reveal": ["never"], "roles": ["join"]}}
    return _shows_all_pay(query, grants, defended, (ExpressionUses, "place", lambda _: 1))


def exists_that_is_always_true(defended: bool) -> bool:
    """An aggregate over no rows is a row: EXISTS asks for no match."""
    query = (
        "SELECT p.pay FROM alice.people AS p "
        "WHERE EXISTS (SELECT COUNT(*) AS n FROM bob.visits AS v WHERE v.person = p.id)"
    )
    grants = {"pay": {"reveal": ["join-payload"]}, "id": {"reveal": ["never"], "roles": ["join"]}}
    return _shows_all_pay(query, grants, defended, (disclosure, "may_be_empty", lambda _: True))


def join_with_its_own_table(defended: bool) -> bool:
    """Every row matches itself."""
    query = "SELECT a.pay FROM alice.people AS a JOIN alice.people AS b ON a.id = b.id"

    def of_anybody(key: Value, _: Value) -> Matches:
        return Matches(frozenset((part.table, part.product, part.column) for part in key.parts))

    grants = {"pay": {"reveal": ["join-payload"]}, "id": {"reveal": ["never"], "roles": ["join"]}}
    return _shows_all_pay(query, grants, defended, (disclosure, "matches", of_anybody))


def value_put_together_from_conditions(defended: bool) -> bool:
    """Pay may only be filtered by; eight conditions in CASE write it out bit by bit."""
    bits = " + ".join(f"CASE WHEN pay // {1 << bit} % 2 = 1 THEN {1 << bit} ELSE 0 END" for bit in range(8))
    wall: Wall = (Value, "chosen", lambda value, _: Value(value.parts))
    grants = {"pay": {"reveal": ["never"], "roles": ["filter"]}}
    return _shows_all_pay(f"SELECT {bits} AS pay FROM alice.people", grants, defended, wall)


def match_that_is_no_equality_of_columns(defended: bool) -> bool:
    """Ids may be filtered by but not joined on; a difference of zero is a join all the same."""
    query = "SELECT p.name FROM alice.people AS p, bob.visits AS v WHERE p.id - v.person = 0 ORDER BY name"
    grants = {"name": PLAIN, "id": {"reveal": ["never"], "roles": ["filter"]}}
    rows = _rows(query, grants, defended, (expression_uses, "spans_tables", lambda _: False))
    return _worked(rows, [("Ada",), ("Cid",)])


def absence_seen_through_a_left_join(defended: bool) -> bool:
    """Ids may be joined on; who has no match is not for the buyer to see."""
    query = (
        "SELECT p.name FROM alice.people AS p LEFT JOIN bob.visits AS v ON p.id = v.person "
        "WHERE v.kind IS NULL ORDER BY name"
    )
    grants = {"name": PLAIN, "id": {"reveal": ["after-join"], "roles": ["join"]}}
    rows = _rows(query, grants, defended, (Scope, "guard", lambda *_: None))
    return _worked(rows, [("Ben",), ("Dot",)])


def rank_by_a_running_count(defended: bool) -> bool:
    """Pay may choose rows but not be ranked; a running count over it is its rank."""

    def without_its_order(walk: ExpressionUses, node: exp.Expr, scope: Scope) -> Value:
        keys = [walk.value(key.this, scope) for key in node.args["order"].expressions]
        walk.use("order", frozenset().union(*(key.all for key in keys)))
        return Value()

    rules = {**expression_uses.RULES, exp.Window: without_its_order}
    grants = {"name": PLAIN, "pay": {"reveal": ["never"], "roles": ["order"]}}
    query = "SELECT name, COUNT(*) OVER (ORDER BY pay) AS place FROM alice.people ORDER BY name"
    rows = _rows(query, grants, defended, (expression_uses, "RULES", rules))
    return _worked(rows, [("Ada", 4), ("Ben", 2), ("Cid", 3), ("Dot", 1)])


def order_by_what_is_hidden(defended: bool) -> bool:
    """Nothing of pay is selected, but the rows stand in its order."""
    grants = {"name": PLAIN, "pay": {"reveal": ["never"], "roles": ["order"]}}
    query = "SELECT name FROM alice.people ORDER BY pay"
    rows = _rows(query, grants, defended, (disclosure, "_reads_outputs", lambda _: True))
    return _worked(rows, [("Dot",), ("Ben",), ("Cid",), ("Ada",)])


def _shows_all_pay(query: str, grants: dict[str, Any], defended: bool, wall: Wall) -> bool:
    rows = _rows(query, grants, defended, wall)
    return _worked(rows if rows is None else sorted(rows), [(pay,) for pay in sorted(PAYS)])


def _worked(rows: list[tuple[Any, ...]] | None, secret: list[tuple[Any, ...]]) -> bool:
    if rows is not None and rows != secret:
        raise AssertionError("the query passes, but shows nothing that is hidden")
    return rows is not None


def _rows(query: str, grants: dict[str, Any], defended: bool, wall: Wall) -> list[tuple[Any, ...]] | None:
    """Return the result of a query; None if alice's or bob's terms refuse it."""
    with standing(defended, wall):
        uses = column_uses(resolve(query, _catalogue()))
    terms = {"alice.people": _terms("alice.people", grants), "bob.visits": _terms("bob.visits", BOB)}
    if any(check_use(terms[use.product], use) for use in uses):
        return None
    with duckdb.connect() as engine:
        for product, rows in (("alice.people", PEOPLE), ("bob.visits", VISITS)):
            kinds = ", ".join(f"{name} {kind}" for name, kind in COLUMNS[product].items())
            engine.execute(f"CREATE SCHEMA {product.partition('.')[0]}")
            engine.execute(f"CREATE TABLE {product} ({kinds})")
            for row in rows:
                engine.table(product).insert(row)
        return engine.execute(query).fetchall()


BOB: dict[str, Any] = {"person": PLAIN, "kind": PLAIN}
"""Bob hides nothing: what is attacked are alice's terms."""


def _catalogue() -> Catalogue:
    facts = (
        ProductFacts(product, product.partition(".")[0], tuple(columns.items()), None)
        for product, columns in COLUMNS.items()
    )
    return Catalogue(tuple(Source(each.product, (each,)) for each in facts))


def _terms(product: str, grants: dict[str, Any]) -> Terms:
    unit = {"none": "the attack is on the columns"}
    return parse({"product": product, "grade": "general", "unit": unit, "purposes": ["p"], "columns": grants})


ATTACKS = suite(
    "R8 columns",
    key_that_the_buyer_made,
    pay_beside_anothers_key,
    exists_that_is_always_true,
    join_with_its_own_table,
    value_put_together_from_conditions,
    match_that_is_no_equality_of_columns,
    absence_seen_through_a_left_join,
    rank_by_a_running_count,
    order_by_what_is_hidden,
)
