# ruff: noqa: S608 - the control is the injection
"""Names and literals that try to become SQL, each with a control in which quoting is left out and they do."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pushed_query import rewrite
from records.errors import UsufructError
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from sandbox.sql.plan import plan
from tests.unit.sql.flights import COLUMNS, answer, catalogue, run, table

HOSTILE_COLUMN = '1 AS x, (SELECT max(secret) FROM vault) AS "y'
ALWAYS_TRUE = "x' OR '1' = '1"


def named(carrier: str) -> pa.Table:
    return table(
        [(carrier, 1, None, None, None, None, None, "p"), ("other", 2, None, None, None, None, None, "q")]
    )


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_a_column_name_stays_a_name() -> None:
    with duckdb.connect() as engine:
        engine.sql("create table vault as select 42 as secret")
        engine.sql("create table t as select 7 as " + '"' + HOSTILE_COLUMN.replace('"', '""') + '"')
        facts = ProductFacts("ana.t", "ana", ((HOSTILE_COLUMN, "BIGINT"),), "row")
        derived = plan(
            "select * from ana.t", Catalogue((Source("ana.t", (facts,)),)), technique="auto", max_groups=9
        )
        assert engine.sql(derived.parts[0].sql).fetchall() == [(7,)]
        assert engine.sql(f'SELECT {HOSTILE_COLUMN}" FROM t').fetchall() == [(1, 42)]  # the control


def test_a_literal_stays_a_literal() -> None:
    query = f"select person from ana.flights where carrier = {literal(ALWAYS_TRUE)}"
    derived = plan(query, catalogue(), technique="auto", max_groups=9)
    assert answer(derived, [named("AA")]).num_rows == 0
    assert (
        run(f"select person from flights where carrier = '{ALWAYS_TRUE}'", named("AA")).num_rows == 2
    )  # control


def test_an_alias_never_reaches_the_engine() -> None:
    query = 'select carrier as "x"" FROM vault --" from ana.flights'
    derived = plan(query, catalogue(), technique="auto", max_groups=9)
    assert "vault" not in derived.parts[0].sql
    assert answer(derived, [named("AA")]).column_names == ['x" FROM vault --']


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_every_literal_finds_exactly_itself(text: str) -> None:
    for comparison in (f"carrier = {literal(text)}", f"carrier in ({literal(text)})"):
        query = f"select dep_delay from ana.flights where {comparison} and dep_delay = 1"
        derived = plan(query, catalogue(), technique="auto", max_groups=9)
        assert answer(derived, [named(text)])["Dep_Delay"].to_pylist() == [1]


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("'\"\\;-/*()$eEx%_ ,.=0aé\n\t"), max_size=20))
def test_any_text_after_where_is_refused_or_stays_a_predicate(text: str) -> None:
    try:
        derived = plan(
            f"select person from ana.flights where {text}", catalogue(), technique="auto", max_groups=9
        )
    except UsufructError:
        return
    names = [name for name, _ in COLUMNS]
    assert rewrite(derived.parts[0].sql, "flights", names).startswith('SELECT "person" AS "k0" FROM')


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights",
        "select carrier, avg(fee), sum(distance) from flights where day > '2020-01-01' group by 1",
        "select carrier, min(day), max(moment), var_samp(fee), stddev(distance) from cy.flights group by 1",
        "select * from bo.flights where carrier like 'a%' or cancelled order by day desc nulls first limit 3",
    ],
)
def test_parts_pass_the_connectors_own_check(query: str) -> None:
    units = {"ana": "row", "bo": ("person",), "cy": ("person", "day")}
    derived = plan(query, catalogue(units), technique="auto", max_groups=9)  # type: ignore[arg-type]
    for part in derived.parts:
        assert rewrite(part.sql, part.table, [name for name, _ in COLUMNS])
