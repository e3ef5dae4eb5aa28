"""SQL pushed to a provider's engine, against what lies around the rows: files, settings, time, error texts.

Each attack has a control: plain DuckDB with default settings, where it works. Attacks on the file system are
tried a second time behind the first wall, on the locked database itself.
"""

# ruff: noqa: S608 - the queries are the attack

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.duckdb_source import DuckdbSource
from connectors.sources import open_source
from records.errors import InputError, LimitExceeded, SourceUnreadable, UsufructError

PLANTED = "topsecret"
ROWS = pa.table({"a": ["x", PLANTED], "n": [1, 2]})


@dataclass(frozen=True, slots=True)
class Attack:
    """A pushed query in which `{dir}` is a folder with the planted file `other.csv`."""

    name: str
    sql: str
    touches_files: bool


ATTACKS = (
    Attack("read-csv", "SELECT * FROM read_csv('{dir}/other.csv')", True),
    Attack("read-text", "SELECT content FROM read_text('{dir}/other.csv')", True),
    Attack("read-blob", "SELECT content FROM read_blob('{dir}/other.csv')", True),
    Attack("read-parquet", "SELECT * FROM read_parquet('{dir}/other.parquet')", True),
    Attack("parquet-metadata", "SELECT * FROM parquet_metadata('{dir}/other.parquet')", True),
    Attack("glob", "SELECT * FROM glob('{dir}/*')", True),
    Attack("sniff-csv", "SELECT * FROM sniff_csv('{dir}/other.csv')", True),
    Attack("file-as-table", "SELECT * FROM '{dir}/other.csv'", True),
    Attack("file-as-quoted-table", 'SELECT * FROM "{dir}/other.csv"', True),
    Attack("file-in-sub-query", "SELECT (SELECT max(s) FROM '{dir}/other.csv') FROM t", True),
    Attack("file-in-named-sub-query", "WITH u AS (SELECT * FROM '{dir}/other.csv') SELECT * FROM u", True),
    Attack("file-in-union", "SELECT a FROM t UNION ALL SELECT s FROM '{dir}/other.csv'", True),
    Attack("file-in-join", "SELECT o.s FROM t JOIN '{dir}/other.csv' AS o ON true", True),
    Attack("file-in-filter", "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM '{dir}/other.csv')", True),
    Attack("copy-out", "COPY t TO '{dir}/out.csv'", True),
    Attack("copy-query-out", "COPY (SELECT a FROM t) TO '{dir}/out.parquet'", True),
    Attack("copy-in", "COPY t FROM '{dir}/rows.csv'", True),
    Attack("export", "EXPORT DATABASE '{dir}/dump'", True),
    Attack("attach", "ATTACH '{dir}/other.db' AS other", True),
    Attack("second-statement", "SELECT a FROM t; ATTACH '{dir}/more.db' AS more", True),
    Attack("set", "SET threads = 8", False),
    Attack("reset", "RESET threads", False),
    Attack("pragma", "PRAGMA version", False),
    Attack("load", "LOAD json", False),
    Attack("call", "CALL pragma_version()", False),
    Attack("create", "CREATE TABLE u AS SELECT a FROM t", False),
    Attack("create-macro", "CREATE MACRO f() AS 1", False),
    Attack("insert", "INSERT INTO t SELECT * FROM t", False),
    Attack("update", "UPDATE t SET n = 0", False),
    Attack("delete", "DELETE FROM t", False),
    Attack("drop", "DROP TABLE t", False),
    Attack("explain", "EXPLAIN ANALYZE SELECT a FROM t", False),
    Attack("describe", "DESCRIBE t", False),
    Attack("summarize", "SUMMARIZE t", False),
    Attack("settings", "SELECT * FROM duckdb_settings()", False),
    Attack("views", "SELECT sql FROM duckdb_views()", False),
    Attack("catalogue", "SELECT * FROM information_schema.tables", False),
    Attack("bare-catalogue", "SELECT * FROM sqlite_master", False),
    Attack(
        # The Kelvin sign: Python's `lower` makes it a k, DuckDB does not.
        "catalogue-behind-a-kelvin-sign",
        'WITH "duc\u212adb_views" AS (SELECT a FROM t) SELECT sql AS sql FROM duckdb_views',
        False,
    ),
    Attack("current-setting", "SELECT current_setting('memory_limit') FROM t", False),
    Attack("session-variable", 'SELECT "current_user" FROM t', False),
    Attack("query-function", "SELECT * FROM query('SELECT 1')", False),
    Attack("query-table", "SELECT * FROM query_table('t')", False),
    Attack("row-number", "SELECT rowid FROM t", False),
    Attack("whole-row", "SELECT t FROM t", False),
    Attack("range", "SELECT * FROM range(10)", False),
    Attack("prepare", "PREPARE p AS SELECT 1", False),
)


@pytest.fixture(scope="module")
def kept_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "other.csv").write_text(f"s\n{PLANTED}\n{PLANTED}\n")
    (folder / "rows.csv").write_text("a,n\nz,3\n")
    pq.write_table(ROWS, folder / "other.parquet")
    duckdb.connect(str(folder / "other.db")).close()
    pq.write_table(ROWS, folder / "product.parquet")
    return folder


@pytest.fixture(scope="module")
def source(kept_folder: Path) -> DuckdbSource:
    return opened(kept_folder)


@pytest.fixture
def folder(kept_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept_folder, tmp_path / "copy")


def opened(folder: Path) -> DuckdbSource:
    source = open_source(folder / "product.parquet")
    assert isinstance(source, DuckdbSource)
    return source


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
class TestForbiddenConstructs:
    def test_control_plain_duckdb_runs_it(self, attack: Attack, folder: Path) -> None:
        connection = duckdb.connect()
        connection.register("arrow_rows", ROWS)
        connection.execute("CREATE TABLE t AS SELECT * FROM arrow_rows")
        connection.execute(attack.sql.replace("{dir}", str(folder)))

    def test_source_refuses_it(self, attack: Attack, source: DuckdbSource, kept_folder: Path) -> None:
        before = sorted(kept_folder.iterdir())
        with pytest.raises(InputError) as caught:
            source.execute(attack.sql.replace("{dir}", str(kept_folder)), "t")
        assert PLANTED not in str(caught.value)
        assert str(kept_folder) not in str(caught.value)
        assert sorted(kept_folder.iterdir()) == before
        assert source.execute("SELECT * FROM t", "t").equals(ROWS)


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.touches_files], ids=lambda attack: attack.name)
class TestSecondWall:
    def test_locked_database_refuses_files_by_itself(
        self, attack: Attack, source: DuckdbSource, kept_folder: Path
    ) -> None:
        before = sorted(kept_folder.iterdir())
        cursor = source._connection.cursor()
        cursor.execute("CREATE TEMP TABLE t AS SELECT * FROM product")
        with pytest.raises(duckdb.Error):
            cursor.execute(attack.sql.replace("{dir}", str(kept_folder)))
        assert sorted(kept_folder.iterdir()) == before


class TestLockedDatabase:
    @pytest.mark.parametrize(
        "setting",
        [
            "SET allowed_directories = ['/']",
            "SET allowed_paths = ['/etc/passwd']",
            "SET lock_configuration = false",
            "SET python_enable_replacements = true",
            "SET temp_directory = '/tmp'",
            "SET memory_limit = '64GiB'",
            "SET autoload_known_extensions = true",
        ],
    )
    def test_configuration_stays(self, setting: str, source: DuckdbSource) -> None:
        duckdb.connect().execute(setting)
        with pytest.raises(duckdb.Error):
            source._connection.cursor().execute(setting)

    def test_external_access_cannot_be_given_back(self, folder: Path) -> None:
        control = duckdb.connect().execute("SELECT current_setting('enable_external_access')")
        assert control.fetchall() == [(True,)]
        with pytest.raises(duckdb.Error):
            opened(folder)._connection.execute("SET enable_external_access = true")

    def test_python_variables_are_not_tables(self, folder: Path) -> None:
        planted = pa.table({"s": [PLANTED]})
        assert duckdb.connect().sql("SELECT s FROM planted").fetchall() == [(planted["s"][0].as_py(),)]
        with pytest.raises(duckdb.CatalogException):
            opened(folder)._connection.sql("SELECT s FROM planted")

    def test_scanned_file_cannot_be_overwritten(self, folder: Path) -> None:
        target = folder / "product.parquet"
        content = target.read_bytes()
        copy = f"COPY (SELECT 1 AS a) TO '{target}' (FORMAT parquet)"
        with pytest.raises(duckdb.Error):
            opened(folder)._connection.execute(copy)
        assert target.read_bytes() == content
        duckdb.connect().execute(copy)
        assert target.read_bytes() != content


class TestErrorOracle:
    QUERIES = ("SELECT CAST(a AS BIGINT) AS v FROM {t}", "SELECT CAST(n * 100 AS TINYINT) AS v FROM {t}")

    @pytest.mark.parametrize("query", QUERIES)
    def test_error_texts_hold_no_value(self, query: str, folder: Path) -> None:
        with pytest.raises(duckdb.Error) as control:
            duckdb.connect().execute(query.format(t=f"'{folder / 'product.parquet'}' WHERE n = 2"))
        assert PLANTED in str(control.value) or "200" in str(control.value)
        with pytest.raises(SourceUnreadable) as caught:
            opened(folder).execute(query.format(t="t WHERE n = 2"), "t")
        assert PLANTED not in str(caught.value)
        assert "200" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_damaged_csv_is_not_quoted(self, folder: Path) -> None:
        path = folder / "damaged.csv"
        path.write_text(f"a,b\n1,2\n{PLANTED},3,4\n")
        with pytest.raises(duckdb.Error) as control:
            duckdb.connect().execute(
                f"SELECT * FROM read_csv('{path}', columns = {{'a': 'INT', 'b': 'INT'}},"
                " auto_detect = false, header = true)"
            )
        assert PLANTED in str(control.value)
        with pytest.raises(SourceUnreadable) as caught:
            open_source(path)
        assert PLANTED not in str(caught.value)


class TestStolenTime:
    QUERY = (
        f"SELECT count(*) FROM {', '.join(f't AS t{i}' for i in range(40))}"
        f" WHERE {' + '.join(f'sqrt(t{i}.n)' for i in range(40))} > 50"
    )

    def test_control_plain_duckdb_does_not_come_back(self) -> None:
        connection = duckdb.connect()
        connection.register("arrow_rows", ROWS)
        connection.execute("CREATE TABLE t AS SELECT * FROM arrow_rows")
        timer = threading.Timer(0.6, connection.interrupt)
        timer.start()
        with pytest.raises(duckdb.InterruptException):
            connection.execute(self.QUERY)
        timer.join()

    def test_source_gives_up_at_its_limit(self, folder: Path) -> None:
        begin_s = time.monotonic()
        with pytest.raises(LimitExceeded):
            opened(folder).execute(self.QUERY, "t", timeout_s=0.3)
        assert time.monotonic() - begin_s < 3


class TestSwappedFile:
    def test_rows_put_in_after_registration_are_not_read(self, folder: Path) -> None:
        path = folder / "product.parquet"
        plain = duckdb.connect()
        plain.execute(f"CREATE VIEW t AS SELECT * FROM '{path}'")
        source = opened(folder)
        pq.write_table(pa.table({"a": ["forged"], "n": [9]}), path)
        assert plain.execute("SELECT a FROM t").fetchall() == [("forged",)]
        with pytest.raises(UsufructError, match="changed"):
            source.execute("SELECT a FROM t", "t")
