# ruff: noqa: S608 - queries are what these tests make
"""DuckDB over all rows of a market, and what it is for a result to agree with its answer."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from connectors.column_types import arrow_type, result_type
from tests.integration.differential.schemas import Market

RELATIVE = 1e-6
ABSOLUTE = 2.0**-18
"""Of DOUBLE: what enters shares in fixed point is off by as much as 2^-21, and sums of it by more."""


class Oracle:
    """An engine in which each provider is a schema, each product a table, each collection a view."""

    def __init__(self, market: Market) -> None:
        """Copy the market's tables."""
        self._engine = duckdb.connect(config={"threads": 1})
        self._engine.execute("SET TimeZone = 'UTC'")
        for table in market.tables:
            provider, _, name = table.product.partition(".")
            self._engine.register("arriving", table.rows)
            self._engine.execute(f"CREATE SCHEMA IF NOT EXISTS {provider}")
            self._engine.execute(f"CREATE TABLE {table.product} AS FROM arriving")
            self._engine.execute(f'CREATE VIEW "{table.product}" AS FROM {table.product}')
        for name, products in market.collections.items():
            rows = " UNION ALL BY NAME ".join(f"SELECT * FROM {product}" for product in products)
            self._engine.execute(f"CREATE VIEW {name} AS {rows}")

    def accepts(self, sql: str) -> bool:
        """Tell whether the engine can run `sql`; it may still fail on a row."""
        try:
            self._engine.execute(f"EXPLAIN {sql}")
        except duckdb.Error:
            return False
        return True

    def answer(self, sql: str) -> pa.Table:
        """Return the answer in types of the closed list.

        Raises:
            duckdb.Error: the query does not bind, or fails on a row.
        """
        relation = self._engine.sql(sql)
        types = [result_type(str(kind)) for kind in relation.types]
        if None in types:
            raise duckdb.BinderException("a type outside the closed list")
        schema = pa.schema(
            [(name, arrow_type(str(kind))) for name, kind in zip(relation.columns, types, strict=True)]
        )
        rows = relation.fetchall()
        columns = [[row[place] for row in rows] for place in range(len(schema))]
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
            schema=schema,
        )

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.close()

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def difference(ours: pa.Table, answer: pa.Table, *, ordered: bool) -> str | None:
    """Return how `ours` differs from `answer` as a list of rows, or as a bag where it is not `ordered`."""
    if ours.column_names != answer.column_names:
        return f"columns {ours.column_names}, DuckDB has {answer.column_names}"
    if not all(map(_same_type, ours.schema.types, answer.schema.types)):
        return f"types {ours.schema.types}, DuckDB has {answer.schema.types}"
    mine, theirs = _rows(ours), _rows(answer)
    if len(mine) != len(theirs):
        return f"{len(mine)} rows, DuckDB has {len(theirs)}: {_only(mine, theirs)}"
    if ordered:
        wrong = [(a, b) for a, b in zip(mine, theirs, strict=True) if not _same_row(a, b)]
        return f"row {wrong[0][0]}, DuckDB has {wrong[0][1]}" if wrong else None
    return _only(mine, theirs)


def _only(mine: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> str | None:
    """Return rows of each side that have no partner on the other."""
    left = list(theirs)
    alone = []
    for row in mine:
        place = next((i for i, other in enumerate(left) if _same_row(row, other)), None)
        if place is None:
            alone.append(row)
        else:
            del left[place]
    return f"only ours {alone[:3]}, only DuckDB's {left[:3]}" if alone or left else None


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _same_type(ours: pa.DataType, theirs: pa.DataType) -> bool:
    # DuckDB sums integers in 128 bits; a sum that does not fit 64 is refused.
    if ours == pa.int64() and theirs == pa.decimal128(38, 0):
        return True
    # Of a literal behind a placeholder the decimals are known, and not how many digits stand before them.
    if pa.types.is_decimal(ours) and pa.types.is_decimal(theirs):
        return bool(ours.scale == theirs.scale)
    return bool(ours == theirs)


def _same_row(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    return all(map(_same, ours, theirs))


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        both_nan = math.isnan(ours) and math.isnan(theirs)
        return both_nan or math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(ours == theirs)
