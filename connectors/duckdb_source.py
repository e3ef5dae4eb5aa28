"""A source whose engine is DuckDB: a relation of a database from `locked_database`, in the closed types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from connectors import column_types, locked_database, pushed_query, snapshots
from connectors.connector import BATCH_ROWS, CLOSED, DEFAULT_TIMEOUT_S, Column, JointEngine, Snapshot, collect
from connectors.locked_database import Limits
from records.errors import SourceUnreadable, StateConflict

ROWS = "rows"
"""The relation as the source has it; `RELATION` shows it in the closed types."""

RELATION = "product"


class KnownContent(Protocol):
    """A file or object with the digest that it had when it was opened."""

    digest: str

    def digest_now(self) -> str:
        """Return the digest of the content as it is now, read again in whole."""
        ...

    def require_unchanged(self) -> object:
        """Return the present stamp of a content that is, as far as its stamp tells, that of the opening."""
        ...

    def require_untouched(self, since: object) -> None:
        """Return if the stamp still is `since`."""
        ...


class DuckdbSource:
    """A `Connector` over a database made by `open_database` that holds the relation `ROWS`.

    `content` is where the rows came from, None for rows from memory; it is read by every query if `scanned`,
    and was read once if not. Queries may run in several threads at a time.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        limits: Limits,
        content: KnownContent | None,
        *,
        scanned: bool,
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._content = content
        self._scanned = content if scanned else None
        self._closed = False
        relation = connection.sql(f"FROM {ROWS}")
        self._columns = column_types.require_columns(relation.columns, relation.types)
        self._relation = pushed_query.Relation(RELATION, tuple(column.name for column in self._columns))
        connection.execute(_typed_view(self._columns, [str(kind) for kind in relation.types]))
        connection.execute("SET lock_configuration = true")
        rows = connection.sql(f"SELECT count(*) FROM {ROWS}").fetchall()[0][0]  # noqa: S608 - a constant
        self._snapshot = Snapshot(self._rows_digest() if content is None else content.digest, rows)

    def schema(self) -> tuple[Column, ...]:
        """Return the columns in the order of the source."""
        return self._columns

    def snapshot(self) -> Snapshot:
        """Return digest and row count as they were when the source was opened."""
        return self._snapshot

    def verify_unchanged(self, digest: str) -> None:
        """Return if the source was opened with, and still has, the content with `digest`.

        Raises:
            SourceUnreadable: it has other content, or is gone.
        """
        now = self._snapshot.digest if self._content is None else self._content.digest_now()
        if not digest == now == self._snapshot.digest:
            raise SourceUnreadable(snapshots.CHANGED)

    def execute(self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> pa.Table:
        """Run one SELECT over the source; see `Connector.execute`."""
        batches = self.execute_batches(sql, table, timeout_s=timeout_s)
        return collect(batches, self._limits.result_mib << 20)

    def execute_batches(
        self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over the source; see `Connector.execute_batches`."""
        text = pushed_query.rewrite(sql, {table: self._relation})
        if self._closed:
            raise StateConflict(CLOSED)
        return self._batches(text, timeout_s, batch_rows)

    def joint_engine(self) -> JointEngine | None:
        """Return None: the database holds this source alone."""
        return None

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._closed = True
        self._connection.close()

    def _batches(self, text: str, timeout_s: float, batch_rows: int) -> Iterator[pa.RecordBatch]:
        stamp = self._scanned.require_unchanged() if self._scanned else None
        yield from locked_database.stream(self._connection, text, timeout_s, batch_rows)
        if self._scanned:
            self._scanned.require_untouched(stamp)

    def _rows_digest(self) -> str:
        reader = self._connection.table(RELATION).to_arrow_reader(BATCH_ROWS)
        return snapshots.table_digest(reader.read_all())


def _typed_view(columns: tuple[Column, ...], engine_types: list[str]) -> str:
    """Return the view that shows `ROWS` in the closed types and nothing of the engine's own columns."""
    shown = []
    for column, engine_type in zip(columns, engine_types, strict=True):
        value: exp.Expr = exp.column(exp.to_identifier(column.name, quoted=True))
        if engine_type == "TIMESTAMP WITH TIME ZONE":
            value = exp.AtTimeZone(this=value, zone=exp.Literal.string("UTC"))
        elif engine_type != column.type:
            value = exp.cast(value, exp.DataType.build(column.type, dialect=pushed_query.DIALECT))
        shown.append(exp.alias_(value, column.name, quoted=True))
    query = exp.select(*shown).from_(ROWS).sql(pushed_query.DIALECT)
    return f"CREATE VIEW {RELATION} AS {query}"
