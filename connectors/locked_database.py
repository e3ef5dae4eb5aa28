"""A DuckDB database in memory that reads one file at most, and streams what one query gives.

It is the second wall before the file system and the network, behind `pushed_query`: the database has no
external access except to that file, loads no extension, sees no Python variable, and spills nothing to disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from sqlglot import exp

from connectors import column_types, pushed_query
from connectors.connector import UNANSWERED, Column
from records.errors import LimitExceeded, MalformedDocument, SourceUnreadable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

INTERRUPT_EVERY_S = 0.05
TOO_LITTLE_MEMORY = "the query needs more memory than the source may take; narrow it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one source may take of the machine."""

    memory_mib: int = 1024
    threads: int = 2
    result_mib: int = 1024


@dataclass(frozen=True, slots=True)
class Attachment:
    """A DuckDB file to attach, read-only, under `name`."""

    path: str
    name: str


def open_database(
    limits: Limits,
    readable: str | None = None,
    *,
    filesystem: AbstractFileSystem | None = None,
    attached: Attachment | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return an empty database that can read the file `readable`, through `filesystem`, and nothing else.

    What is `attached` is readable too. Rows of a provider are written nowhere.
    """
    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_file_cache": False,
            "memory_limit": f"{limits.memory_mib}MiB",
            "python_enable_replacements": False,
            "temp_directory": "",
            "threads": limits.threads,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    # Both take a part that may fail out of TRY, and so make an error of a row of what has to be NULL.
    connection.execute("SET disabled_optimizers = 'common_subexpressions,in_clause'")
    if filesystem is not None:
        connection.register_filesystem(filesystem)
    if attached is not None:
        path = exp.Literal.string(attached.path).sql(pushed_query.DIALECT)
        connection.execute(f"ATTACH {path} AS {attached.name} (READ_ONLY)")
    if readable is not None:
        connection.execute("SET allowed_paths = $1", [[readable]])
    connection.execute("SET enable_external_access = false")
    return connection


class TimeLimit:
    """The seconds that a query may take in its engine; the time between two steps does not count."""

    def __init__(self, timeout_s: float) -> None:
        """No time is spent yet."""
        self.timeout_s = timeout_s
        self.left_s = timeout_s

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count the time of the block.

        Raises:
            LimitExceeded: nothing is left for it.
        """
        if self.left_s <= 0:
            raise self.exceeded()
        begin_s = time.monotonic()
        try:
            yield
        finally:
            self.left_s -= time.monotonic() - begin_s

    def exceeded(self) -> LimitExceeded:
        """Return the error of a query that took longer."""
        return LimitExceeded(f"the query ran longer than {self.timeout_s:g} s; narrow it")


def stream(
    connection: duckdb.DuckDBPyConnection, text: str, timeout_s: float, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Run the checked query `text` and give its rows in the closed types, in at least one batch.

    Raises:
        MalformedDocument: it does not fit the schema.
        LimitExceeded: time or memory.
        SourceUnreadable: a value does not fit an operation, or what is scanned is damaged.
    """
    limit = TimeLimit(timeout_s)
    # A cursor of its own, so that an interrupt ends this query and no other.
    with connection.cursor() as cursor:
        with _step(cursor, limit):
            relation = cursor.sql(text)
            schema = column_types.require_result_schema(relation.columns, relation.types)
            reader = relation.to_arrow_reader(batch_rows)
        yield empty_batch(schema)
        while True:
            with _step(cursor, limit):
                batch = next(reader, None)
                if batch is None:
                    return
                batch = batch.cast(schema)
            yield batch


def load(
    connection: duckdb.DuckDBPyConnection, name: str, batches: Iterator[pa.RecordBatch], limit: TimeLimit
) -> None:
    """Make the relation `name` of `batches`, at least one, which are taken one by one.

    Raises:
        LimitExceeded: they do not fit in memory, or take too long.
    """
    with limit.step():
        first = next(batches)
    with _step(connection, limit):
        connection.from_arrow(pa.Table.from_batches([first])).create(name)
    while True:
        with limit.step():
            batch = next(batches, None)
        if batch is None:
            return
        with _step(connection, limit):
            connection.from_arrow(pa.Table.from_batches([batch])).insert_into(name)


def result_schema(text: str, relations: Mapping[str, Sequence[Column]]) -> pa.Schema:
    """Return the columns that DuckDB gives for the checked query `text` over relations with these columns.

    Other engines are asked in words that give the same.

    Raises:
        MalformedDocument: it does not fit the schema.
    """
    with open_database(Limits(memory_mib=64, threads=1)) as connection:
        for name, columns in relations.items():
            kinds = [pa.field(column.name, column_types.arrow_type(column.type)) for column in columns]
            connection.from_arrow(pa.schema(kinds).empty_table()).create(name)
        with _step(connection, TimeLimit(timeout_s=60)):
            relation = connection.sql(text)
            return column_types.require_result_schema(relation.columns, relation.types)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch of no rows, which tells the columns."""
    return pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether DuckDB ran out of memory; while a result streams, Arrow wraps the error as an OSError."""
    return isinstance(error, duckdb.OutOfMemoryException) or str(error).startswith("Out of Memory Error")


@contextmanager
def _step(cursor: duckdb.DuckDBPyConnection, limit: TimeLimit) -> Iterator[None]:
    expired = threading.Event()
    try:
        with limit.step(), _interrupted_after(limit.left_s, cursor, expired):
            yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
        raise MalformedDocument("the pushed query does not fit the schema of the source") from None
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # The engine's own text quotes values of rows and is passed on to nobody.
        if expired.is_set():
            raise limit.exceeded() from None
        if is_out_of_memory(error):
            raise LimitExceeded(TOO_LITTLE_MEMORY) from None
        raise SourceUnreadable(UNANSWERED) from None


@contextmanager
def _interrupted_after(
    timeout_s: float, cursor: duckdb.DuckDBPyConnection, expired: threading.Event
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
