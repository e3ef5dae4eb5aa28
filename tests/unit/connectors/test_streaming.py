"""Rows leave a source batch by batch: what is held at a time does not grow with the table."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from connectors.locked_database import Limits
from connectors.sources import open_source
from records.errors import LimitExceeded

ROWS = 2_000_000
BOUND_BYTES = 24 << 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "rows.parquet"
    part = pa.table({"a": range(50_000), "b": [float(i) for i in range(50_000)], "c": ["x" * 20] * 50_000})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(ROWS // part.num_rows):
            writer.write_table(part)
    return path


def test_two_million_rows_pass_through_a_bounded_memory(path: Path) -> None:
    # 88 MB of rows; the engine has 64 MiB, Arrow is measured at every batch.
    source = open_source(path, limits=Limits(memory_mib=64, threads=1, result_mib=1))
    before_bytes = pa.total_allocated_bytes()
    rows, total, largest_bytes = 0, 0, 0
    for batch in source.execute_batches("SELECT a, b, c FROM t WHERE b >= 0", "t"):
        rows += batch.num_rows
        total += pc.sum(batch.column(0)).as_py() or 0
        largest_bytes = max(largest_bytes, batch.nbytes + pa.total_allocated_bytes() - before_bytes)
    assert rows == ROWS
    assert total == ROWS // 50_000 * sum(range(50_000))
    assert largest_bytes < BOUND_BYTES
    # The control: collected, the same rows pass any such bound.
    with pytest.raises(LimitExceeded):
        source.execute("SELECT a, b, c FROM t WHERE b >= 0", "t")


def test_time_of_the_caller_does_not_count(path: Path) -> None:
    source = open_source(path, limits=Limits(memory_mib=64))
    rows = 0
    for batch in source.execute_batches(
        "SELECT a FROM t LIMIT 200000", "t", timeout_s=0.5, batch_rows=50_000
    ):
        rows += batch.num_rows
        time.sleep(0.2)
    assert rows == 200_000
