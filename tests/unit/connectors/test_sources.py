"""Files that change, rows in memory, limits: what the contract of all sources does not cover."""

# ruff: noqa: S608, DTZ001 - TIMESTAMP has no zone; queries are put together to be checked by the code under test

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from connectors.connector import Column
from connectors.locked_database import Limits
from connectors.sources import open_source
from records.errors import LimitExceeded, SourceUnreadable
from tests.unit.connectors.places import write_file

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


def file_of(table: pa.Table, kind: str, directory: Path) -> Path:
    path = directory / f"rows.{kind}"
    write_file(table, path)
    return path


def test_large_result_is_refused() -> None:
    source = open_source(ROWS, limits=Limits(memory_mib=128, result_mib=1))
    cross = ", ".join(f"t AS t{i}" for i in range(9))
    with pytest.raises(LimitExceeded, match="1 MiB"):
        source.execute(f"SELECT t0.Id FROM {cross}", "t")


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
