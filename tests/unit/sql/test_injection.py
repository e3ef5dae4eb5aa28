# ruff: noqa: S608 - the control is the injection
"""Names and literals that try to become SQL, each with a control in which quoting is left out and they do."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from connectors.pushed_query import Relation, rewrite
from records.errors import UsufructError
from sandbox.sql import grammar
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source, Unit
from sandbox.sql.plan import LocalPart
from sandbox.sql.planner import plan
from tests.unit.sql.flights import COLUMNS, answer, derive_written, run, table

HOSTILE_COLUMN = '1 AS x, (SELECT max(secret) FROM vault) AS "y'
HOSTILE_ALIAS = 'x" FROM vault --'
ALWAYS_TRUE = "x' OR '1' = '1"


def named(carrier: str) -> pa.Table:
    return table(
        [(carrier, 1, None, None, None, None, None, "p"), ("other", 2, None, None, None, None, None, "q")]
    )


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def checked(part: LocalPart) -> str:
    """Return the text that a provider's engine runs, after the connector's own check."""
    columns = tuple(name for name, _ in COLUMNS)
    return rewrite(part.sql, {table: Relation(table, columns) for _, table in part.tables})


def test_a_column_name_stays_a_name() -> None:
    with duckdb.connect() as engine:
        engine.sql("create table vault as select 42 as secret")
        engine.sql(f"create table t as select 7 as {quoted(HOSTILE_COLUMN)}")
        facts = ProductFacts("ana.t", "ana", ((HOSTILE_COLUMN, "BIGINT"),), None)
        made = plan(
            "select * from ana.t", Catalogue((Source("ana.t", (facts,)),)), technique="auto", max_rows=9
        )
        assert engine.sql(made.parts[0].sql).fetchall() == [(7,)]
        assert engine.sql(f'SELECT {HOSTILE_COLUMN}" FROM t').fetchall() == [(1, 42)]  # the control


def test_a_literal_stays_a_literal() -> None:
    query = f"select person from ana.flights where carrier = {literal(ALWAYS_TRUE)}"
    assert answer(query, named("AA")).num_rows == 0
    control = f"select person from flights where carrier = '{ALWAYS_TRUE}'"
    assert run(control, named("AA")).num_rows == 2


@pytest.mark.parametrize("source", ["ana.flights", "flights"])
def test_an_alias_never_reaches_a_providers_engine(source: str) -> None:
    made, _ = derive_written(f"select carrier as {quoted(HOSTILE_ALIAS)} from {source} {quoted('t; DROP')}")
    assert all("vault" not in part.sql for part in made.parts)
    assert [output.name for output in made.outputs] == [HOSTILE_ALIAS]


def test_an_alias_stays_a_name_in_the_last_step() -> None:
    query = f"select carrier as {quoted(HOSTILE_ALIAS)} from ana.flights"
    assert answer(query, named("AA")).column_names == [HOSTILE_ALIAS]
    with duckdb.connect() as engine:
        engine.sql("create table vault as select 42 as secret")
        control = f'SELECT 1 AS "{HOSTILE_ALIAS}" FROM released'
        assert engine.sql(control).fetchall() == [(1,)]  # it ran over the vault, which is no released table


def test_comments_and_hints_do_not_reach_an_engine() -> None:
    made, _ = derive_written("SELECT /*+ PARALLEL(8) */ COUNT(*) /* hint */ FROM Flights -- tail")
    for text in (made.finish, *(part.sql for part in made.parts)):
        assert "--" not in text
        assert "/*" not in text
        assert "hint" not in text.lower()


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_every_literal_finds_exactly_itself(text: str) -> None:
    query = f"select dep_delay from ana.flights where carrier in ({literal(text)}) and dep_delay = 1"
    assert answer(query, named(text))["Dep_Delay"].to_pylist() == [1]


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("'\"\\;-/*()$eEx%_ ,.=0aé\u2019\u212a\n\t"), max_size=20))
def test_any_text_after_where_is_refused_or_stays_a_condition(text: str) -> None:
    try:
        made, _ = derive_written(f"select person from ana.flights where {text}")
    except UsufructError:
        return
    assert checked(made.parts[0]).startswith('SELECT "flights"."person" AS "k0" FROM')


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("'\"\\;-/*()$x ,.=0é\u2019\n"), min_size=1, max_size=12))
def test_any_alias_is_refused_or_stays_a_name(text: str) -> None:
    try:
        made, _ = derive_written(f"select person as {quoted(text)} from ana.flights")
    except UsufructError:
        return
    assert [output.name for output in made.outputs] == [text]
    tree = grammar.read(made.finish)
    assert [table.name for table in tree.find_all(exp.Table)] == ["released"]
    assert [item.alias for item in tree.expressions] == [text]


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights",
        "select carrier, avg(fee), sum(distance) from flights where day > '2020-01-01' group by 1",
        "select carrier, min(day), max(moment), var_samp(fee), stddev(distance) from cy.flights group by 1",
        "select * from bo.flights where carrier like 'a%' or cancelled order by day desc nulls first limit 3",
        "select fee from ana.flights a join (select distinct day from bo.flights) b on a.day = b.day",
    ],
)
def test_parts_pass_the_connectors_own_check(query: str) -> None:
    units: dict[str, Unit] = {"ana": None, "bo": None, "cy": None}
    made, _ = derive_written(query, units)
    assert all(checked(part) for part in made.parts)
