"""What every source of rows offers: its schema, queries pushed to its own engine, a digest of its content.

A connector is the only code that touches data at rest. It knows nothing of terms, ε or prices: what may be
asked of a product is decided above, what can be asked of an engine at all is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from records.errors import LimitExceeded

DEFAULT_TIMEOUT_S = 60.0
BATCH_ROWS = 65_536
UNANSWERED = (
    "the source could not answer the query: it is damaged, or a value does not fit an operation in it"
)
CLOSED = "the source is closed; open it again"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name as the source writes it, and a type of the closed list.

    Types: `BOOLEAN`, `BIGINT`, `DOUBLE`, `DECIMAL(p,s)`, `DATE`, `TIMESTAMP` (UTC, microseconds), `VARCHAR`.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a source at one time: `sha256:<hex>` over it, and its number of rows.

    Both are secrets of the provider until salted (the digest) or released by the gate (the rows), R16.
    """

    digest: str
    rows: int


class Connector(Protocol):
    """A source of rows, opened and ready."""

    def schema(self) -> tuple[Column, ...]:
        """Return the columns in the order of the source."""
        ...

    def snapshot(self) -> Snapshot:
        """Return digest and row count of the content that `execute` reads, as taken when it was opened."""
        ...

    def verify_unchanged(self, digest: str) -> None:
        """Return if the source still has the content with `digest`, read again from where it lies.

        Raises:
            SourceUnreadable: it has other content, or is gone.
        """
        ...

    def execute(self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> pa.Table:
        """Run one SELECT over the source, which is visible under the name `table` and no other.

        `sql` is in DuckDB's dialect. The columns of the result have the Arrow types of the closed list:
        bool, int64, double, decimal128(p, s), date32, timestamp[us], string. SUM over BIGINT is
        decimal128(38, 0), which cannot overflow.

        Raises:
            MalformedDocument: `sql` does not parse, or does not fit the schema.
            NotPermitted: `sql` holds something outside the closed lists.
            UnknownObject: `sql` names a column that the source does not have.
            LimitExceeded: time, memory or the size of the result.
            SourceUnreadable: the source changed or is damaged, or a value did not fit an operation. The
                message is constant, because an error that depends on rows is an answer about rows.
            StateConflict: the connector was closed.
        """
        ...

    def execute_batches(
        self, sql: str, table: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT as `execute` does, and give its rows in batches of at most `batch_rows`.

        The memory taken is bounded by the batch as far as the engine streams the query (scans, filters,
        projections; a sort or a join holds what it needs, under the limits of the engine). There is at least
        one batch, which may be empty, so the columns and their types are always known. `timeout_s` is the
        time spent in the source, not that which the caller takes between two batches.

        Raises:
            MalformedDocument, NotPermitted, UnknownObject, StateConflict: at once, see `execute`.
            LimitExceeded, SourceUnreadable: at any batch. Batches given before are then not to be used.
        """
        ...

    def joint_engine(self) -> JointEngine | None:
        """Return what can answer one query over several sources that it holds; None for a source alone.

        Engines of sources that can stand in one query are equal.
        """
        ...

    def close(self) -> None:
        """Let go of the source; a second call does nothing."""
        ...


class JointEngine(Protocol):
    """An engine that holds several sources, such as a database server."""

    def execute_batches(
        self, sql: str, tables: Mapping[str, Connector], *, timeout_s: float, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Run one SELECT over `tables`, all of this engine; see `Connector.execute_batches`."""
        ...


def collect(batches: Iterable[pa.RecordBatch], limit_bytes: int) -> pa.Table:
    """Return the batches, at least one, as a table.

    Raises:
        LimitExceeded: they hold more than `limit_bytes`.
    """
    kept = []
    size_bytes = 0
    for batch in batches:
        size_bytes += batch.nbytes
        if size_bytes > limit_bytes:
            raise LimitExceeded(f"the result of the query is larger than {limit_bytes >> 20} MiB; narrow it")
        kept.append(batch)
    return pa.Table.from_batches(kept)
