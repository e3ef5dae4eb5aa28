# ruff: noqa: S608 - queries are what these tests make
"""The uses that the walk finds: one case per rule, TPC-H, and what the terms say to them."""

from __future__ import annotations

import random

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from policies.columns import TRANSFER, USES, ColumnUse, check_use
from policies.terms import parse
from records.errors import MalformedDocument, Reason
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from sandbox.sql.disclosure import column_uses
from sandbox.sql.expression_uses import RULES
from sandbox.sql.names import resolve
from tests.unit.sql.disclosure_cases import CATALOGUE, TABLES, P, V
from tests.unit.sql.disclosure_join_cases import CASES, PV


def uses_of(query: str, catalogue: Catalogue = CATALOGUE) -> tuple[ColumnUse, ...]:
    return column_uses(resolve(query, catalogue))


def is_union(query: str) -> bool:
    return isinstance(resolve(query, CATALOGUE).tree, exp.Union)


def written(uses: tuple[ColumnUse, ...]) -> list[str]:
    """Return uses as the cases write them: without the provider, but for flights, which both have."""
    lines = []
    for use in uses:
        table = use.product if use.product.endswith("flights") else use.product.partition(".")[2]
        lines.append(" ".join((f"{table}.{use.column}", use.use, *use.after)))
    return sorted(lines)


@pytest.mark.parametrize(("query", "expected"), CASES.values(), ids=CASES)
def test_query_makes_exactly_these_uses(query: str, expected: tuple[str, ...]) -> None:
    assert written(uses_of(query)) == sorted(expected)


def test_every_use_and_every_transformation_occurs_in_the_cases() -> None:
    found = [use for query, _ in CASES.values() for use in uses_of(query)]
    assert {use.use for use in found} == set(USES)
    assert {word for use in found for word in use.after} == set(TRANSFER)


def test_every_construct_of_the_grammar_occurs_in_a_case_or_is_made_of_its_operands() -> None:
    trees = [resolve(query, CATALOGUE).tree for query, _ in CASES.values()]
    met = {type(node) for tree in trees for node in tree.walk()}
    # NOT EXISTS and OR have cases; in a resolved tree STDDEV_SAMP is STDDEV, and its queries are sub-queries.
    renamed = {exp.StddevSamp, exp.ILike, exp.NullSafeEQ, exp.Contains, exp.LTE, exp.GTE, exp.NEQ}
    assert set(RULES) - met <= renamed | {exp.Subquery}


# Both parts of a UNION would need the other output.
@pytest.mark.parametrize("name", [name for name, (query, _) in CASES.items() if not is_union(query)])
def test_another_output_removes_no_use(name: str) -> None:
    query, _ = CASES[name]
    before = set(uses_of(query))
    distinct = "DISTINCT " if query.startswith("SELECT DISTINCT") else ""
    wider = query.replace(f"SELECT {distinct}", f"SELECT {distinct}COUNT(*) OVER () AS irrelevant, ", 1)
    if query.startswith("WITH"):
        wider = query.replace(") SELECT ", ") SELECT COUNT(*) OVER () AS irrelevant, ", 1)
    assert before <= set(uses_of(wider))


@given(
    st.sets(st.sampled_from(("p.city", "p.age", "SUM(p.pay) OVER ()", "v.cost > 3", "v.kind")), min_size=1)
)
def test_outputs_of_a_join_add_their_uses_and_nothing_else(outputs: set[str]) -> None:
    together = uses_of(
        "SELECT " + ", ".join(f"{each} AS o{n}" for n, each in enumerate(sorted(outputs))) + f" {PV}"
    )
    alone = {use for each in outputs for use in uses_of(f"SELECT {each} AS o {PV}")}
    assert set(together) == alone


def filled(engine: duckdb.DuckDBPyConnection, product: str, fresh: str = "") -> None:
    """Make a table of rows that its column `fresh` alone does not share with the table made before."""
    columns = []
    for column, kind in TABLES[product].items():
        draw = random.Random(f"{product}.{column}.{column == fresh}")  # noqa: S311 - rows of a test
        numbers = [draw.randrange(8) for _ in range(12)]
        texts = {"VARCHAR": "chr(97 + n)", "DATE": "DATE '2026-01-01' + n::INTEGER", "BIGINT": "n"}
        columns.append(f"(SELECT list({texts[kind]}) FROM (SELECT unnest({numbers}) AS n)) AS {column}")
    rows = ", ".join(f"unnest({column}) AS {column}" for column in TABLES[product])
    engine.execute(f"CREATE OR REPLACE TABLE {product} AS SELECT {rows} FROM (SELECT {', '.join(columns)})")


@pytest.mark.parametrize("name", [name for name in CASES if "LIMIT without" not in name])
def test_column_without_a_use_has_no_influence_on_the_result(name: str) -> None:
    query, _ = CASES[name]
    used = {(use.product, use.column) for use in uses_of(query)}
    with duckdb.connect() as engine:
        engine.execute("CREATE SCHEMA alice; CREATE SCHEMA bob")
        for product in TABLES:
            filled(engine, product)
        engine.execute("CREATE VIEW flights AS FROM alice.flights UNION ALL FROM bob.flights")
        before = sorted(map(repr, engine.execute(query).fetchall()))
        assert before, "a result without rows shows nothing of any column"
        for product, columns in TABLES.items():
            for column in columns:
                if (product, column) not in used:
                    filled(engine, product, column)
                    assert sorted(map(repr, engine.execute(query).fetchall())) == before, column
                    filled(engine, product)


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT age {P} UNION ALL SELECT cost, person {V}",
        f"SELECT age {P} WHERE id IN (SELECT person, cost {V})",
    ],
)
def test_different_numbers_of_columns_are_malformed(query: str) -> None:
    with pytest.raises(MalformedDocument):
        uses_of(query)


def test_uses_are_sorted_and_spelt_as_the_source_spells_them() -> None:
    uses = uses_of(f"SELECT ID, iD + 0 AS x, age {P} WHERE id > 3")
    assert list(uses) == sorted(set(uses))
    assert {use.column for use in uses} == {"Id", "age"}


def test_nested_sub_queries_are_walked_once_each() -> None:
    """A walk that read an operand twice at each level would read the innermost a million times."""
    query = f"SELECT person {V}"
    for _ in range(10):
        query = f"SELECT person {V} WHERE NULLIF(person + 1, 2) IN ({query})"
    assert {(use.use, use.after) for use in uses_of(query)} == {
        ("filter", ("compare",)),
        ("join", ()),
        ("join", ("compare",)),
        ("output", ()),
    }


LEVELS = {
    "plain": {"reveal": ["plain"]},
    "joined": {"reveal": ["after-join"]},
    "payload": {"reveal": ["join-payload"]},
    "grouped": {"reveal": ["after-group-by"]},
    "summed": {"reveal": ["after-aggregate"], "functions": ["sum"]},
    "compared": {"reveal": ["after-compare"]},
    "ranked": {"reveal": ["rank"]},
    "filtered": {"reveal": ["never"], "roles": ["filter"]},
    "matched": {"reveal": ["never"], "roles": ["join"]},
    "hidden": {"reveal": ["never"]},
    "several": {"reveal": ["after-group-by", "after-aggregate"], "functions": ["sum"]},
}
SHAPES = {
    "shown": ("SELECT {c} FROM alice.t", {"plain"}),
    "grouped": ("SELECT {c}, COUNT(*) FROM alice.t GROUP BY {c}", {"plain", "grouped", "several"}),
    "distinct": ("SELECT DISTINCT {c} FROM alice.t", {"plain", "grouped", "several"}),
    "summed": ("SELECT SUM({c}) FROM alice.t", {"plain", "summed", "several"}),
    "maximum": ("SELECT MAX({c}) FROM alice.t", {"plain"}),
    "sum in an outer query": (
        "SELECT MAX(s) FROM (SELECT SUM({c}) AS s FROM alice.t) q",
        {"plain", "summed", "several"},
    ),
    "compared": ("SELECT {c} > 5 AS x FROM alice.t", {"plain", "compared"}),
    "ranked": (
        "SELECT RANK() OVER (ORDER BY {c}) AS x FROM alice.t",
        {"plain", "ranked"},
    ),
    "filtered": ("SELECT COUNT(*) FROM alice.t WHERE {c} > 5", {"plain", "compared", "filtered"}),
    "filtered by its sum": (
        "SELECT COUNT(*) FROM alice.t HAVING SUM({c}) > 5",
        {"plain", "compared", "summed", "several", "filtered"},
    ),
    "matched": (
        "SELECT COUNT(*) FROM alice.t JOIN bob.open b ON t.{c} = b.k",
        {"plain", "joined", "matched"},
    ),
    "key shown": ("SELECT t.{c} FROM alice.t JOIN bob.open b ON t.{c} = b.k", {"plain", "joined"}),
    "key left out": (
        "SELECT COUNT(*) FROM alice.t WHERE t.{c} NOT IN (SELECT k FROM bob.open)",
        {"plain"},
    ),
    "beside a key": (
        "SELECT t.{c} FROM alice.t JOIN bob.open b ON t.plain = b.k",
        {"plain", "payload"},
    ),
    "beside a key of a left join": (
        "SELECT t.{c} FROM alice.t LEFT JOIN bob.open b ON t.plain = b.k",
        {"plain"},
    ),
}
"""Shape of a query → the columns of `LEVELS` that may take the place of `{c}`."""

OPEN = Catalogue(
    tuple(
        Source(product, (ProductFacts(product, product.partition(".")[0], columns, None),))
        for product, columns in {
            "alice.t": tuple((name, "BIGINT") for name in LEVELS),
            "bob.open": (("k", "BIGINT"),),
        }.items()
    )
)
TERMS = {
    product: parse(
        {
            "product": product,
            "grade": "general",
            "unit": {"none": "a test"},
            "purposes": ["p"],
            "columns": columns,
        }
    )
    for product, columns in {"alice.t": LEVELS, "bob.open": {"k": LEVELS["plain"]}}.items()
}


UNION = "SELECT summed AS s, grouped AS g FROM alice.t UNION ALL SELECT k, k FROM bob.open"


def reasons(query: str) -> list[Reason]:
    uses = uses_of(query, OPEN)
    return [reason for use in uses if (reason := check_use(TERMS[use.product], use)) is not None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", LEVELS)
def test_level_permits_exactly_its_shapes_of_query(level: str, shape: str) -> None:
    query, permitted = SHAPES[shape]
    assert (reasons(query.format(c=level)) == []) is (level in permitted)


@pytest.mark.parametrize(
    ("shape", "level", "clause", "remedy"),
    [
        ("shown", "summed", "columns.summed.reveal", "aggregate it with SUM"),
        ("shown", "grouped", "columns.grouped.reveal", "group by it"),
        ("shown", "compared", "columns.compared.reveal", "show only a comparison with it"),
        ("shown", "joined", "columns.joined.reveal", "join on it"),
        ("shown", "hidden", "columns.hidden.reveal", "leave the column out"),
        ("maximum", "summed", "columns.summed.functions", "aggregate it with SUM"),
        ("matched", "filtered", "columns.filtered.roles", "filter by it"),
        ("filtered", "matched", "columns.matched.roles", "join on it"),
        (
            "beside a key of a left join",
            "payload",
            "columns.payload.reveal",
            "show it beside the key of a join",
        ),
    ],
)
def test_refusal_names_column_rule_provider_and_what_would_pass(
    shape: str, level: str, clause: str, remedy: str
) -> None:
    reason = reasons(SHAPES[shape][0].format(c=level))[0]
    assert (reason.provider, reason.clause) == ("alice", clause)
    assert remedy in reason.remedy


@pytest.mark.parametrize(
    ("query", "visible"),
    [
        ("SELECT plain + plain AS x FROM alice.t GROUP BY plain", True),
        ("SELECT plain || plain AS x FROM alice.t", True),
        (f"SELECT COUNT(*), SUM(u.s) FROM ({UNION}) AS u", True),
        (f"SELECT COUNT(*), SUM(u.s) FROM ({UNION}) AS u GROUP BY u.g", True),
        ("SELECT grouped FROM alice.t GROUP BY grouped", True),
        ("SELECT COUNT(*) FROM alice.t WHERE grouped > joined", False),
    ],
)
def test_scql_shows_the_same(query: str, visible: bool) -> None:
    """The shapes of `buildCCLTestCases` (SCQL, pkg/interpreter/translator/translator_ccl_test.go).

    There the levels of three parties are met; here there is one buyer, so that one level stands for them.
    """
    assert (reasons(query) == []) is visible
