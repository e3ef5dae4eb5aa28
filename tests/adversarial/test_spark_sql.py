"""SQL pushed to a Spark cluster, against what the cluster can do besides: files, the JVM, scripts, settings.

Each attack has a control: the same text in Spark's own dialect, sent to a session of the same cluster without
the walls, where it works.
"""

# ruff: noqa: S608 - the queries are the attack

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import spark_cluster
from connectors.connector import Connector
from connectors.spark_cluster import QUERY_LOGGERS, SparkCluster
from connectors.spark_source import SparkFile, open_spark
from records.errors import InputError, NotPermitted, SourceUnreadable
from tests.unit.connectors.spark_server import spark_remote

__all__ = ["spark_remote"]

pytest.importorskip("pyspark")

PLANTED = "topsecret"


@dataclass(frozen=True, slots=True)
class Attack:
    """A query in which `{file}` is a planted file; `shows` is what it gives when it works."""

    name: str
    sql: str
    shows: str


ATTACKS = (
    Attack("reflect", "SELECT reflect('java.lang.System', 'getProperty', 'file.separator') AS v FROM t", "/"),
    Attack("java-method", "SELECT java_method('java.lang.Math', 'abs', -7) AS v FROM t", "7"),
    Attack("try-reflect", "SELECT try_reflect('java.lang.Math', 'abs', -7) AS v FROM t", "7"),
    Attack("file-as-table", "SELECT value AS v FROM text.`{file}`", PLANTED),
    Attack("file-in-sub-query", "SELECT (SELECT max(value) FROM text.`{file}`) AS v FROM t", PLANTED),
    Attack("script", "SELECT TRANSFORM (a) USING 'cat {file}' AS (v STRING) FROM t", PLANTED),
    Attack("file-name", "SELECT input_file_name() AS v FROM t", "product.parquet"),
    Attack("settings", "SET spark.master", "spark://"),
    Attack("catalogue", "SHOW TABLES", "t"),
    Attack("row-generator", "SELECT id AS v FROM range(3)", "2"),
    Attack("version", "SELECT version() AS v FROM t", "4."),
)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "other.txt").write_text(f"{PLANTED}\n")
    pq.write_table(pa.table({"a": ["x", PLANTED], "n": [1, 2]}), folder / "product.parquet")
    return folder


@pytest.fixture(scope="module")
def source(spark_remote: str, planted: Path) -> Iterator[Connector]:
    source = open_spark(SparkFile(SparkCluster(spark_remote), str(planted / "product.parquet")))
    yield source
    source.close()


def answered_by_plain_spark(remote: str, planted: Path, sql: str) -> str:
    """Return what Spark as it is gives for `sql` over the product `t`."""
    session_type, _, _ = spark_cluster._pyspark()
    session = session_type(remote)
    try:
        session.read.parquet(str(planted / "product.parquet")).createOrReplaceTempView("t")
        rows = session.sql(sql.replace("{file}", str(planted / "other.txt"))).collect()
        return str([tuple(row) for row in rows])
    finally:
        session.stop()


class TestForbiddenConstructs:
    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
    def test_control_plain_spark_runs_it(self, attack: Attack, spark_remote: str, planted: Path) -> None:
        assert attack.shows in answered_by_plain_spark(spark_remote, planted, attack.sql)

    @pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
    def test_source_refuses_it(self, attack: Attack, source: Connector, planted: Path) -> None:
        with pytest.raises(InputError) as caught:
            source.execute(attack.sql.replace("{file}", str(planted / "other.txt")), "t")
        assert PLANTED not in str(caught.value)


class TestVariablesInLiterals:
    SQL = "SELECT '${env:HOME}' AS v FROM t"

    def test_control_plain_spark_puts_in_the_environment_of_the_server(
        self, spark_remote: str, planted: Path
    ) -> None:
        assert os.environ["HOME"] in answered_by_plain_spark(spark_remote, planted, self.SQL)

    def test_source_leaves_the_literal_as_it_is(self, source: Connector) -> None:
        assert source.execute(self.SQL, "t").column("v").to_pylist() == ["${env:HOME}"] * 2


class TestSecondWall:
    def test_session_of_a_source_reads_no_file_as_a_table(self, spark_remote: str, planted: Path) -> None:
        from pyspark.errors import AnalysisException

        sql = f"SELECT value FROM text.`{planted / 'other.txt'}`"
        assert PLANTED in answered_by_plain_spark(spark_remote, planted, sql)
        with SparkCluster(spark_remote).session() as session, pytest.raises(AnalysisException):
            session.sql(sql).collect()

    def test_named_sub_query_cannot_take_the_place_of_the_table(self, source: Connector) -> None:
        with pytest.raises(NotPermitted):
            source.execute("WITH t AS (SELECT 'forged' AS a) SELECT a FROM t", "t")


class TestErrorOracle:
    SQL = "SELECT CAST(a AS BIGINT) AS v FROM t WHERE n = 2"

    def test_control_plain_spark_quotes_the_value(self, spark_remote: str, planted: Path) -> None:
        from pyspark.errors import PySparkException

        with pytest.raises(PySparkException) as caught:
            answered_by_plain_spark(spark_remote, planted, self.SQL)
        assert PLANTED in str(caught.value)

    @pytest.fixture
    def logged(self, source: Connector) -> Iterator[list[str]]:
        """The texts that reach the handlers of `pyspark`'s loggers of queries."""
        texts: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
        for name in QUERY_LOGGERS:
            logging.getLogger(name).addHandler(handler)
        yield texts
        for name in QUERY_LOGGERS:
            logging.getLogger(name).removeHandler(handler)

    def test_error_and_log_hold_no_value(
        self, source: Connector, logged: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO), pytest.raises(SourceUnreadable) as caught:
            source.execute(self.SQL, "t")
        assert PLANTED not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert logged == []
        assert PLANTED not in caplog.text

    def test_control_the_logger_of_pyspark_writes_the_value(
        self, source: Connector, logged: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in QUERY_LOGGERS:
            monkeypatch.setattr(logging.getLogger(name), "disabled", False)
        monkeypatch.setattr(spark_cluster, "QUERY_LOGGERS", ())
        with pytest.raises(SourceUnreadable):
            source.execute(self.SQL, "t")
        assert PLANTED in "".join(logged)
