"""PostgreSQL keeps the contract; its own types, names and connections."""

# ruff: noqa: S608, E501 - names of tables are put into the SQL of the fixture

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from connectors import local_query
from connectors.connector import Connector
from connectors.postgresql_source import PostgresqlTable
from connectors.sources import open_source
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    SourceUnreadable,
    StateConflict,
    UsufructError,
)
from tests.unit.connectors.contract import ROWS, DecimalContract, Places
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as uri:
        yield uri


class TestPostgresql(DecimalContract):
    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, server: str) -> Places:
        return lambda: PostgresqlPlace(server)


def table(server: str, name: str, *statements: str) -> Connector:
    with psycopg.connect(server) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    return open_source(PostgresqlTable(name, dsn=server))


class TestTypes:
    def test_types_of_postgresql_become_closed_ones(self, server: str) -> None:
        source = table(
            server,
            "kinds",
            "CREATE TABLE kinds (a smallint, b integer, c real, d char(4), e varchar(9), f timestamptz,"
            " g numeric(5, 2), h numeric(20))",
            "INSERT INTO kinds VALUES (1, 2, 0.5, 'x', 'y', '2020-01-01 08:00:00+08', 1.25, 7)",
        )
        assert [column.type for column in source.schema()] == [
            "BIGINT", "BIGINT", "DOUBLE", "VARCHAR", "VARCHAR", "TIMESTAMP", "DECIMAL(5,2)", "DECIMAL(20,0)",
        ]  # fmt: skip
        assert list(source.execute("SELECT * FROM t", "t").to_pylist()[0].values()) == [
            1, 2, 0.5, "x", "y", datetime.datetime(2020, 1, 1), Decimal("1.25"), Decimal(7),  # noqa: DTZ001
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "kind", ["numeric", "numeric(50, 2)", "json", "bytea", "integer[]", "time", "uuid"]
    )
    def test_other_types_are_refused_by_name(self, kind: str, server: str) -> None:
        with pytest.raises(SourceUnreadable, match="column `odd` has the type"):
            table(server, "others", "DROP TABLE IF EXISTS others", f"CREATE TABLE others (odd {kind})")

    @pytest.mark.parametrize("value", ["'infinity'::date", "'0044-03-15 BC'::date"])
    def test_value_beyond_arrow_is_one_silent_error(self, value: str, server: str) -> None:
        with pytest.raises(SourceUnreadable, match="could not answer"):
            table(server, "days", "DROP TABLE IF EXISTS days", f"CREATE TABLE days AS SELECT {value} AS day")


class TestMeaning:
    @pytest.mark.parametrize(
        "expression",
        [
            "lower(name)", "upper(name)", "name ILIKE 'A'", "regexp_matches(name, 'a')", "trim(name)",
            "round(x, 1)", "CAST(x AS VARCHAR)", "CAST(x AS DECIMAL(9, 2))", "CAST(name AS BIGINT)",
            "CAST(n AS TINYINT)", "x // 2", "TRY_CAST(name AS DOUBLE)", "TRY(x * x)", "CAST(n > 1 AS BIGINT)",
            "first(name)", "substring(name, n)", "name || n", "log(2, x)",
            "median(day)", "x % 2", "date_diff('hour', day, day)",
        ],
    )  # fmt: skip
    def test_what_postgresql_reads_otherwise_is_refused(self, expression: str, server: str) -> None:
        source = table(
            server, "words", "CREATE TABLE IF NOT EXISTS words (n bigint, x float8, name text, day date)"
        )
        query = f"SELECT {expression} AS v FROM t"
        frame = pa.table({"n": [1], "x": [1.0], "name": ["1"], "day": [datetime.date(2020, 1, 1)]})
        assert open_source(frame).execute(query, "t").num_rows == 1
        with pytest.raises(NotPermitted):
            source.execute(query, "t")

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT greatest(Id, delay, NULL) AS v, least(Id, big) AS w FROM t ORDER BY Id",
            "SELECT count(DISTINCT (Id, late)) FILTER (WHERE Id > 1) AS v FROM t",
            "SELECT count(*) AS v FROM (SELECT row_number() OVER () AS r FROM t) AS u WHERE r <= 3",
            "SELECT * FROM (SELECT * FROM t WHERE Id > 1) AS u ORDER BY Id",
            "SELECT extract(year FROM day) + 1 AS v, extract(epoch FROM seen) AS w FROM t ORDER BY Id",
            "SELECT day - INTERVAL 3 DAY AS v, seen + INTERVAL 2 HOUR AS w FROM t ORDER BY Id",
            "SELECT Id FROM t ORDER BY delay DESC NULLS LAST, Id",
            "SELECT late IS TRUE AS v, late IS NOT TRUE AS w, (Id > 2) IS FALSE AS x FROM t ORDER BY Id",
            "SELECT count(DISTINCT CASE WHEN late THEN Id END) AS v, sum(round(big)) AS w FROM t",
            "SELECT Id FROM t WHERE (Id, late) IN (SELECT Id, late FROM t WHERE Id < 3) ORDER BY Id",
            "SELECT TRY(year(day) * 100 + month(day)) AS v, TRY(length(name) - 1) AS w FROM t ORDER BY Id",
            "SELECT TRY((day - DATE '2013-01-01') * big) AS v FROM t ORDER BY Id",
        ],
    )
    def test_what_plans_push_is_answered_by_postgresql_itself(self, query: str, server: str) -> None:
        place = PostgresqlPlace(server)
        place.write(ROWS)
        with duckdb.connect() as plain:
            plain.from_arrow(ROWS).create("t")
            wanted = plain.execute(query).fetchall()
        assert [tuple(row.values()) for row in place.open().execute(query, "t").to_pylist()] == wanted

    def test_name_that_the_server_would_cut_is_refused(self, server: str) -> None:
        source = table(server, "cut", "CREATE TABLE cut AS SELECT 1 AS a")
        with pytest.raises(NotPermitted, match="63 bytes"):
            source.execute(f"SELECT u.{'x' * 64} FROM (SELECT a AS {'x' * 64} FROM t) AS u", "t")


class TestConnection:
    def test_connection_string_may_stand_in_a_file(self, server: str, tmp_path: Path) -> None:
        table(server, "one", "CREATE TABLE one AS SELECT 1 AS a")
        (tmp_path / "dsn").write_text(server + "\n")
        source = open_source(PostgresqlTable("one", dsn_file=tmp_path / "dsn"))
        assert source.execute("SELECT a FROM t", "t").to_pylist() == [{"a": 1}]

    def test_one_way_to_connect_is_named(self, tmp_path: Path) -> None:
        for place in (PostgresqlTable("t"), PostgresqlTable("t", dsn="", dsn_file=tmp_path)):
            with pytest.raises(MalformedDocument):
                open_source(place)

    @pytest.mark.parametrize(
        "dsn", ["postgresql://u:planted-secret@127.0.0.1:1/db", "nonsense planted-secret"]
    )
    def test_secret_is_not_shown(self, dsn: str) -> None:
        place = PostgresqlTable("t", dsn=dsn)
        assert "planted-secret" not in repr(place)
        with pytest.raises(UsufructError) as caught:
            open_source(place)
        assert "planted-secret" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_missing_table_and_schema(self, server: str) -> None:
        for place in (
            PostgresqlTable("nosuch", dsn=server),
            PostgresqlTable("pg_class", "nosuch", dsn=server),
        ):
            with pytest.raises(SourceUnreadable, match="no such table"):
                open_source(place)


class TestSeveralTables:
    def test_one_database_answers_over_its_tables(self, server: str) -> None:
        orders = table(
            server,
            "orders",
            "CREATE TABLE orders AS SELECT i AS id, i % 3 AS buyer FROM generate_series(1, 9) AS i",
        )
        buyers = table(
            server,
            "buyers",
            "CREATE TABLE buyers AS SELECT i AS id, 'b' || i AS name FROM generate_series(0, 2) AS i",
        )
        assert orders.joint_engine() == buyers.joint_engine()
        query = "SELECT name, count(*) AS n FROM o JOIN b ON o.buyer = b.id GROUP BY name ORDER BY name"
        found = local_query.execute(query, {"o": orders, "b": buyers})
        assert found.to_pylist() == [{"name": f"b{i}", "n": 3} for i in range(3)]
        buyers.close()
        with pytest.raises(StateConflict):
            local_query.execute(query, {"o": orders, "b": buyers})

    def test_a_table_is_joined_with_rows_from_elsewhere(self, server: str) -> None:
        orders = table(
            server,
            "orders2",
            "CREATE TABLE orders2 AS SELECT i AS id, i % 3 AS buyer FROM generate_series(1, 9) AS i",
        )
        names = open_source(pa.table({"id": [0, 1], "name": ["Ada", "Bob"]}))
        # LOWER is refused by PostgreSQL and stays here, like the join.
        query = "SELECT lower(name) AS w, count(*) AS n FROM o, b WHERE buyer = b.id AND o.id > 3 GROUP BY 1 ORDER BY 1"
        found = local_query.execute(query, {"o": orders, "b": names})
        assert found.to_pylist() == [{"w": "ada", "n": 2}, {"w": "bob", "n": 2}]


def test_time_counts_over_all_batches(server: str) -> None:
    source = table(server, "many", "CREATE TABLE many AS SELECT i FROM generate_series(1, 200000) AS i")
    with pytest.raises(LimitExceeded, match="longer"):
        list(source.execute_batches("SELECT i FROM t", "t", timeout_s=0.05, batch_rows=100))
