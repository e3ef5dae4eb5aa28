"""A table of a PostgreSQL database as a source; needs the extra `postgresql`.

Each query runs on a connection of its own, in one read-only transaction with a server-side cursor, so that
rows arrive batch by batch. Functions are looked up in `pg_catalog` alone: what a schema of the database
defines under the name of a built-in function is not called. The connection string is never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from connectors import column_types, locked_database, postgresql_dialect, pushed_query, snapshots
from connectors.column_types import folded
from connectors.connector import (
    BATCH_ROWS,
    CLOSED,
    DEFAULT_TIMEOUT_S,
    UNANSWERED,
    Column,
    Connector,
    JointEngine,
    Snapshot,
    collect,
)
from connectors.locked_database import Limits, TimeLimit
from connectors.pushed_query import Relation
from records.errors import LimitExceeded, MalformedDocument, NotPermitted, SourceUnreadable, StateConflict

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 10
DIGEST_TIMEOUT_S = 3600.0
UNREACHABLE = "the PostgreSQL database cannot be reached; check its connection string, its rights and its log"
NO_TABLE = "the PostgreSQL database has no such table, or shows it not to this user; check schema and table"
_SESSION = (
    "SET search_path = pg_catalog",
    "SET standard_conforming_strings = on",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET client_encoding = 'UTF8'",
)
_COLUMNS_OF = (
    "SELECT a.attname, t.typname, a.atttypmod FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_type AS t ON t.oid = a.atttypid"
    " WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'm', 'v')"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
_TYPES = {
    "bool": "BOOLEAN",
    "int2": "BIGINT",
    "int4": "BIGINT",
    "int8": "BIGINT",
    "float4": "DOUBLE",
    "float8": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP",
    "text": "VARCHAR",
    "varchar": "VARCHAR",
    "bpchar": "VARCHAR",
}


@dataclass(frozen=True, slots=True)
class PostgresqlTable:
    """A table and how to reach it: `dsn` is a connection string, or stands in the file `dsn_file`.

    A password belongs into that file or into the one that `passfile=` names, not into a command line.
    """

    table: str
    schema: str = "public"
    dsn: str | None = field(default=None, repr=False)
    dsn_file: Path | None = None


@dataclass(frozen=True, slots=True)
class PostgresqlDatabase:
    """A `JointEngine` over the tables of one database."""

    conninfo: str = field(repr=False)

    def execute_batches(
        self, sql: str, tables: Mapping[str, Connector], *, timeout_s: float, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over `tables`, all of this database; see `Connector.execute_batches`."""
        sources = {name: source for name, source in tables.items() if isinstance(source, PostgresqlSource)}
        if any(source.is_closed for source in sources.values()):
            raise StateConflict(CLOSED)
        bound = {
            name: (f"product_{position}", source) for position, (name, source) in enumerate(sources.items())
        }
        relations = {
            name: Relation(relation, tuple(column.name for column in source.schema()))
            for name, (relation, source) in bound.items()
        }
        tree = pushed_query.bind(sql, relations)
        schema = locked_database.result_schema(
            pushed_query.to_text(tree, pushed_query.DIALECT),
            {relation: source.schema() for relation, source in bound.values()},
        )
        text = postgresql_dialect.translate(
            tree, {relation: (source.rows(), source.schema()) for relation, source in bound.values()}
        )
        return self.stream(text, schema, TimeLimit(timeout_s), batch_rows)

    def stream(
        self, text: str, schema: pa.Schema, limit: TimeLimit, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Run `text` of PostgreSQL's dialect and give its rows, at least one batch, as `schema` says."""
        with self.session(limit) as connection, connection.cursor(name="pushed") as cursor:
            yield locked_database.empty_batch(schema)
            with _errors(limit), limit.step():
                cursor.execute(text.encode(), binary=True)
            while True:
                with _errors(limit), limit.step():
                    connection.execute(_timeout(limit))
                    rows = cursor.fetchmany(batch_rows)
                    batch = _batch(rows, schema)
                if not rows:
                    return
                yield batch

    @contextmanager
    def session(self, limit: TimeLimit) -> Iterator[psycopg.Connection[Any]]:
        """Give a connection in a read-only transaction whose statements end within `limit`.

        Raises:
            SourceUnreadable: the database cannot be reached.
        """
        psycopg = _psycopg()
        try:
            connection = psycopg.connect(self.conninfo, connect_timeout=CONNECT_TIMEOUT_S)
        except psycopg.Error:
            raise SourceUnreadable(UNREACHABLE) from None
        try:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with _errors(limit):
                for setting in (*_SESSION, _timeout(limit)):
                    connection.execute(setting)
            yield connection
        finally:
            connection.close()


class PostgresqlSource:
    """A `Connector` over one table of a PostgreSQL database. Queries may run in several threads at a time.

    `snapshot` and `verify_unchanged` read the whole table, ordered by all columns.
    """

    def __init__(self, database: PostgresqlDatabase, schema: str, table: str, limits: Limits) -> None:
        self._database = database
        self._schema_name = schema
        self._table = table
        self._limits = limits
        self.is_closed = False
        limit = TimeLimit(DEFAULT_TIMEOUT_S)
        with database.session(limit) as connection, _errors(limit):
            found = connection.execute(_COLUMNS_OF, (schema, table)).fetchall()
        if not found:
            raise SourceUnreadable(NO_TABLE)
        names = column_types.require_names([name for name, _, _ in found])
        self._kinds = [kind for _, kind, _ in found]
        self._columns = tuple(
            Column(name, _closed_type(name, kind, modifier))
            for name, (_, kind, modifier) in zip(names, found, strict=True)
        )
        self._snapshot = self._content()

    def schema(self) -> tuple[Column, ...]:
        """Return the columns in the order of the table."""
        return self._columns

    def snapshot(self) -> Snapshot:
        """Return digest and row count as they were when the source was opened."""
        return self._snapshot

    def verify_unchanged(self, digest: str) -> None:
        """Return if the table had, and still has, the content with `digest`; it is read in whole.

        Raises:
            SourceUnreadable: it has other content, or is gone.
        """
        if digest != self._snapshot.digest or self._content() != self._snapshot:
            raise SourceUnreadable(snapshots.CHANGED)

    def execute(self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> pa.Table:
        """Run one SELECT over the table; see `Connector.execute`."""
        batches = self.execute_batches(sql, table, timeout_s=timeout_s)
        return collect(batches, self._limits.result_mib << 20)

    def execute_batches(
        self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over the table; see `Connector.execute_batches`."""
        return self._database.execute_batches(sql, {table: self}, timeout_s=timeout_s, batch_rows=batch_rows)

    def joint_engine(self) -> JointEngine:
        """Return the database: it answers over all of its tables."""
        return self._database

    def close(self) -> None:
        """Answer no more; a second call does nothing."""
        self.is_closed = True

    def rows(self) -> exp.Select:
        """Return the SELECT of all rows in the closed types, its columns under their folded names."""
        shown = []
        for column, kind in zip(self._columns, self._kinds, strict=True):
            value: exp.Expr = exp.column(column.name, quoted=True)
            if kind == "timestamptz":
                value = exp.AtTimeZone(this=value, zone=exp.Literal.string("UTC"))
            elif column.type == "VARCHAR":
                value = postgresql_dialect.binary(exp.cast(value, "TEXT"))
            elif kind in ("int2", "int4", "float4"):
                value = exp.cast(value, column.type)
            shown.append(exp.alias_(value, folded(column.name), quoted=True))
        return exp.select(*shown).from_(exp.table_(self._table, db=self._schema_name, quoted=True))

    def _content(self) -> Snapshot:
        order = [exp.column(folded(column.name), quoted=True) for column in self._columns]
        ordered = exp.select(*order).from_(self.rows().subquery("rows")).order_by(*order)
        text = pushed_query.to_text(ordered, postgresql_dialect.DIALECT)
        kinds = [(column.name, column_types.arrow_type(column.type)) for column in self._columns]
        batches = self._database.stream(
            text, pa.schema(kinds), TimeLimit(DIGEST_TIMEOUT_S), snapshots.DIGEST_BATCH_ROWS
        )
        return snapshots.content(batches)


def open_postgresql(source: PostgresqlTable, limits: Limits) -> Connector:
    """Open a table of a PostgreSQL database.

    Raises:
        SourceUnreadable: it cannot be reached, has no such table, or a column whose type is not offered.
        MalformedDocument: not exactly one of `dsn` and `dsn_file` is given.
    """
    if (source.dsn is None) == (source.dsn_file is None):
        raise MalformedDocument("a PostgreSQL table is reached by `dsn` or by `dsn_file`, one of them")
    try:
        conninfo = source.dsn if source.dsn_file is None else source.dsn_file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise SourceUnreadable("the file with the connection string is missing or cannot be read") from None
    return PostgresqlSource(PostgresqlDatabase(conninfo or ""), source.schema, source.table, limits)


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise SourceUnreadable(
            "a PostgreSQL source needs the extra `postgresql`: pip install 'usufruct[postgresql]'"
        ) from None
    return psycopg


def _closed_type(name: str, kind: str, modifier: int) -> str:
    if kind == "numeric" and modifier >= 0:
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
        if scale <= precision <= 38:
            return f"DECIMAL({precision},{scale})"
    if kind not in _TYPES:
        raise SourceUnreadable(
            f"column `{name}` has the type {kind}, which is not offered; make it boolean, an integer, double"
            " precision, numeric(p,s) with p up to 38, date, timestamp or text, or leave it out by a view"
        )
    return _TYPES[kind]


def _timeout(limit: TimeLimit) -> str:
    return f"SET statement_timeout = {max(1, int(limit.left_s * 1000))}"


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.record_batch(
        [_array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return one column; PostgreSQL's own type may be a wider number, as numeric for the sum of integers."""
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    if pa.types.is_integer(kind):
        return pa.array([None if value is None else int(value) for value in values], kind)
    return pa.array(values, kind)


@contextmanager
def _errors(limit: TimeLimit) -> Iterator[None]:
    """Say what PostgreSQL's errors mean; their own text quotes values of rows and is passed on to nobody."""
    psycopg = _psycopg()
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise limit.exceeded() from None
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state.startswith("42"):
            # DuckDB would answer it, so the query is right: its analysis by PostgreSQL is another.
            raise NotPermitted(
                "PostgreSQL has no such operation for these types; cast, or rewrite it"
            ) from None
        if state.startswith(("53", "54")):
            raise LimitExceeded(locked_database.TOO_LITTLE_MEMORY) from None
        raise SourceUnreadable(UNANSWERED) from None
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        raise SourceUnreadable(UNANSWERED) from None
