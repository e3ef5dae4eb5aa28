"""Open a provider's data, whatever it is kept in, as one kind of source."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa
from sqlglot import exp

from connectors import file_formats, object_store, pushed_query, snapshots
from connectors.column_types import require_names
from connectors.connector import Connector
from connectors.duckdb_source import ROWS, DuckdbSource, KnownContent
from connectors.file_formats import Load, StoredFile
from connectors.locked_database import Attachment, Limits, is_out_of_memory, open_database
from connectors.object_store import KnownObject, ObjectFile
from connectors.postgresql_source import PostgresqlTable, open_postgresql
from connectors.spark_source import SparkFile, SparkTable, open_spark
from records.errors import LimitExceeded, SourceUnreadable

GLOB_SIGNS = set("*?[")
ATTACHED = "attached"


@dataclass(frozen=True, slots=True)
class DuckdbTable:
    """A table of a DuckDB file, attached read-only: while it is open, no other program can write it."""

    path: str | Path
    table: str
    schema: str = "main"


Source: TypeAlias = (
    str | Path | pa.Table | pd.DataFrame | DuckdbTable | PostgresqlTable | ObjectFile | SparkTable | SparkFile
)


def open_source(
    source: Source, *, null_text: tuple[str, ...] = ("", "NA"), limits: Limits | None = None
) -> Connector:
    """Open a source.

    - a path: a CSV, TSV, Parquet or Arrow (Feather 2) file; `s3://…`: one in an object store
    - an Arrow table or a DataFrame, which is copied
    - `DuckdbTable`, `PostgresqlTable`, `ObjectFile`, `SparkTable`, `SparkFile`

    CSV is UTF-8 with one header line, quotes doubled, dates as YYYY-MM-DD; its types are found over all rows.
    `null_text` is what stands for null in it. Integers become BIGINT, FLOAT becomes DOUBLE, times with a zone
    become UTC. The index of a DataFrame is left out.

    Raises:
        SourceUnreadable: missing, empty, damaged, of another kind than its ending says, or a column whose
            name or type cannot be offered.
        LimitExceeded: it does not fit in `limits.memory_mib`.
        MalformedDocument: the address of an object or a database is none.
    """
    bounds = limits or Limits()
    if isinstance(source, PostgresqlTable):
        return open_postgresql(source, bounds)
    if isinstance(source, (SparkTable, SparkFile)):
        return open_spark(source)
    if isinstance(source, str) and source.startswith(object_store.SCHEME):
        source = ObjectFile(source)
    try:
        match source:
            case pa.Table():
                return _open_table(source, bounds)
            case pd.DataFrame():
                require_names(list(source.columns))
                return _open_table(pa.Table.from_pandas(source, preserve_index=False), bounds)
            case DuckdbTable():
                return _open_duckdb_table(source, bounds)
            case ObjectFile():
                return _open_object(source, null_text, bounds)
            case _:
                return _open_file(source, null_text, bounds)
    except (duckdb.Error, pa.ArrowException, csv.Error, OSError, ValueError) as error:
        # What the libraries say quotes the offending row, so nothing of it is passed on.
        if is_out_of_memory(error):
            raise LimitExceeded(
                "the rows do not fit in `memory_mib`; raise it, or offer them as a Parquet file"
            ) from None
        raise SourceUnreadable(
            "the source is damaged, or its rows do not fit its header or types; write it again and check that"
            " every row has as many fields as the header, in UTF-8"
        ) from None


def _open_table(table: pa.Table, limits: Limits) -> Connector:
    def load(connection: duckdb.DuckDBPyConnection) -> None:
        file_formats.load_arrow(connection, table)

    return _opened(open_database(limits), load, limits, None, scanned=False)


def _open_file(given: str | Path, null_text: tuple[str, ...], limits: Limits) -> Connector:
    path = _file_path(given)
    stored = StoredFile(str(path), path.suffix.lower(), lambda: path.open("rb"))
    load = file_formats.loader(stored, null_text)
    file = snapshots.KnownFile(path)
    connection = open_database(limits, str(path))
    return _untouched(_opened(connection, load, limits, file, scanned=stored.is_scanned), file)


def _open_object(source: ObjectFile, null_text: tuple[str, ...], limits: Limits) -> Connector:
    filesystem = object_store.open_filesystem(source)
    known = KnownObject(filesystem, source.url)
    stored = known.stored()
    load = file_formats.loader(stored, null_text)
    connection = open_database(limits, source.url, filesystem=filesystem)
    return _untouched(_opened(connection, load, limits, known, scanned=stored.is_scanned), known)


def _open_duckdb_table(source: DuckdbTable, limits: Limits) -> Connector:
    path = _file_path(source.path)
    if path.with_name(path.name + ".wal").exists():
        raise SourceUnreadable(
            "the DuckDB file has changes beside it; close what writes it, or run CHECKPOINT"
        )
    file = snapshots.KnownFile(path)
    connection = open_database(limits, attached=Attachment(str(path), ATTACHED))

    def show(connection: duckdb.DuckDBPyConnection) -> None:
        # A view of the file could read other tables, and would be read with the rights of this database.
        if not connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 AND table_name = $3",
            [ATTACHED, source.schema, source.table],
        ).fetchall():
            raise SourceUnreadable("the DuckDB file has no such table; check schema and table")
        table = exp.table_(source.table, db=source.schema, catalog=ATTACHED, quoted=True)
        rows = pushed_query.to_text(exp.select("*").from_(table), pushed_query.DIALECT)
        connection.execute(f"CREATE VIEW {ROWS} AS {rows}")

    return _untouched(_opened(connection, show, limits, file, scanned=True), file)


def _file_path(given: str | Path) -> Path:
    path = Path(given).resolve()
    if GLOB_SIGNS.intersection(str(path)):
        raise SourceUnreadable("the path holds `*`, `?` or `[`, which would name several files; rename it")
    if not path.is_file():
        raise SourceUnreadable(snapshots.GONE)
    return path


def _opened(
    connection: duckdb.DuckDBPyConnection,
    load: Load,
    limits: Limits,
    content: KnownContent | None,
    *,
    scanned: bool,
) -> DuckdbSource:
    try:
        load(connection)
        return DuckdbSource(connection, limits, content, scanned=scanned)
    except BaseException:
        connection.close()
        raise


def _untouched(source: DuckdbSource, content: snapshots.KnownFile | KnownObject) -> DuckdbSource:
    """Return the source if its content was not written while it was opened."""
    try:
        content.require_untouched(content.opened)
    except SourceUnreadable:
        source.close()
        raise
    return source
