"""The grammar of pushed queries: what is listed passes and keeps its meaning, everything else is refused."""

# ruff: noqa: S608 - queries are put together to be checked by the code under test

from __future__ import annotations

import logging

import pytest
from sqlglot import exp

from connectors.pushed_query import ALLOWED_NODES, MAX_QUERY_BYTES, Relation, rewrite
from records.errors import InputError, MalformedDocument, NotPermitted, UnknownObject

TABLES = {"t": Relation("product", ("a", "b", "day"))}


def test_table_becomes_the_relation_under_its_old_name() -> None:
    assert rewrite("SELECT t.a FROM t", TABLES) == 'SELECT "t"."a" FROM "main"."product" AS "t"'


def test_alias_is_kept() -> None:
    assert rewrite("SELECT x.a FROM t AS x", TABLES) == 'SELECT "x"."a" FROM "main"."product" AS "x"'


def test_literals_and_identifiers_are_written_anew_and_quoted() -> None:
    text = rewrite("SELECT 'it''s' AS \"q\"\"x\" FROM t -- */ note", TABLES)
    assert text == """SELECT 'it''s' AS "q""x" FROM "main"."product" AS "t\""""


def test_named_sub_query_called_like_the_relation_does_not_capture_it() -> None:
    text = rewrite("WITH product AS (SELECT a FROM t) SELECT a FROM product", TABLES)
    assert text == 'WITH "product" AS (SELECT "a" FROM "main"."product" AS "t") SELECT "a" FROM "product"'


@pytest.mark.parametrize(
    "query",
    [
        "SELECT DISTINCT a FROM t ORDER BY a DESC NULLS LAST LIMIT 3 OFFSET 1",
        "SELECT a, count(*) FILTER (WHERE b > 1) FROM t GROUP BY ROLLUP (a) HAVING count(*) > 1",
        "SELECT CASE WHEN a IS NULL THEN 0 ELSE -a END, coalesce(a, b), a BETWEEN 1 AND 2 FROM t",
        "SELECT sum(a) OVER (PARTITION BY b ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT quantile_cont(a, 0.5), median(a), percentile_cont(0.9) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT var_samp(a), stddev_pop(a), corr(a, b), bool_or(a > 1), count(DISTINCT b) FROM t",
        "SELECT extract(year FROM day), date_trunc('month', day), day + INTERVAL 3 DAY, hour(day) FROM t",
        "SELECT date_diff('day', day, DATE '2020-01-01'), CAST(a AS DECIMAL(9, 2)) FROM t",
        "SELECT TRY_CAST(b AS DOUBLE), nullif(a, 0) FROM t",
        "SELECT lower(b) || 'x', b LIKE 'x!%%' ESCAPE '!', regexp_matches(b, '^a'), left(b, 2) FROM t",
        "SELECT a FROM t UNION ALL SELECT b FROM t EXCEPT SELECT a FROM t",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM t AS u WHERE u.a = t.b) AND a NOT IN (SELECT b FROM t)",
        "SELECT s.m FROM (SELECT max(a) AS m FROM t) AS s LEFT JOIN t ON s.m = t.a",
        "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) <= 3",
        "WITH u AS (SELECT a FROM t) SELECT a FROM u UNION SELECT a FROM t",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT (t.a), t.* FROM t",
        "SELECT u.b FROM t, LATERAL (SELECT t.b) AS u",
        "SELECT any_value(a), first(b), percent_rank() OVER (ORDER BY a) FROM t",
        "SELECT dense_rank() OVER (ORDER BY a) FROM t",
    ],
)
def test_analytic_sql_passes(query: str) -> None:
    assert '"main"."product"' in rewrite(query, TABLES)


@pytest.mark.parametrize(
    "query",
    [
        "FROM t",
        "TABLE t",
        "(SELECT a FROM t)",
        "SELECT a FROM t; SELECT a FROM t",
        "SELECT a FROM t;",
        "WITH u AS (SELECT a FROM t) DELETE FROM t",
        "WITH RECURSIVE u AS (SELECT a FROM t UNION ALL SELECT a FROM u) SELECT a FROM u",
        "WITH u AS (SELECT a FROM v), v AS (SELECT a FROM t) SELECT a FROM u",
        "WITH t AS (SELECT a FROM t) SELECT a FROM t",
        "WITH u AS (SELECT a FROM t), U AS (SELECT a FROM t) SELECT a FROM u",
        "SELECT a FROM (WITH sqlite_master AS (SELECT a FROM t) SELECT a FROM sqlite_master), sqlite_master",
        "SELECT a FROM other",
        "SELECT a FROM main.t",
        "SELECT a FROM memory.main.t",
        "SELECT main.t.a FROM t",
        "SELECT a.b.day FROM t AS a",
        "SELECT a FROM t NATURAL JOIN t AS u",
        "SELECT a FROM t POSITIONAL JOIN t AS u",
        "SELECT a FROM t, LATERAL unnest(t.a)",
        "SELECT first_value(a IGNORE NULLS) OVER () FROM t",
        "SELECT a FROM t TABLESAMPLE 10%",
        "SELECT a FROM t AT (VERSION => 1)",
        "SELECT a FROM t FOR UPDATE",
        "SELECT a INTO u FROM t",
        "SELECT x FROM (VALUES (1)) AS v(x)",
        "SELECT a FROM t WHERE a = ?",
        "SELECT a FROM t WHERE a = $1",
        "SELECT {'k': a} FROM t",
        "SELECT [a] FROM t",
        "SELECT list(a) FROM t",
        "SELECT string_agg(b) FROM t",
        "SELECT COLUMNS('.*') FROM t",
        "SELECT random() FROM t",
        "SELECT now(), current_date FROM t",
        "SELECT getenv('HOME') FROM t",
        "SELECT error('x') FROM t",
        "SELECT nosuchfunction(a) FROM t",
        "SELECT CAST(b AS JSON) FROM t",
        "SELECT CAST(a AS INTEGER[]) FROM t",
        "SELECT b COLLATE nocase FROM t",
        "SELECT repeat(b, 1000000000) FROM t",
        "SELECT a FROM t ORDER BY ALL",
    ],
)
def test_everything_else_is_refused(query: str) -> None:
    with pytest.raises(NotPermitted):
        rewrite(query, TABLES)


@pytest.mark.parametrize("name", ["nosuch", "t", "rowid", '"current_user"', "u.nosuch"])
def test_column_outside_the_schema_is_unknown(name: str) -> None:
    with pytest.raises(UnknownObject):
        rewrite(f"SELECT {name} FROM t AS u", TABLES)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT FROM WHERE 'topsecret'",
        "SELECT 'topsecret",
        "SELECT a FROM t WHERE (a = 'topsecret'",
        "SELECT " * 9,
    ],
)
def test_refusal_of_what_does_not_parse_quotes_nothing(query: str) -> None:
    with pytest.raises(InputError) as caught:
        rewrite(query, TABLES)
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "query",
    ["", "SET threads = 'topsecret'", "ALTER TABLE t RENAME TO topsecret", "SELECT 1; GRANT topsecret TO x"],
)
def test_parser_logs_nothing_of_a_refused_query(query: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(NotPermitted):
        rewrite(query, TABLES)
    assert caplog.text == ""


@pytest.mark.parametrize("query", ["SELECT 'x\0' FROM t", 'SELECT a AS "\ud800" FROM t'])
def test_text_that_the_engine_would_cut_or_not_take_is_malformed(query: str) -> None:
    with pytest.raises(MalformedDocument):
        rewrite(query, TABLES)


def test_depth_and_length_are_limited() -> None:
    with pytest.raises(MalformedDocument):
        rewrite("SELECT " + "(" * 5_000 + "a" + ")" * 5_000 + " FROM t", TABLES)
    with pytest.raises(MalformedDocument, match="longer"):
        rewrite("SELECT a FROM t" + " " * MAX_QUERY_BYTES, TABLES)


def test_closed_list_holds_no_kind_of_query_but_select() -> None:
    dangerous = (
        exp.Command,
        exp.DDL,
        exp.DML,
        exp.Create,
        exp.Copy,
        exp.Attach,
        exp.Set,
        exp.Pragma,
        exp.UDTF,
    )
    assert not [node for node in ALLOWED_NODES if issubclass(node, dangerous)
                and not issubclass(node, exp.Query) and node is not exp.Lateral]  # fmt: skip
    assert exp.Anonymous not in ALLOWED_NODES
