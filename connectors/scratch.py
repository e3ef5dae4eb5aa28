"""SQL over nothing but tables that are handed in: an empty, locked database that is gone afterwards.

For what is no provider's data at rest: the types of an expression, and the last step on a released table.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping

import duckdb
import pyarrow as pa

from connectors.locked_database import Limits, open_database
from records.errors import InputError, MalformedDocument

DESCRIBED = 4096
_LOCK = threading.Lock()


@functools.lru_cache(maxsize=DESCRIBED)
def describe(sql: str) -> tuple[tuple[str, str], ...]:
    """Return (name, DuckDB's type) of the outputs of a query that names no table.

    Raises:
        MalformedDocument: DuckDB cannot bind it.
    """
    try:
        with _LOCK:
            described = _empty_database().execute(f"DESCRIBE {sql}").fetchall()
    except duckdb.Error:
        # DuckDB's words quote the query.
        raise MalformedDocument(
            "the query brings values of different types together, or asks a function for a type that it does"
            " not take; cast them"
        ) from None
    return tuple((str(name), str(kind)) for name, kind, *_ in described)


def evaluate(sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the result of a query over tables by name.

    Raises:
        InputError: it cannot be computed; the message is constant.
    """
    try:
        with open_database(Limits(threads=1)) as connection:
            for name, table in tables.items():
                connection.register(name, table)
            return connection.sql(sql).to_arrow_table()
    except (duckdb.Error, pa.ArrowException):
        raise InputError("an expression over the tables cannot be computed") from None


@functools.cache
def _empty_database() -> duckdb.DuckDBPyConnection:
    return open_database(Limits(memory_mib=64, threads=1))
