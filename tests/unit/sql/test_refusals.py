# ruff: noqa: S608 - queries are what these tests make
"""Everything outside the dialect is refused by name, with a rewrite, and without a word of the query."""

from __future__ import annotations

import logging

import pytest
import sqlglot

from records.errors import JobRefused, LimitExceeded, MalformedDocument, UnknownObject, UsufructError
from sandbox.sql.plan import Plan, plan
from sandbox.sql.query import source_name
from tests.unit.sql.flights import catalogue


def derive(query: str) -> Plan:
    return plan(query, catalogue(), technique="auto", max_groups=100)


@pytest.mark.parametrize(
    ("query", "clause", "remedy"),
    [
        ("select count(*) from flights, ana.flights", "join", "one product or collection"),
        (
            "select count(*) from flights f join ana.flights a on f.day = a.day",
            "join",
            "one product or collection",
        ),
        ("select count(*) from (select * from flights)", "subquery", "job of its own"),
        ("select carrier from from ana.flights", "subquery", "job of its own"),
        ("select count(*) from flights where fee = (select 1)", "subquery", "job of its own"),
        ("select count(*) from flights where fee in (select 1)", "subquery", "job of its own"),
        ("select count(*) from flights where exists (select 1)", "subquery", "job of its own"),
        ("with x as (select 1) select count(*) from flights", "with", "without WITH"),
        ("select count(*) from flights union select 1", "union", "collection"),
        ("select count(*) from flights except select 1", "union", "collection"),
        ("select carrier, count(*) from flights group by carrier having count(*) > 1", "having", "filter"),
        ("select distinct carrier from ana.flights", "distinct", "group by"),
        ("select count(distinct carrier) from flights", "distinct", "group by"),
        ("select sum(fee) over () from flights", "window", "GROUP BY"),
        ("select fee from ana.flights qualify true", "window", "GROUP BY"),
        ("select fee from ana.flights limit 1 offset 1", "offset", "LIMIT"),
        ("select case when cancelled then 1 end from ana.flights", "case", "one job per branch"),
        ("select sum(case when cancelled then 1 else 0 end) from flights", "case", "one job per branch"),
        ("select count(*) filter (where cancelled) from flights", "filter", "WHERE"),
        ("select count(*) from flights where carrier ilike 'a'", "like", "LIKE"),
        ("select count(*) from flights where carrier like 'a' escape 'b'", "like", "LIKE"),
        ("select count(*) from flights where fee = ?", "parameter", "literal"),
        ("select count(*) from flights where fee = $1", "parameter", "literal"),
        ("select var_pop(fee) from ana.flights", "aggregate", "VAR_SAMP"),
        ("select median(fee) from ana.flights", "aggregate", "COUNT, SUM"),
        ("select sum(fee + 1) from flights", "aggregate", "plain column"),
        ("select count(1) from flights", "aggregate", "plain column"),
        ("select count(fee, day) from flights", "aggregate", "COUNT"),
        ("select lower(carrier) from ana.flights", "function", "plain columns"),
        ("select count(*) from flights where getenv('HOME') = 'x'", "function", "plain columns"),
        ("select count(*) from read_csv('/etc/passwd')", "function", "plain columns"),
        ("select count(*) from flights where day > day - interval 1 day", "interval", "date"),
        ("select count(*) from flights tablesample 10 percent", "sample", "sample"),
        ("select * exclude (fee) from ana.flights", "star", "list the columns"),
        ("select ana.flights.fee from ana.flights", "name", "alias.column"),
        ("select count(*) from x.ana.flights", "name", "provider.product"),
        ("select carrier, count(*) from flights group by all", "group", "plain columns"),
        ("select carrier, count(*) from flights group by rollup (carrier)", "group", "plain columns"),
        ("select count(*) from flights where carrier = $$x$$", "literal", "single quotes"),
        ("select count(*) from flights where carrier = e'x'", "literal", "single quotes"),
        ("select fee + 1 from ana.flights", "expression", "released result"),
        ("select 1 from ana.flights", "expression", "released result"),
        ("select carrier, count(*) from flights", "group", "GROUP BY"),
        ("select count(*) from flights group by carrier", "group", "select every column"),
        ("select carrier, count(*) from flights group by carrier, fee + 1", "group", "plain columns"),
        ("select carrier from ana.flights order by fee", "order", "SELECT"),
        ("select carrier, carrier from ana.flights", "output-name", "AS"),
        ("select carrier from flights", "rows", "one product"),
        ("select min(fee) from flights", "aggregate", "SUM or AVG"),
        ("select stddev(fee) from flights", "aggregate", "one product"),
        ("select distance, count(*) from flights group by distance", "group", "another type"),
        ("select count(*) from flights where fee", "where", "compare"),
        ("select count(*) from flights where count(*) > 1", "where", "compare"),
        ("select count(*) as n from flights where n > 1", "where", "compare"),
        ("select count(*) from flights where carrier like carrier", "where", "compare"),
        ("select count(*) from flights where carrier = cast(fee as varchar)", "where", "compare"),
        ("select count(*) from flights where fee in (fee, 1)", "in", "literals"),
        ("select count(*)", "from", "FROM"),
        ("drop table flights", "statement", "SELECT"),
        ("copy flights to '/tmp/x'", "statement", "SELECT"),
        ("pragma version", "statement", "SELECT"),
        ("", "statement", "SELECT"),
        ("select count(*) from flights; select count(*) from flights", "statement", "one SELECT"),
        ("with x as (select 1) delete from flights", "statement", "SELECT"),
        ("-- nothing", "statement", "SELECT"),
        ("select count(*) into x from flights", "into", "leave it out"),
        ("select count(*) from flights for update", "lock", "leave it out"),
    ],
)
def test_unsupported_constructs_are_refused_with_a_rewrite(query: str, clause: str, remedy: str) -> None:
    with pytest.raises(JobRefused) as refused:
        derive(query)
    reasons = [reason for reason in refused.value.reasons if reason.clause == f"sql.{clause}"]
    assert reasons, refused.value.reasons
    assert remedy in reasons[0].remedy
    assert reasons[0].provider == "planner"


def test_every_construct_of_a_query_is_named() -> None:
    with pytest.raises(JobRefused) as refused:
        derive("select distinct lower(carrier) from flights having true limit 1 offset 2")
    assert [reason.clause for reason in refused.value.reasons] == [
        "sql.distinct",
        "sql.function",
        "sql.having",
        "sql.offset",
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select count(*) frm flights where 1", "line 1, column"),
        ("select count(*) from flights where carrier = 'open", "quote"),
        ("select count(*) from flights /* open", "comment"),
        ("select count(*) from flights where (fee = 1", "line 1, column"),
        ("select count(*) from flights where fee = 1\0", "NUL"),
        ("select count(*) from flights where carrier = '\ud800'", "Unicode"),
        ("select sum(carrier) from flights", "no number"),
        ("select avg(day) from ana.flights", "no number"),
        ("select count(*) from flights where carrier = 5", "different types"),
        ("select count(*) from flights where fee = '5'", "different types"),
        ("select count(*) from flights where day = 5", "different types"),
        ("select count(*) from flights where day = cancelled", "different types"),
        ("select count(*) from flights where day + 1 > day", "different types"),
        ("select count(*) from flights where -carrier = 'x'", "different types"),
        ("select count(*) from flights where fee like 'x'", "different types"),
        ("select count(*) from flights where fee is true", "different types"),
        ("select count(*) from flights where fee between 1 and 'x'", "different types"),
        ("select count(*) from flights where fee = 1234567890123456789", "digits"),
        ("select count(*) from flights where distance = 1e999", "digits"),
        ("select count(*) from flights where day = '2020-13-01'", "YYYY-MM-DD"),
        ("select count(*) from flights where day = 'today'", "YYYY-MM-DD"),
        ("select count(*) from flights where day = '2020-01-01 00:00:00'", "YYYY-MM-DD"),
        ("select count(*) from flights where moment = timestamp 'now'", "YYYY-MM-DD"),
        ("select count(*) from flights limit 1.5", "whole number"),
        ("select count(*) from flights limit '1'", "whole number"),
        ("select carrier, count(*) from flights group by 3", "resolved"),
        ("select carrier from ana.flights order by 3", "resolved"),
        ("select x.carrier from ana.flights y", "resolved"),
        ('select count(*) as "a\nb" from flights', "alias"),
        (f"select count(*) as {'a' * 100} from flights", "alias"),
    ],
)
def test_malformed_queries_say_where_or_what(query: str, message: str) -> None:
    with pytest.raises(MalformedDocument, match=message):
        derive(query)


def test_the_source_is_known_without_a_catalogue() -> None:
    assert source_name("select count(*) from Flights f") == "flights"
    assert source_name("select x from Ana.Flights") == "ana.flights"
    with pytest.raises(JobRefused, match=r"sql\.from"):
        source_name("select 1")


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where nope = 1",
        "select nope from ana.flights",
        "select count(*) from ana.flights where rowid = 1",
        "select count(*) from nobody.flights",
        "select count(*) from 'flights.parquet'",
        "select count(*) from duckdb_settings",
    ],
)
def test_unknown_names_are_refused(query: str) -> None:
    with pytest.raises(UnknownObject):
        derive(query)


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where carrier = '" + "x" * 65536 + "'",
        "select count(*) from flights where " + "(" * 25 + "fee = 1" + ")" * 25,
        "select count(*) from flights where " + "not " * 9 + "cancelled",
        "select count(*) from flights where fee = " + "- " * 2000 + "1",
        "select count(*) from flights where " + " or ".join(["fee = 1"] * 200),
        "select count(*) from flights where fee in (" + ", ".join(["1"] * 1001) + ")",
        "select " + ", ".join(f"count(*) as c{index}" for index in range(101)) + " from flights",
        "select count(*) from flights limit 99999999999999999999",
        "select count(*) from flights where " + "case when " * 3000,
    ],
    ids=["bytes", "parentheses", "prefixes", "signs", "chain", "in-list", "outputs", "limit", "nesting"],
)
def test_queries_beyond_a_limit_are_refused(query: str) -> None:
    with pytest.raises((LimitExceeded, MalformedDocument)):
        derive(query)


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where carrier = 'jane-doe' and fee in (select 4711)",
        "select count(*) from flights where carrier = 'jane-doe' )",
        "select count(*) from flights where carrier = 4711 or carrier = 'jane-doe'",
        "select count(*) from flights where day = 'jane-doe'",
        'select count(*) from flights where "jane-doe" = 4711',
        'select "jane-doe"(4711) from flights',
        'select count(*) from "jane-doe"',
        "select count(*) from flights where carrier = 'jane-doe",
        "select count(*) from flights limit 'jane-doe'",
        "insert into flights values ('jane-doe', 4711)",
        "explain analyze select 'jane-doe'",
        "select count(*) from flights; show 'jane-doe'",
        "select count(*) from flights; alter x 'jane-doe'",
        "with x as (select 1) vacuum 'jane-doe'",
        "with x as (select 1) call f('jane-doe')",
        "with x as (select 1) alter table t 'jane-doe'",
        "with x as (alter table t 'jane-doe') select 1",
        "select (alter table t 'jane-doe') from flights",
        "from (show 'jane-doe')",
        "select count(*) from flights where carrier = cast('jane-doe' as nosuchtype)",
        "select count(*) from flights where carrier = 'jane-doe'::struct(a int)",
        "select interval 'jane-doe' from flights",
        "select count(*) from flights where carrier collate 'jane-doe' = 'x'",
        "select fee -> '$[\"jane-doe' from flights",
        "show 'jane-doe'",
        "alter session set x = 'jane-doe'",
    ],
)
def test_neither_errors_nor_logs_hold_text_of_the_query(query: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(UsufructError) as refused:
        derive(query)
    assert refused.value.__cause__ is None
    assert "jane" not in str(refused.value) + caplog.text
    assert "4711" not in str(refused.value) + caplog.text


def test_the_parsers_own_log_would_hold_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sqlglot"), "disabled", False)  # the control
    sqlglot.parse("alter session set x = 'jane-doe'", read="duckdb")
    assert "jane-doe" in caplog.text
