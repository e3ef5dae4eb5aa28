"""Rows that cannot be computed, against what tells of them: TRY has to stay around all that may fail.

DuckDB's optimiser takes parts that occur twice, and lists of IN, out of TRY; there they fail, and whether a
query fails is an answer about rows. Each attack has a control: DuckDB with its default settings, where it
works. PostgreSQL has no TRY, and must not need one.
"""

# ruff: noqa: S608 - the queries are the attack

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pytest

from connectors import local_query
from connectors.connector import Connector
from connectors.sources import open_source
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

MOST = (1 << 63) - 1
ROWS = pa.table({"a": pa.array([0, MOST], pa.int64()), "b": pa.array([1, 1], pa.int64())})
ATTACKS = {
    "twice": "(a + b) * (a + b)",
    "between": "a + b BETWEEN 1 AND 5",
    "list": "a + b IN (1, 2)",
    "long-list": "a + b IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    "branch": "CASE WHEN a + b IN (1, 2) THEN 1 END",
}


@pytest.fixture(scope="module", params=["memory", "postgresql"])
def source(request: pytest.FixtureRequest) -> Iterator[Connector]:
    if request.param == "memory":
        yield open_source(ROWS)
    else:
        with running_server() as uri:
            place = PostgresqlPlace(uri)
            place.write(ROWS)
            yield place.open()


@pytest.mark.parametrize("expression", ATTACKS.values(), ids=ATTACKS)
def test_row_that_fails_is_null(expression: str, source: Connector) -> None:
    query = f"SELECT TRY({expression}) AS v FROM t ORDER BY a"
    values = [row["v"] for row in local_query.execute(query, {"t": source}).to_pylist()]
    assert values[0] in (1, True)
    assert values[1] is None


@pytest.mark.parametrize("expression", ATTACKS.values(), ids=ATTACKS)
def test_control_such_a_row_is_an_error(expression: str) -> None:
    with duckdb.connect() as plain:
        plain.from_arrow(ROWS).create("t")
        with pytest.raises(duckdb.OutOfRangeException, match=str(MOST)):
            plain.execute(f"SELECT TRY({expression}) AS v FROM t ORDER BY a")
