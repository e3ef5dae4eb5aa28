# ruff: noqa: S608 - queries are what these tests make
"""What is not supported is refused by name, with a rewrite, and without a word of the query."""

from __future__ import annotations

import logging

import pytest
import sqlglot

from records.errors import JobRefused, LimitExceeded, MalformedDocument, UnknownObject, UsufructError
from sandbox.sql.catalogue import Unit
from sandbox.sql.names import MAX_NAME_CHARS, MAX_OUTPUTS, source_names
from tests.unit.sql.flights import derive_written

MANY = "from ana.flights a join bo.flights b on a.person = b.person"
JOINED = (
    "from ana.flights a join (select person, max(fee) as fee from bo.flights group by person) b"
    " on a.person = b.person"
)
UNITS: dict[str, Unit] = {"ana": None, "bo": None, "cy": None}
"""Nobody is protected here: what units refuse is tested in `test_units.py`."""

CONSTRUCTS = [
    # What stands after FROM.
    ("select count(*)", "from", "FROM"),
    ("select count(*) from (select * from flights)", "from", "AS name"),
    ("select count(*) from read_csv('/etc/passwd')", "function", "docs/sql.md"),
    ("select count(*) from read_parquet('s3://b/k')", "function", "docs/sql.md"),
    ("select * from glob('*')", "function", "docs/sql.md"),
    ("select x from (values (1)) v(x)", "from", "products"),
    ("select min(fee) from ana.flights f, lateral (select f.fee) x", "from", "products"),
    ("select fee from ana.flights tablesample 10 percent", "sample", "sample"),
    ("select fee from ana.flights using sample 3", "sample", "sample"),
    ("select fee from ana.flights at (version => 3)", "historicaldata", "leave it out"),
    ("select carrier from ana.flights pivot (sum(fee) for carrier in ('a'))", "pivot", "leave it out"),
    ("select ana.flights.fee from ana.flights", "name", "alias.column"),
    ("select count(*) from x.ana.flights", "name", "provider.product"),
    # Statements.
    ("", "statement", "SELECT"),
    ("-- nothing", "statement", "SELECT"),
    ("select fee from ana.flights; select fee from ana.flights", "statement", "one SELECT"),
    ("with x as (select 1) delete from flights", "statement", "SELECT"),
    *(
        (statement, "statement", "SELECT")
        for statement in (
            "drop table flights", "copy flights to '/tmp/x'", "copy flights from '/tmp/x'", "pragma version",
            "attach 'x' as y", "install httpfs", "load httpfs", "set threads = 1", "call f()", "values (1)",
            "create table x as select fee from ana.flights", "describe ana.flights",
            "explain select fee from ana.flights", "insert into flights values (1)",
        )
    ),
    ("select fee into x from ana.flights", "into", "leave it out"),
    ("select fee from ana.flights for update", "lock", "leave it out"),
    # Sub-queries, WITH and set operations.
    ("with recursive r as (select fee from ana.flights union all select fee from r) select fee from r",
     "with", "leave it out"),
    ("with r as (select person from r) select person from r", "with", "provider"),
    ("select carrier from flights except select carrier from ana.flights", "set-operation", "NOT] EXISTS"),
    ("select carrier from flights intersect select carrier from ana.flights", "set-operation", "NOT] EXISTS"),
    ("select carrier from ana.flights where fee > all (select fee from ana.flights)", "subquery", "MAX"),
    (f"select a.fee, (select c.fee from cy.flights c where c.person = a.person) f {JOINED}",
     "subquery", "aggregate it"),
    ("select fee from ana.flights where (carrier, fee) in (select carrier, fee from ana.flights)",
     "tuple", "EXISTS"),
    # Joins over several providers.
    (f"select a.fee {MANY}", "join", "public.keys"),
    ("select a.fee from ana.flights a, bo.flights b", "join", "join them by ="),
    ("select a.fee from ana.flights a cross join bo.flights b", "join", "join them by ="),
    ("select a.fee from ana.flights a join bo.flights b on a.day < b.day", "join", "join them by ="),
    ("select a.fee from ana.flights a semi join bo.flights b on a.person = b.person", "join", "EXISTS"),
    ("select fee from ana.flights natural join bo.flights", "join", "leave it out"),
    ("select fee from ana.flights asof join bo.flights using (person)", "join", "leave it out"),
    # Groups, aggregates, windows.
    ("select carrier, count(*) from ana.flights", "group", "GROUP BY"),
    ("select carrier, count(*) from flights", "group", "GROUP BY"),
    ("select carrier, count(*) from flights group by rollup (carrier)", "group", "each grouping"),
    ("select count(*) from flights group by cube (carrier)", "group", "each grouping"),
    ("select distance, count(*) from flights group by distance", "key", "another type"),
    ("select var_pop(fee) from ana.flights", "aggregate", "VAR_SAMP"),
    ("select quantile_cont(fee, 0.5) from ana.flights", "aggregate", "PERCENTILE_DISC"),
    ("select percentile_disc(0.2) within group (order by fee desc) from ana.flights", "aggregate", "rising"),
    ("select count(fee, day) from flights", "aggregate", "COUNT"),
    ("select string_agg(carrier) from ana.flights", "aggregate", "COUNT"),
    ("select sum(distinct fee) from flights", "aggregate", "within one provider"),
    ("select fee, lag(fee) over (order by fee) as l from ana.flights", "window", "ROW_NUMBER"),
    ("select fee, ntile(4) over (order by fee) as l from ana.flights", "window", "ROW_NUMBER"),
    ("select fee, sum(fee) over (order by fee rows 1 preceding) as s from flights", "window", "frame"),
    # Expressions.
    ("select count(*) from flights where getenv('HOME') = 'x'", "function", "docs/sql.md"),
    ("select random() as r from ana.flights", "function", "docs/sql.md"),
    ("select current_user as u from ana.flights", "function", "docs/sql.md"),
    ("select [fee] as l from ana.flights", "function", "docs/sql.md"),
    ("select fee::blob as b from ana.flights", "datatype", "leave it out"),
    ("select carrier from ana.flights where carrier like 'a' escape 'b'", "like", "LIKE"),
    ("select carrier from ana.flights where regexp_matches(carrier, 'x')", "like", "LIKE"),
    ("select carrier from ana.flights where carrier similar to 'x'", "similarto", "leave it out"),
    ("select carrier from ana.flights where carrier = $$x$$", "literal", "single quotes"),
    ("select carrier from ana.flights where carrier = e'x'", "literal", "single quotes"),
    ("select carrier from ana.flights where fee = ?", "parameter", "literal"),
    ("select carrier from ana.flights where fee = $1", "parameter", "literal"),
    (f"select a.carrier || b.person as t {JOINED}", "output", "put them together"),
    (f"select round(a.fee * b.fee) as t {JOINED}", "expression", "within one provider"),
    (f"select a.fee {JOINED} where a.carrier < b.person", "condition", "compare them by ="),
    (f"select a.fee {JOINED} where a.carrier like b.person", "condition", "within one"),
    # Outputs.
    ("select * exclude (fee) from ana.flights", "star", "leave it out"),
    ("select fee, fee from ana.flights", "output-name", "AS"),
    ("select fee from flights limit 3 offset 1", "offset", "LIMIT"),
    ("select fee from ana.flights limit 50%", "limitoptions", "leave it out"),
    ("select fee from ana.flights order by all", "var", "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "clause", "remedy"), CONSTRUCTS, ids=[query[:80] for query, *_ in CONSTRUCTS]
)
def test_unsupported_constructs_are_refused_with_a_rewrite(query: str, clause: str, remedy: str) -> None:
    with pytest.raises(JobRefused) as refused:
        derive_written(query, UNITS)
    reasons = [reason for reason in refused.value.reasons if reason.clause == f"sql.{clause}"]
    assert reasons, refused.value.reasons
    assert remedy in reasons[0].remedy
    assert reasons[0].provider == "planner"


def test_every_construct_of_a_query_is_named() -> None:
    with pytest.raises(JobRefused) as refused:
        derive_written(
            "select var_pop(fee), random() as r from ana.flights where carrier = $$x$$ and fee = ?"
        )
    clauses = [reason.clause for reason in refused.value.reasons]
    assert clauses == sorted(clauses)
    assert {"sql.aggregate", "sql.function", "sql.literal"} <= set(clauses)


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where fee in (select 1)",
        "select count(*) from flights where fee = (select 1)",
        "select count(*) from flights where exists (select 1)",
        "select carrier from flights union select 1",
        "select carrier from ana.flights where carrier in (select 'x')",
    ],
)
def test_a_select_without_a_table_is_refused_wherever_it_stands(query: str) -> None:
    with pytest.raises(JobRefused) as refused:
        derive_written(query, UNITS)
    assert {reason.clause for reason in refused.value.reasons} == {"sql.from"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select count(*) frm flights where 1", "line 1, column"),
        ("select count(*)\nfrom flights where (fee = 1", "line 2, column"),
        ("select count(*) from flights where carrier = 'open", "quote"),
        ("select count(*) from flights /* open", "comment"),
        ("select count(*) from flights where fee = 1\0", "NUL"),
        ("select count(*) from flights where carrier = '\ud800'", "Unicode"),
        ("select count(*) from flights where fee = 1234567890123456789", "digits"),
        ("select count(*) from flights where distance = 1e999", "digits"),
        ("select count(*) from flights limit 1.5", "whole number"),
        ("select count(*) from flights limit '1'", "whole number"),
        ("select carrier, count(*) from flights group by 3", "resolved"),
        ("select carrier from ana.flights order by 3", "resolved"),
        ("select x.carrier from ana.flights y", "resolved"),
        ("select person from ana.flights a join bo.flights b on a.day = b.day", "several things"),
        ("select carrier from ana.flights a, ana.flights b", "several things"),
        ('select count(*) as "a\nb" from flights', "alias"),
        (f"select count(*) as {'a' * 100} from flights", f"{MAX_NAME_CHARS} characters"),
    ],
)
def test_malformed_queries_say_where_or_what(query: str, message: str) -> None:
    with pytest.raises(MalformedDocument, match=message):
        derive_written(query)


@pytest.mark.parametrize("source", ["flights", "ana.flights"])
@pytest.mark.parametrize(
    "condition",
    [
        "carrier = 5", "fee = '5'", "day = 5", "moment = 5", "day = cancelled", "-carrier = 'x'",
        "fee like 'x'", "fee between 1 and 'x'", "fee in (1, 'x')", "carrier", "carrier and cancelled",
        "case when cancelled then 'x' else 'y' end = 5", "carrier + 1 > 2", "upper(fee) = 'X'",
    ],
)  # fmt: skip
def test_types_that_do_not_fit_are_refused_before_data_is_touched(source: str, condition: str) -> None:
    # At a provider a cast would fail on some rows and not on others, and tell of them.
    with pytest.raises(MalformedDocument):
        derive_written(f"select count(*) as n from {source} where {condition}")


@pytest.mark.parametrize("source", ["flights", "ana.flights"])
@pytest.mark.parametrize(
    "output", ["sum(carrier)", "avg(carrier)", "sum(day)", "sum(fee + carrier)", "sum(sum(fee))"]
)
def test_aggregates_of_types_that_do_not_fit_are_refused(source: str, output: str) -> None:
    with pytest.raises(MalformedDocument):
        derive_written(f"select {output} as s from {source}", UNITS)


@pytest.mark.parametrize(
    "day", ["2020-13-01", "2021-02-29", "today", "2020-01-01 00:00:00", "infinity", "20200101", "", "epoch"]
)
def test_a_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(MalformedDocument, match="YYYY-MM-DD"):
        derive_written(f"select count(*) from flights where day = '{day}'")


def test_sources_are_known_without_a_catalogue() -> None:
    assert source_names("select count(*) from Flights f") == ("flights",)
    assert source_names("with x as (select fee from Ana.Flights) select x.fee from x, bo.flights") == (
        "ana.flights",
        "bo.flights",
    )
    assert source_names("select fee from ana.flights where fee in (select fee from cy.flights)") == (
        "ana.flights",
        "cy.flights",
    )


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where nope = 1",
        "select nope from ana.flights",
        "select count(*) from ana.flights where rowid = 1",
        "select count(*) from nobody.flights",
        "select count(*) from 'flights.parquet'",
        "select count(*) from duckdb_settings",
        "select count(*) from information_schema.tables",
        "select a.fee from ana.flights a where a.fee in (select b.nope from bo.flights b)",
    ],
)
def test_unknown_names_are_refused(query: str) -> None:
    with pytest.raises(UnknownObject):
        derive_written(query)


def test_the_nearest_column_is_named() -> None:
    with pytest.raises(UnknownObject, match=r"`ana\.flights` does not have; the nearest is `carrier`"):
        derive_written("select carier from ana.flights")
    with pytest.raises(UnknownObject, match="the nearest is `dep_delay`"):
        derive_written("select sum(dep_dealy) from flights")


def test_outputs_and_limits_are_bounded() -> None:
    def outputs(count: int) -> str:
        return "select " + ", ".join(f"fee as c{index}" for index in range(count)) + " from ana.flights"

    derive_written(outputs(MAX_OUTPUTS))
    with pytest.raises(LimitExceeded):
        derive_written(outputs(MAX_OUTPUTS + 1))
    derive_written("select fee from ana.flights limit 1000000")
    with pytest.raises(LimitExceeded):
        derive_written("select fee from ana.flights limit 1000001")
    with pytest.raises((LimitExceeded, MalformedDocument)):
        derive_written("select fee from ana.flights limit 99999999999999999999")


def test_with_that_grows_without_bound_is_refused() -> None:
    named = ["x0 as (select fee from ana.flights)"]
    named += [f"x{i} as (select a.fee from x{i - 1} a, x{i - 1} b)" for i in range(1, 20)]
    with pytest.raises(LimitExceeded, match="WITH"):
        derive_written(f"with {', '.join(named)} select fee from x19")


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from flights where carrier = 'jane-doe' and fee in (select random() + 4711)",
        "select count(*) from flights where carrier = 'jane-doe' )",
        "select count(*) from flights where fee = 4711 or fee = 'jane-doe'",
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
        derive_written(query)
    assert refused.value.__cause__ is None
    assert "jane" not in str(refused.value) + caplog.text
    assert "4711" not in str(refused.value) + caplog.text


def test_the_parsers_own_log_would_hold_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sqlglot"), "disabled", False)  # the control
    sqlglot.parse("alter session set x = 'jane-doe'", read="duckdb")
    assert "jane-doe" in caplog.text
