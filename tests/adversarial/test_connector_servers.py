"""SQL pushed to PostgreSQL, to a DuckDB file and to an object store, against what lies beside the rows.

Each attack has a control: the same text on the raw engine, where it works. The walls behind the closed list
(read-only session, own schema path, allowed paths) are attacked a second time by themselves.
"""

# ruff: noqa: S608 - the queries are the attack

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from connectors.connector import Connector
from connectors.duckdb_source import DuckdbSource
from connectors.locked_database import TimeLimit
from connectors.object_store import ObjectFile
from connectors.postgresql_source import PostgresqlDatabase, PostgresqlTable
from connectors.sources import DuckdbTable, open_source
from records.errors import InputError, SourceUnreadable, UsufructError
from tests.unit.connectors.object_server import BUCKET, running_store
from tests.unit.connectors.postgresql_server import running_server

PLANTED = "topsecret"
ATTACKS = {
    "read-file": "SELECT pg_read_file('{dir}/planted.txt') FROM t",
    "read-binary-file": "SELECT length(pg_read_binary_file('{dir}/planted.txt')) FROM t",
    "list-folder": "SELECT pg_ls_dir('{dir}') FROM t",
    "stat-file": "SELECT (pg_stat_file('{dir}/planted.txt')).size FROM t",
    "import-file": "SELECT lo_import('{dir}/planted.txt') FROM t",
    "copy-out": "COPY t TO '{dir}/out.csv'",
    "copy-program": "COPY t TO PROGRAM 'cat > /dev/null'",
    "copy-in": "COPY t (a) FROM '{dir}/planted.txt'",
    "sleep": "SELECT pg_sleep(0.01) FROM t",
    "setting": "SELECT current_setting('data_directory') FROM t",
    "set-setting": "SELECT set_config('search_path', 'public', false) FROM t",
    "other-table": "SELECT s FROM other",
    "other-schema": "SELECT s FROM public.other",
    "other-table-in-sub-query": "SELECT (SELECT max(s) FROM other) FROM t",
    "other-table-in-join": "SELECT other.s FROM t JOIN other ON true",
    "catalogue": "SELECT relname FROM pg_catalog.pg_class",
    "bare-catalogue": "SELECT rolname FROM pg_roles",
    "information-schema": "SELECT table_name FROM information_schema.tables",
    "query-as-text": "SELECT word FROM ts_stat('SELECT to_tsvector(s) FROM other')",
    "own-function": "SELECT public.planted() FROM t",
    "own-function-unqualified": "SELECT planted() FROM t",
    "second-statement": "SELECT a FROM t; DROP TABLE IF EXISTS victim",
    "delete-in-named-sub-query": "WITH d AS (DELETE FROM victim RETURNING s) SELECT s FROM d",
    "insert": "INSERT INTO victim SELECT a FROM t",
    "select-into": "SELECT a INTO TEMPORARY stolen FROM t",
    "lock": "SELECT a FROM t FOR UPDATE",
    "system-column": "SELECT ctid FROM t",
    "whole-row": "SELECT t FROM t",
    "user": "SELECT current_user FROM t",
    "do-block": "DO $$ BEGIN PERFORM 1; END $$",
    "range": "SELECT i FROM generate_series(1, 3) AS i",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as uri:
        with psycopg.connect(uri) as connection:
            connection.execute("CREATE TABLE t AS SELECT 'x' AS a, 1::bigint AS n")
            connection.execute("CREATE TABLE other AS SELECT 'topsecret' AS s")
            connection.execute("CREATE TABLE victim AS SELECT 'x' AS s")
            connection.execute(
                "CREATE FUNCTION planted() RETURNS text LANGUAGE sql AS $$SELECT 'topsecret'$$"
            )
        yield uri


@pytest.fixture(scope="module")
def source(server: str) -> Connector:
    return open_source(PostgresqlTable("t", dsn=server))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="usufruct-planted-") as name:
        (Path(name) / "planted.txt").write_text(f"{PLANTED}\n")
        # The server may run as another user; the control needs the folder to be in its reach.
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize("attack", ATTACKS)
class TestPostgresql:
    def test_control_the_server_runs_it(self, attack: str, server: str, folder: Path) -> None:
        with psycopg.connect(server) as connection:
            connection.execute(ATTACKS[attack].replace("{dir}", str(folder)).encode())
            connection.rollback()

    def test_source_refuses_it(self, attack: str, source: Connector, folder: Path) -> None:
        with pytest.raises(InputError) as caught:
            source.execute(ATTACKS[attack].replace("{dir}", str(folder)), "t")
        assert PLANTED not in str(caught.value)
        assert str(folder) not in str(caught.value)
        assert source.execute("SELECT * FROM t", "t").to_pylist() == [{"a": "x", "n": 1}]


class TestBehindTheListOfPostgresql:
    @pytest.mark.parametrize("write", ["DELETE FROM public.victim", "CREATE TABLE public.u AS SELECT 1 AS a"])
    def test_session_writes_nothing(self, write: str, server: str) -> None:
        with psycopg.connect(server) as control:
            control.execute(write.encode())
            control.rollback()
        database = PostgresqlDatabase(server)
        with (
            database.session(TimeLimit(5)) as connection,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute(write.encode())

    def test_function_of_the_schema_does_not_stand_in_for_a_built_in_one(self, server: str) -> None:
        with psycopg.connect(server) as connection:
            connection.execute(
                "CREATE SCHEMA trap; CREATE FUNCTION trap.abs(bigint) RETURNS bigint LANGUAGE sql AS"
                " $$SELECT 666::bigint$$"
            )
            connection.execute("SET search_path = trap, pg_catalog")
            assert connection.execute("SELECT abs(n) FROM public.t").fetchone() == (666,)
        trapped = f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3Dtrap,pg_catalog"
        source = open_source(PostgresqlTable("t", dsn=trapped))
        assert source.execute("SELECT abs(n) AS v FROM t", "t").to_pylist() == [{"v": 1}]

    def test_error_text_holds_no_value(self, server: str) -> None:
        with psycopg.connect(server) as connection:
            connection.execute("CREATE TABLE large AS SELECT 9223372036854775807 AS n, 'topsecret' AS s")
            with pytest.raises(psycopg.Error, match="topsecret"):
                connection.execute("SELECT CAST(s AS bigint) FROM large")
            connection.rollback()
            connection.execute("CREATE TABLE large AS SELECT 9223372036854775807 AS n, 'topsecret' AS s")
        source = open_source(PostgresqlTable("large", dsn=server))
        with pytest.raises(SourceUnreadable) as caught:
            source.execute("SELECT n + 1 AS v FROM t", "t")
        assert caught.value.__cause__ is None
        assert "9223372036854775807" not in str(caught.value)

    def test_literal_with_a_backslash_stays_one_literal(self, server: str) -> None:
        payload = "\\'; DROP TABLE victim; --"
        unsafe = f"SELECT '{payload}"
        with psycopg.connect(server) as connection:
            connection.execute("SET standard_conforming_strings = off")
            with pytest.raises(psycopg.Error):
                connection.execute(unsafe.encode())
        loose = f"{server}{'&' if '?' in server else '?'}options=-cstandard_conforming_strings%3Doff"
        source = open_source(PostgresqlTable("t", dsn=loose))
        literal = payload.replace("'", "''")
        assert source.execute(f"SELECT '{literal}' AS v FROM t", "t").to_pylist() == [{"v": payload}]


class TestDuckdbFile:
    @pytest.fixture(scope="class")
    @classmethod
    def file(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("database") / "shop.duckdb"
        with duckdb.connect(str(path)) as database:
            database.execute(
                "CREATE TABLE orders AS SELECT 1 AS a; CREATE TABLE other AS SELECT 'topsecret' AS s"
            )
            database.execute(
                "CREATE VIEW shown AS SELECT * FROM other; CREATE MACRO planted() AS 'topsecret'"
            )
        return path

    @pytest.mark.parametrize(
        "query",
        [
            "SELECT s FROM attached.main.other",
            "SELECT s FROM attached.other",
            "SELECT attached.main.planted() FROM t",
            "SELECT (SELECT max(s) FROM attached.other) FROM t",
        ],
    )
    def test_other_tables_of_the_file_are_out_of_reach(self, query: str, file: Path) -> None:
        source = open_source(DuckdbTable(file, "orders"))
        assert isinstance(source, DuckdbSource)
        control = source._connection.cursor().execute(query.replace("FROM t", "FROM product AS t")).fetchall()
        assert control == [(PLANTED,)]
        with pytest.raises(InputError):
            source.execute(query, "t")
        source.close()

    @pytest.mark.parametrize("table", ["shown", "nosuch", 'orders" CROSS JOIN "other', "duckdb_tables()"])
    def test_only_a_table_is_offered(self, table: str, file: Path) -> None:
        with pytest.raises(SourceUnreadable, match="no such table"):
            open_source(DuckdbTable(file, table))

    def test_file_cannot_be_written_through_the_source(self, file: Path) -> None:
        source = open_source(DuckdbTable(file, "orders"))
        assert isinstance(source, DuckdbSource)
        with pytest.raises(duckdb.Error):
            source._connection.cursor().execute("DELETE FROM attached.main.orders")
        source.close()

    def test_changes_beside_the_file_are_not_overlooked(self, file: Path, tmp_path: Path) -> None:
        path = tmp_path / "shop.duckdb"
        path.write_bytes(file.read_bytes())
        open_source(DuckdbTable(path, "orders")).close()
        path.with_name("shop.duckdb.wal").write_bytes(b"x")
        with pytest.raises(SourceUnreadable, match="CHECKPOINT"):
            open_source(DuckdbTable(path, "orders"))


class TestObjectStore:
    def test_other_objects_and_the_credentials_are_out_of_reach(self) -> None:
        with running_store() as options:
            filesystem = S3FileSystem(**options)
            for name, rows in {"rows": {"a": [1]}, "other": {"s": [PLANTED]}}.items():
                with filesystem.open(f"{BUCKET}/{name}.parquet", "wb") as file:
                    pq.write_table(pa.table(rows), file)
            query = f"SELECT s FROM read_parquet('s3://{BUCKET}/other.parquet')"
            control = duckdb.connect()
            control.register_filesystem(filesystem)
            assert control.execute(query).fetchall() == [(PLANTED,)]
            source = open_source(ObjectFile(f"s3://{BUCKET}/rows.parquet", options))
            assert isinstance(source, DuckdbSource)
            with pytest.raises(UsufructError):
                source.execute(query, "t")
            with pytest.raises(duckdb.Error):
                source._connection.cursor().execute(query)
            assert source._connection.execute("SELECT count(*) FROM duckdb_secrets()").fetchall() == [(0,)]
            source.close()
