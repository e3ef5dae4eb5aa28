"""A source whose engine is DuckDB, locked before the first query is pushed to it.

Two walls stand before the file system and the network. `pushed_query` lets through one SELECT over the
product, of listed constructs only. Behind it the database itself has no external access except to the one
file it scans, loads no extension, sees no Python variable, and its configuration is locked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlglot import exp

from connectors import column_types, pushed_query, snapshots
from connectors.connector import DEFAULT_TIMEOUT_S, Column, Snapshot
from records.errors import LimitExceeded, MalformedDocument, SourceUnreadable, StateConflict

ROWS = "rows"
"""The relation as the source has it; `pushed_query.RELATION` shows it in the closed types."""

BATCH_ROWS = 65_536
INTERRUPT_EVERY_S = 0.05
UNANSWERED = (
    "the source could not answer the query: it is damaged, or a value does not fit an operation in it"
)
TOO_LITTLE_MEMORY = "the query needs more memory than the source may take; narrow it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one source may take of the machine."""

    memory_mib: int = 1024
    threads: int = 2
    result_mib: int = 1024


def open_database(limits: Limits, file: Path | None) -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory that can read `file` and nothing else.

    It spills nothing to disk: rows of a provider are written nowhere.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": f"{limits.memory_mib}MiB",
            "python_enable_replacements": False,
            "temp_directory": "",
            "threads": limits.threads,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    if file is not None:
        connection.execute("SET allowed_paths = $1", [[str(file)]])
    connection.execute("SET enable_external_access = false")
    return connection


class DuckdbSource:
    """A `Connector` over a database made by `open_database` that holds the relation `ROWS`.

    `file` is where the rows came from, None for rows from memory; it is read by every query if `scanned`, and
    was read once if not. Queries may run in several threads at a time.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        limits: Limits,
        file: snapshots.KnownFile | None,
        *,
        scanned: bool,
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._file = file
        self._scanned = file if scanned else None
        self._closed = False
        relation = connection.sql(f"FROM {ROWS}")
        self._columns = column_types.require_columns(relation.columns, relation.types)
        connection.execute(_typed_view(self._columns, [str(kind) for kind in relation.types]))
        connection.execute("SET lock_configuration = true")
        rows = connection.sql(f"SELECT count(*) FROM {ROWS}").fetchall()[0][0]  # noqa: S608 - a constant
        self._snapshot = Snapshot(self._content_digest() if file is None else file.digest, rows)

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
        now = self._snapshot.digest if self._file is None else snapshots.file_digest(self._file.path)
        if not digest == now == self._snapshot.digest:
            raise SourceUnreadable(snapshots.CHANGED)

    def execute(self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> pa.Table:
        """Run one SELECT over the source; see `Connector.execute`."""
        text = pushed_query.rewrite(sql, table, [column.name for column in self._columns])
        if self._closed:
            raise StateConflict("the source is closed; open it again")
        if self._scanned is None:
            return self._fetch(text, timeout_s)
        stamp = self._scanned.require_unchanged()
        result = self._fetch(text, timeout_s)
        self._scanned.require_untouched(stamp)
        return result

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._closed = True
        self._connection.close()

    def _content_digest(self) -> str:
        reader = self._connection.table(pushed_query.RELATION).to_arrow_reader(BATCH_ROWS)
        return snapshots.table_digest(reader.read_all())

    def _fetch(self, text: str, timeout_s: float) -> pa.Table:
        expired = threading.Event()
        try:
            # A cursor of its own, so that an interrupt ends this query and no other.
            with self._connection.cursor() as cursor, _time_limit(cursor, timeout_s, expired):
                relation = cursor.sql(text)
                schema = column_types.require_result_schema(relation.columns, relation.types)
                return _collect(relation.to_arrow_reader(BATCH_ROWS), schema, self._limits.result_mib << 20)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise MalformedDocument("the pushed query does not fit the schema of the source") from None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            # The engine's own text quotes values of rows and is passed on to nobody.
            if expired.is_set():
                raise LimitExceeded(f"the query ran longer than {timeout_s:g} s; narrow it") from None
            if is_out_of_memory(error):
                raise LimitExceeded(TOO_LITTLE_MEMORY) from None
            raise SourceUnreadable(UNANSWERED) from None


def is_out_of_memory(error: Exception) -> bool:
    """Say whether DuckDB ran out of memory; while a result streams, Arrow wraps the error as an OSError."""
    return isinstance(error, duckdb.OutOfMemoryException) or str(error).startswith("Out of Memory Error")


@contextmanager
def _time_limit(
    cursor: duckdb.DuckDBPyConnection, timeout_s: float, expired: threading.Event
) -> Iterator[None]:
    done = threading.Event()

    def interrupt() -> None:
        if done.wait(timeout_s):
            return
        expired.set()
        # An interrupt between two steps of a query is lost, so it is repeated until the query gave up.
        while not done.wait(INTERRUPT_EVERY_S):
            cursor.interrupt()

    watch = threading.Thread(target=interrupt, name="query-time-limit", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _collect(reader: pa.RecordBatchReader, schema: pa.Schema, limit_bytes: int) -> pa.Table:
    batches = []
    size_bytes = 0
    for batch in reader:
        size_bytes += batch.nbytes
        if size_bytes > limit_bytes:
            raise LimitExceeded(f"the result of the query is larger than {limit_bytes >> 20} MiB; narrow it")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema).cast(schema)


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
    return f"CREATE VIEW {pushed_query.RELATION} AS {query}"
