"""The plan of a query: what each provider computes, what shares compute, and what the result looks like.

    Plan
    ├── parts      SQL for each provider's own engine
    ├── steps      a program over tables in shares; none where one provider has all the data
    ├── columns    of the released table: keys `k0…` and measures `m0…`
    ├── units      counts of protected units in each row: what the gate compares with its threshold
    ├── supports   the same for the values behind a measure
    └── finish     SQL over the released table: expressions, HAVING, ORDER BY, LIMIT as far as R8 allows

Every node derives the plan again from text and catalogue and compares digests (R3). The text of parts is
sqlglot's and types are DuckDB's, so nodes with different releases of them disagree and the job does not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policies.columns import ColumnUse
from records import canonical
from records.canonical import Json
from sandbox.sql import steps
from sandbox.sql.steps import Column, Step

Asked = Literal["auto", "local", "secret-sharing"]
Technique = Literal["local", "secret-sharing"]
Facet = Literal["number", "true", "false", "known", "code", "value", "text", "row", "payload"]
"""How a column of a part's SQL enters shares; see `PartColumn`."""

FIXED_POINT_SCALE = 1 << 20
"""A DOUBLE enters shares as a multiple of 2^-20: each value is off by at most 2^-21."""

Counts = tuple[tuple[str, ...], ...]
"""For each source of protected units, the columns that count them: one for each provider of a collection."""


@dataclass(frozen=True, slots=True)
class PartColumn:
    """How columns `sources` of a part's SQL become the column `column` of its table in shares.

    number   value · `scale`, within [`low`, `high`]; NULL is 0
    true, false, known   a bit: the truth value is TRUE, or FALSE; the value is not NULL
    code     key: place among the part's different values, from 1; a NULL in any source is 0. Of one part only
    value    key: value · `scale` − `low` + 1, within [`low`, `high`]: comparable between parts
    text     key: 1 + 63 bits of a hash under a key of the attempt: comparable between parts, not ordered
    row      key: the number of the row, from 1
    payload  the words of the value

    `type` is the SQL type of the (first) source. A value outside its bounds spoils the part.
    """

    column: Column
    facet: Facet
    sources: tuple[str, ...]
    type: str
    scale: int = 1
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class LocalPart:
    """What one provider's engine computes: `sql` over its products under their table names.

    `tables` are (product, table). In a joint plan, at most `rows` rows enter shares as `columns`; `unique`
    lists the columns of keys of which no two rows agree: the provider checks before it puts them in.
    """

    provider: str
    tables: tuple[tuple[str, str], ...]
    sql: str
    rows: int
    columns: tuple[PartColumn, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()

    @property
    def products(self) -> tuple[str, ...]:
        """The products it reads."""
        return tuple(product for product, _ in self.tables)


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of the released table: of a part's SQL in a local plan, of the last table in a joint one.

    In shares it is a number, which is divided by `scale`, or a payload. `support` names the counts behind it;
    None: it is shown wherever its row is.
    """

    name: str
    type: str
    kind: Literal["number", "payload"]
    scale: int = 1
    words: int = 1
    support: str | None = None


@dataclass(frozen=True, slots=True)
class Support:
    """What stands behind a measure: `values` counts its values, `units` the protected units that have one.

    Where `values` is 0 the measure is NULL; a COUNT, which is then 0, has a column of `values` that is never
    0. It is shown where every source of units has none at all, or enough.
    """

    name: str
    values: str
    units: Counts


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the result as the buyer sees it, made of `columns` of the released table."""

    name: str
    type: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A derived plan; equal texts over equal catalogues give equal plans.

    `max_rows` bounds the rows of the released table. `column_uses` is what the terms must allow. `leaks` is
    what its protocols show beside the result.
    """

    technique: Technique
    kind: Literal["aggregate", "rows"]
    parts: tuple[LocalPart, ...]
    steps: tuple[Step, ...]
    columns: tuple[ResultColumn, ...]
    units: Counts
    supports: tuple[Support, ...]
    outputs: tuple[Output, ...]
    finish: str
    max_rows: int
    column_uses: tuple[ColumnUse, ...]
    leaks: tuple[str, ...] = ()

    @property
    def products(self) -> tuple[str, ...]:
        """The products it reads, sorted."""
        return tuple(sorted({product for part in self.parts for product in part.products}))

    def to_json(self) -> dict[str, Json]:
        """Return the plan as a document without floats; integers that may pass 2^53 are text."""
        return {
            "technique": self.technique,
            "kind": self.kind,
            "parts": [_part(part) for part in self.parts],
            "steps": [steps.to_json(step) for step in self.steps],
            "columns": [
                {
                    "name": item.name,
                    "type": item.type,
                    "kind": item.kind,
                    "scale": str(item.scale),
                    "words": item.words,
                    "support": item.support,
                }
                for item in self.columns
            ],
            "units": _counts(self.units),
            "supports": [
                {"name": item.name, "values": item.values, "units": _counts(item.units)}
                for item in self.supports
            ],
            "outputs": [
                {"name": item.name, "type": item.type, "columns": list(item.columns)} for item in self.outputs
            ],
            "finish": self.finish,
            "max_rows": self.max_rows,
            "column_uses": [
                {"product": use.product, "column": use.column, "use": use.use, "after": list(use.after)}
                for use in self.column_uses
            ],
            "leaks": list(self.leaks),
        }

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical form."""
        return canonical.digest(self.to_json())


def cells(plan: Plan, rows: int, suppressed: int) -> int:
    """Return the number of visible cells, keys and values alike, of `rows` rows shown."""
    return rows * len(plan.outputs) - suppressed


def _part(part: LocalPart) -> dict[str, Json]:
    return {
        "provider": part.provider,
        "tables": [list(pair) for pair in part.tables],
        "sql": part.sql,
        "rows": part.rows,
        "columns": [
            {
                "column": {"name": item.column.name, "kind": item.column.kind, "bits": item.column.bits},
                "facet": item.facet,
                "sources": list(item.sources),
                "type": item.type,
                "scale": str(item.scale),
                "low": str(item.low),
                "high": str(item.high),
            }
            for item in part.columns
        ],
        "unique": [list(columns) for columns in part.unique],
    }


def _counts(counts: Counts) -> Json:
    return [list(columns) for columns in counts]
