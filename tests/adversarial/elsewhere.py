"""Attacks that have test files of their own: on the wire, and in SQL pushed to a provider's engine."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from records.errors import InputError
from tests.adversarial.attack import Attack
from tests.adversarial.test_connector_sql import ATTACKS as PUSHED
from tests.adversarial.test_connector_sql import PLANTED, ROWS, opened
from tests.adversarial.walls import got_through
from tests.adversarial.wire_attacks import ATTACKS as WIRE


def over_the_wire(name: str, defended: bool) -> bool:
    """Try an attack on the mTLS servers."""
    return asyncio.run(WIRE[name](defended))


def in_pushed_sql(query: str, defended: bool) -> bool:
    """Run `query` at a provider's source; the control is DuckDB as it comes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _plant(folder)
        text = query.replace("{dir}", name)
        if defended:
            return got_through(lambda: opened(folder).execute(text, "t"), InputError, "")
        connection = duckdb.connect()
        connection.register("arrow_rows", ROWS)
        connection.execute("CREATE TABLE t AS SELECT * FROM arrow_rows")
        connection.execute(text)
        return True


def _plant(folder: Path) -> None:
    (folder / "other.csv").write_text(f"s\n{PLANTED}\n{PLANTED}\n")
    (folder / "rows.csv").write_text("a,n\nz,3\n")
    pq.write_table(ROWS, folder / "other.parquet")
    pq.write_table(ROWS, folder / "product.parquet")
    duckdb.connect(str(folder / "other.db")).close()


ATTACKS = (
    *(Attack(name.replace("_", "-"), "wire", functools.partial(over_the_wire, name)) for name in WIRE),
    *(Attack(each.name, "pushed SQL", functools.partial(in_pushed_sql, each.sql)) for each in PUSHED),
)
