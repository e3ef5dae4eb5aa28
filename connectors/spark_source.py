"""A table of a Spark cluster, for rows that outgrow one machine.

The cluster scans, joins and adds up; only results come here. Queries come in DuckDB's dialect, pass the same
closed list as for every source, and are said in Spark's dialect by `spark_dialect`; an empty DuckDB tells
the types of the result, to which Spark casts. A changed table is noticed by `verify_unchanged`, which reads
it in whole: between two calls of it nothing holds the rows still.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from connectors import column_types, locked_database, pushed_query, snapshots, spark_cluster, spark_dialect
from connectors.connector import (
    BATCH_ROWS,
    CLOSED,
    DEFAULT_TIMEOUT_S,
    Column,
    Connector,
    JointEngine,
    Snapshot,
    collect,
)
from connectors.locked_database import TimeLimit
from connectors.pushed_query import Relation
from connectors.spark_cluster import SparkCluster
from records.errors import MalformedDocument, SourceUnreadable, StateConflict

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

DIGEST_TIMEOUT_S = 3600.0
FORMATS = {".parquet": "parquet", ".csv": "csv"}
CSV_OPTIONS = {"header": "true", "mode": "FAILFAST", "enforceSchema": "false", "dateFormat": "yyyy-MM-dd"}

_SPARK_TYPES = {
    "boolean": "BOOLEAN", "tinyint": "BIGINT", "smallint": "BIGINT", "int": "BIGINT", "bigint": "BIGINT",
    "float": "DOUBLE", "double": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMP",
    "timestamp_ntz": "TIMESTAMP", "string": "VARCHAR", "varchar": "VARCHAR", "char": "VARCHAR",
}  # fmt: skip
_SPARK_NAMES = {
    pa.bool_(): "BOOLEAN", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP_NTZ", pa.string(): "STRING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SparkTable:
    """A table in the cluster's catalog: one to three names, outermost first (`("sales", "orders")`)."""

    cluster: SparkCluster
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SparkFile:
    """A Parquet or CSV file, or a folder of them with this ending, at a path that the cluster can read."""

    cluster: SparkCluster
    path: str


@dataclass(frozen=True, slots=True)
class SparkLimits:
    """What one source may send, and how long its digest may take."""

    result_mib: int = 1024
    digest_timeout_s: float = DIGEST_TIMEOUT_S


def open_spark(place: SparkTable | SparkFile, *, limits: SparkLimits | None = None) -> Connector:
    """Open a table of a Spark cluster and take its digest, for which the cluster reads it in whole.

    CSV has one header line and dates as YYYY-MM-DD; Spark finds its types over all rows.

    Raises:
        NotPermitted: the extra `spark` is not installed.
        MalformedDocument: the name or the ending cannot be used.
        SourceUnreadable: no such table, no such cluster, or a column that cannot be offered.
        LimitExceeded: the digest takes longer than `limits.digest_timeout_s`.
    """
    return SparkSource(place, limits or SparkLimits())


class SparkSource:
    """A `Connector` over a table of a Spark cluster. Queries may run in several threads at a time."""

    def __init__(self, place: SparkTable | SparkFile, limits: SparkLimits) -> None:
        """Find the types of the columns and take the digest; see `open_spark`."""
        self.place = place
        self._limits = limits
        self._closed = False
        with place.cluster.session() as session, spark_cluster.errors():
            fields = _frame(session, place, None).schema.fields
        self._spark_types = {field.name: field.dataType.simpleString() for field in fields}
        self._columns = _columns([(field.name, field.dataType.simpleString()) for field in fields])
        self._snapshot = self._snapshot_now()

    def schema(self) -> tuple[Column, ...]:
        """Return the columns in the order of the source."""
        return self._columns

    def snapshot(self) -> Snapshot:
        """Return digest and row count as they were when the source was opened."""
        return self._snapshot

    def verify_unchanged(self, digest: str) -> None:
        """Return if the source was opened with, and still has, the content with `digest`; read in whole.

        Raises:
            SourceUnreadable: it has other content, or is gone.
        """
        if not digest == self._snapshot.digest == self._snapshot_now().digest:
            raise SourceUnreadable(snapshots.CHANGED)

    def execute(self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> pa.Table:
        """Run one SELECT over the source; see `Connector.execute`."""
        return collect(self.execute_batches(sql, table, timeout_s=timeout_s), self._limits.result_mib << 20)

    def execute_batches(
        self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over the source; see `Connector.execute_batches`."""
        engine = SparkEngine(self.place.cluster)
        return engine.execute_batches(sql, {table: self}, timeout_s=timeout_s, batch_rows=batch_rows)

    def joint_engine(self) -> JointEngine | None:
        """Return the cluster, which can join its tables."""
        return SparkEngine(self.place.cluster)

    def close(self) -> None:
        """Let go of the source; a second call does nothing."""
        self._closed = True

    def require_open(self) -> None:
        """Return if the source was not closed.

        Raises:
            StateConflict: it was.
        """
        if self._closed:
            raise StateConflict(CLOSED)

    def create_view(self, session: SparkSession, name: str) -> None:
        """Show the source in the closed types as the view `name` of `session`."""
        frame = _frame(session, self.place, self._spark_types)
        frame.selectExpr(*map(_shown, self._columns)).createOrReplaceTempView(name)

    def _snapshot_now(self) -> Snapshot:
        limit = TimeLimit(self._limits.digest_timeout_s)
        schema = pa.schema([("root", pa.string()), ("rows", pa.int64())])
        name = _fresh_name()
        with self.place.cluster.session() as session:
            with spark_cluster.errors():
                self.create_view(session, name)
            text = digest_query(self._columns, name)
            batches = spark_cluster.stream(session, text, schema, limit, BATCH_ROWS)
            [row] = pa.Table.from_batches(batches).to_pylist()
        content = {
            "columns": [[column.name, column.type] for column in self._columns],
            "root": row["root"] or "",
            "rows": row["rows"],
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return Snapshot("sha256:" + hashlib.sha256(canonical).hexdigest(), row["rows"])


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """A `JointEngine`: one query over several tables of one cluster."""

    cluster: SparkCluster

    def execute_batches(
        self, sql: str, tables: Mapping[str, Connector], *, timeout_s: float, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over `tables`, all of this cluster; see `Connector.execute_batches`."""
        # Named sub-queries shadow views in Spark, so a view has a name that no query can know.
        sources = {table: (_fresh_name(), source) for table, source in tables.items()}
        relations = {
            table: Relation(name, tuple(column.name for column in source.schema()))
            for table, (name, source) in sources.items()
        }
        tree = pushed_query.bind(sql, relations)
        views = {}
        for name, source in sources.values():
            if not isinstance(source, SparkSource) or source.place.cluster != self.cluster:
                raise MalformedDocument("a table of the query is not one of this Spark cluster")
            source.require_open()
            views[name] = source
        columns = {name: source.schema() for name, source in views.items()}
        schema = locked_database.result_schema(pushed_query.to_text(tree, pushed_query.DIALECT), columns)
        text = _cast_to(schema, spark_dialect.to_spark(tree, columns))
        return self._batches(views, text, schema, TimeLimit(timeout_s), batch_rows)

    def _batches(
        self,
        views: Mapping[str, SparkSource],
        text: str,
        schema: pa.Schema,
        limit: TimeLimit,
        batch_rows: int,
    ) -> Iterator[pa.RecordBatch]:
        with self.cluster.session() as session:
            with limit.step(), spark_cluster.errors():
                for name, source in views.items():
                    source.create_view(session, name)
            yield from spark_cluster.stream(session, text, schema, limit, batch_rows)


def digest_query(columns: tuple[Column, ...], view: str) -> str:
    """Return the Spark query that gives `root` and `rows` of a view: a hash tree over its rows as a multiset.

    A row is the SHA-256 of its values, each with its length before it, so that two rows have one text only
    if they are equal. Equal rows are counted; the counted hashes are put in buckets by their first 16 bits,
    sorted, and hashed, and so are the buckets. So two contents with one root are a collision of SHA-256.
    A sum of row hashes would be cheaper, but who may choose many rows finds two sums that are equal (Wagner,
    A Generalized Birthday Problem, CRYPTO 2002). The order of rows, which a cluster does not keep, does not
    count. Nothing but the root and the count leaves the cluster; a task holds one bucket at a time, that is
    1/65,536 of the different rows at 70 bytes each.
    """
    # NaN has one text in Spark; so have both zeros, which are equal, once a zero is added.
    values = [
        f"coalesce(concat(octet_length({text}), ':', {text}), '-')"
        for text in (
            f"CAST({_quoted(c.name)}{' + 0' if c.type == 'DOUBLE' else ''} AS STRING)" for c in columns
        )
    ]
    return (
        "SELECT sha2(array_join(sort_array(collect_list(concat(bucket, leaves))), ','), 256) AS root,"  # noqa: S608
        " CAST(coalesce(sum(n), 0) AS BIGINT) AS rows FROM"
        " (SELECT substr(leaf, 1, 4) AS bucket, sum(n) AS n,"
        " sha2(array_join(sort_array(collect_list(concat(leaf, '*', n))), ','), 256) AS leaves FROM"
        f" (SELECT sha2(concat({', '.join(values)}), 256) AS leaf, count(*) AS n"
        f" FROM {_quoted(view)} GROUP BY 1)"
        " GROUP BY 1)"
    )


def _frame(
    session: SparkSession, place: SparkTable | SparkFile, known_types: Mapping[str, str] | None
) -> DataFrame:
    """Return the rows of `place`; a CSV file whose types are known is not read for them again."""
    if isinstance(place, SparkTable):
        if not 1 <= len(place.name) <= 3:
            raise MalformedDocument("a table in Spark's catalog has one to three names")
        return session.table(".".join(map(_quoted, place.name)))
    form = FORMATS.get(Path(place.path).suffix.lower())
    if form is None:
        raise MalformedDocument("a file for Spark has the ending `.parquet` or `.csv`")
    reader = session.read
    if form == "csv":
        reader = reader.options(**CSV_OPTIONS)
        if known_types is None:
            reader = reader.option("inferSchema", "true")
    if known_types is not None:
        reader = reader.schema(", ".join(f"{_quoted(name)} {kind}" for name, kind in known_types.items()))
    return reader.format(form).load(place.path)


def _columns(fields: list[tuple[str, str]]) -> tuple[Column, ...]:
    names = column_types.require_names([name for name, _ in fields])
    columns = []
    for name, (_, spark_type) in zip(names, fields, strict=True):
        is_decimal = spark_type.startswith("decimal(")
        closed = spark_type.upper() if is_decimal else _SPARK_TYPES.get(spark_type.partition("(")[0])
        if closed is None or (spark_type != "string" and "collate" in spark_type):
            raise SourceUnreadable(
                f"column `{name}` has a type in Spark that is not offered; convert it, or leave it out"
            )
        columns.append(Column(name, closed))
    return tuple(columns)


def _shown(column: Column) -> str:
    kind = _spark_type(column_types.arrow_type(column.type))
    return f"CAST({_quoted(column.name)} AS {kind}) AS {_quoted(column.name)}"


def _cast_to(schema: pa.Schema, text: str) -> str:
    """Return the query with its columns cast to the types of `schema`, in their place, named c0, c1 …"""
    names = [f"c{position}" for position in range(len(schema))]
    shown = [
        f"CAST({name} AS {_spark_type(kind)}) AS {name}"
        for name, kind in zip(names, schema.types, strict=True)
    ]
    return f"SELECT {', '.join(shown)} FROM ({text}) AS r({', '.join(names)})"  # noqa: S608 - checked text


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return _SPARK_NAMES[kind]


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("spark")


def _fresh_name() -> str:
    return "v" + secrets.token_hex(16)
