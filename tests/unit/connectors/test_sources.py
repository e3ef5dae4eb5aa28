"""One test class for every kind of source: the same rows give the same schema, answers and refusals."""

# ruff: noqa: S608, DTZ001 - TIMESTAMP has no zone; queries are put together to be checked by the code under test

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from connectors.connector import Column, Connector
from connectors.duckdb_source import Limits
from connectors.sources import open_source
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    SourceUnreadable,
    StateConflict,
    UnknownObject,
)

KINDS = ("csv", "tsv", "parquet", "arrow", "feather", "table", "frame")
ROWS = pa.table(
    {
        "Id": pa.array([1, 2, 3, 4], pa.int64()),
        "name": pa.array(["ada", "it's", "a,b", None]),
        "delay": pa.array([1.5, None, -2.0, 40.0]),
        "day": pa.array([datetime.date(2013, 1, day) for day in (1, 2, 3, 4)]),
        "seen": pa.array(
            [datetime.datetime(2013, 1, 1, 5, minute) for minute in range(4)], pa.timestamp("us")
        ),
        "late": pa.array([True, False, None, True]),
    }
)
COLUMNS = (
    Column("Id", "BIGINT"),
    Column("name", "VARCHAR"),
    Column("delay", "DOUBLE"),
    Column("day", "DATE"),
    Column("seen", "TIMESTAMP"),
    Column("late", "BOOLEAN"),
)


def file_of(table: pa.Table, kind: str, directory: Path) -> Path:
    path = directory / f"rows.{kind}"
    match kind:
        case "csv" | "tsv":
            pa.csv.write_csv(table, path, pa.csv.WriteOptions(delimiter="," if kind == "csv" else "\t"))
        case "parquet":
            pq.write_table(table, path)
        case "arrow":
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
        case "feather":
            pa.feather.write_feather(table, path)
    return path


def offered(table: pa.Table, kind: str, directory: Path) -> Path | pa.Table | pd.DataFrame:
    match kind:
        case "table":
            return table
        case "frame":
            return table.to_pandas()
    return file_of(table, kind, directory)


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connector]:
    directory = tmp_path_factory.mktemp("source")
    source = open_source(offered(ROWS, request.param, directory), limits=Limits(memory_mib=128))
    yield source
    source.close()


class TestEverySource:
    def test_schema_has_closed_types_and_the_names_of_the_source(self, source: Connector) -> None:
        assert source.schema() == COLUMNS

    def test_all_rows_come_back_in_order(self, source: Connector) -> None:
        assert source.execute("SELECT * FROM flights", "flights").equals(ROWS)

    def test_names_match_whatever_their_case(self, source: Connector) -> None:
        result = source.execute('SELECT ID, "NAME" FROM Flights WHERE iD = 2', "flights")
        assert [list(row.values()) for row in result.to_pylist()] == [[2, "it's"]]

    def test_aggregates_skip_nulls(self, source: Connector) -> None:
        query = "SELECT count(*) AS n, count(delay) AS known, sum(Id) AS total, avg(delay) AS mean FROM t"
        result = source.execute(query, "t")
        assert result.to_pylist() == [{"n": 4, "known": 3, "total": 10, "mean": 39.5 / 3}]
        assert result.schema.field("total").type == pa.decimal128(38, 0)

    def test_small_types_of_results_are_widened(self, source: Connector) -> None:
        result = source.execute("SELECT CAST(Id AS TINYINT) AS i, CAST(delay AS FLOAT) AS f FROM t", "t")
        assert result.schema.types == [pa.int64(), pa.float64()]

    def test_sub_query_window_and_named_sub_query_work(self, source: Connector) -> None:
        query = (
            "WITH ranked AS (SELECT Id, row_number() OVER (PARTITION BY late ORDER BY Id) AS place FROM t)"
            " SELECT r.Id AS i FROM ranked AS r JOIN t ON r.Id = t.Id WHERE place = 1"
            " AND t.Id IN (SELECT Id FROM t WHERE late IS NOT NULL) ORDER BY 1"
        )
        assert source.execute(query, "t").column("i").to_pylist() == [1, 2]

    def test_no_rows_give_an_empty_table_with_types(self, source: Connector) -> None:
        result = source.execute("SELECT Id, day FROM t WHERE false", "t")
        assert result.num_rows == 0
        assert result.schema.types == [pa.int64(), pa.date32()]

    def test_only_the_given_table_name_is_visible(self, source: Connector) -> None:
        for other in ("flights", "product", "main.product", "rows", "information_schema.tables"):
            with pytest.raises(NotPermitted):
                source.execute(f"SELECT * FROM {other}", "t")

    def test_unknown_column_is_refused(self, source: Connector) -> None:
        for name in ("nosuch", "rowid", "filename", "file_row_number", "t", '"current_user"'):
            with pytest.raises(UnknownObject):
                source.execute(f"SELECT {name} FROM t", "t")

    def test_query_that_does_not_fit_the_types_is_malformed(self, source: Connector) -> None:
        with pytest.raises(MalformedDocument):
            source.execute("SELECT sum(name) FROM t", "t")
        with pytest.raises(MalformedDocument, match="INTERVAL"):
            source.execute("SELECT max(seen) - min(seen) FROM t", "t")

    def test_errors_that_depend_on_rows_are_one_and_silent(self, source: Connector) -> None:
        texts = set()
        for value in ("CAST(name AS BIGINT)", "Id * 9223372036854775807", "CAST(Id * 100 AS TINYINT)"):
            with pytest.raises(SourceUnreadable) as caught:
                source.execute(f"SELECT {value} FROM t", "t")
            assert caught.value.__suppress_context__
            texts.add(str(caught.value))
        assert len(texts) == 1

    def test_slow_query_is_interrupted_and_the_source_stays_usable(self, source: Connector) -> None:
        tables = [f"t{i}" for i in range(20)]
        query = (
            f"SELECT count(*) FROM {', '.join(f't AS {name}' for name in tables)}"
            f" WHERE {' + '.join(f'sqrt({name}.Id)' for name in tables)} > 30"
        )
        with pytest.raises(LimitExceeded, match="longer"):
            source.execute(query, "t", timeout_s=0.2)
        assert source.execute("SELECT count(*) AS n FROM t", "t").to_pylist() == [{"n": 4}]

    def test_large_result_is_refused(self) -> None:
        source = open_source(ROWS, limits=Limits(memory_mib=128, result_mib=1))
        cross = ", ".join(f"t AS t{i}" for i in range(9))
        with pytest.raises(LimitExceeded, match="1 MiB"):
            source.execute(f"SELECT t0.Id FROM {cross}", "t")

    def test_threads_query_side_by_side(self, source: Connector) -> None:
        totals: list[object] = []

        def ask(divisor: int) -> None:
            query = f"SELECT count(*) AS n FROM t WHERE Id % {divisor} = 0"
            totals.append((divisor, source.execute(query, "t").to_pylist()[0]["n"]))

        threads = [threading.Thread(target=ask, args=(divisor,)) for divisor in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, totals)) == ["(1, 4)", "(2, 2)", "(3, 1)", "(4, 1)"]

    def test_snapshot_counts_rows_and_verifies(self, source: Connector) -> None:
        snapshot = source.snapshot()
        assert snapshot.rows == 4
        assert snapshot.digest.startswith("sha256:")
        source.verify_unchanged(snapshot.digest)

    def test_other_content_is_noticed(self, source: Connector) -> None:
        with pytest.raises(SourceUnreadable, match="changed"):
            source.verify_unchanged("sha256:" + "0" * 64)

    def test_closed_source_answers_no_more(self) -> None:
        source = open_source(ROWS)
        source.close()
        source.close()
        with pytest.raises(StateConflict):
            source.execute("SELECT Id FROM t", "t")


class TestChangedFile:
    @pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
    def test_file_rewritten_after_opening_fails_verification(self, kind: str, tmp_path: Path) -> None:
        path = file_of(ROWS, kind, tmp_path)
        source = open_source(path)
        digest = source.snapshot().digest
        file_of(ROWS.slice(1), kind, tmp_path)
        with pytest.raises(SourceUnreadable, match="changed"):
            source.verify_unchanged(digest)
        with pytest.raises(SourceUnreadable, match="changed"):
            open_source(path).verify_unchanged(digest)

    def test_loaded_file_still_answers_with_what_was_opened(self, tmp_path: Path) -> None:
        source = open_source(file_of(ROWS, "csv", tmp_path))
        file_of(ROWS.slice(1), "csv", tmp_path)
        assert source.execute("SELECT * FROM t", "t").equals(ROWS)

    def test_scanned_file_that_changed_is_not_queried(self, tmp_path: Path) -> None:
        source = open_source(file_of(ROWS, "parquet", tmp_path))
        file_of(ROWS.slice(1), "parquet", tmp_path)
        with pytest.raises(SourceUnreadable, match="changed"):
            source.execute("SELECT count(*) FROM t", "t")

    def test_scanned_file_that_was_only_touched_is_queried(self, tmp_path: Path) -> None:
        path = file_of(ROWS, "parquet", tmp_path)
        source = open_source(path)
        path.chmod(0o600)
        assert source.execute("SELECT * FROM t", "t").equals(ROWS)

    def test_scanned_file_that_vanished_is_not_queried(self, tmp_path: Path) -> None:
        path = file_of(ROWS, "parquet", tmp_path)
        source = open_source(path)
        path.unlink()
        with pytest.raises(SourceUnreadable, match="missing"):
            source.execute("SELECT count(*) FROM t", "t")


class TestRowsInMemory:
    def test_frame_and_table_of_the_same_rows_have_one_digest(self) -> None:
        assert open_source(ROWS).snapshot() == open_source(ROWS.to_pandas()).snapshot()

    def test_frame_is_copied(self) -> None:
        frame = pd.DataFrame({"a": [1, 2, 3]})
        source = open_source(frame)
        frame["a"].to_numpy(copy=False).flags.writeable = True
        frame["a"].array._ndarray[:] = 9
        assert source.execute("SELECT a FROM t", "t").column("a").to_pylist() == [1, 2, 3]

    def test_index_of_a_frame_is_left_out(self) -> None:
        assert open_source(pd.DataFrame({"a": [1]}, index=["secret"])).schema() == (Column("a", "BIGINT"),)

    def test_narrow_and_foreign_types_are_widened(self) -> None:
        zone = datetime.timezone(datetime.timedelta(hours=8))
        moment = datetime.datetime(2020, 1, 1, 8, tzinfo=zone)
        table = pa.table(
            {
                "tiny": pa.array([1], pa.uint8()),
                "unsigned": pa.array([2**32 - 1], pa.uint32()),
                "single": pa.array([0.5], pa.float32()),
                "category": pa.array(["x"]).dictionary_encode(),
                "zoned": pa.array([moment], pa.timestamp("us", "Asia/Shanghai")),
                "nanoseconds": pa.array([1_000], pa.timestamp("ns")),
                "price": pa.array([1], pa.decimal128(9, 2)),
            }
        )
        source = open_source(table)
        assert [column.type for column in source.schema()] == [
            "BIGINT", "BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP", "TIMESTAMP", "DECIMAL(9,2)",
        ]  # fmt: skip
        row = source.execute("SELECT * FROM t", "t").to_pylist()[0]
        assert row["unsigned"] == 2**32 - 1
        assert row["zoned"] == datetime.datetime(2020, 1, 1)
        assert source.execute("SELECT price FROM t", "t").schema.types == [pa.decimal128(9, 2)]

    def test_too_many_rows_for_the_memory_are_refused(self) -> None:
        wide = pa.table({f"c{i}": pa.array(range(i, 100_000 + i)).cast(pa.string()) for i in range(12)})
        with pytest.raises(LimitExceeded, match="memory_mib"):
            open_source(wide, limits=Limits(memory_mib=4, threads=1))
