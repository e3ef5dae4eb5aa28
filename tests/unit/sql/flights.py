"""A small collection of three providers with every column type, and DuckDB as its engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from connectors.column_types import arrow_type
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source, Unit
from sandbox.sql.finish import finish
from sandbox.sql.keys import decode_keys, encode_keys
from sandbox.sql.partials import encode_partials
from sandbox.sql.plan import LocalPart, Plan

COLUMNS = (
    ("carrier", "VARCHAR"),
    ("Dep_Delay", "BIGINT"),
    ("distance", "DOUBLE"),
    ("fee", "DECIMAL(10,2)"),
    ("day", "DATE"),
    ("moment", "TIMESTAMP"),
    ("cancelled", "BOOLEAN"),
    ("person", "VARCHAR"),
)
PROVIDERS = ("ana", "bo", "cy")

Row = tuple[Any, ...]


def catalogue(units: Mapping[str, Unit] | None = None, providers: Sequence[str] = PROVIDERS) -> Catalogue:
    """Return `flights`, a collection of one product `<provider>.flights` per provider, and each product."""
    chosen: Mapping[str, Unit] = units or {"ana": "row", "bo": "row", "cy": "row"}
    products = tuple(ProductFacts(f"{name}.flights", name, COLUMNS, chosen[name]) for name in providers)
    return Catalogue((Source("flights", products), *(Source(each.product, (each,)) for each in products)))


def table(rows: Sequence[Row]) -> pa.Table:
    """Return rows in the order of `COLUMNS` as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return pa.table(
        [pa.array(values, arrow_type(kind)) for values, (_, kind) in zip(columns, COLUMNS, strict=True)],
        names=[name for name, _ in COLUMNS],
    )


def run(sql: str, rows: pa.Table, name: str = "flights") -> pa.Table:
    """Run `sql` in DuckDB with `rows` as the only table."""
    engine = _engine()
    engine.register(name, rows)
    try:
        return engine.sql(sql).to_arrow_table()
    finally:
        engine.unregister(name)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def run_part(part: LocalPart, rows: pa.Table) -> pa.Table:
    """Run one part as its provider would."""
    return run(part.sql, rows, part.table)


def answer(plan: Plan, tables: Sequence[pa.Table]) -> pa.Table:
    """Compute a plan without gate and without shares: parts in DuckDB, sums in the open, `finish`."""
    parts = [run_part(part, rows) for part, rows in zip(plan.parts, tables, strict=True)]
    if plan.technique == "local":
        keys = [parts[0][f"k{index}"].combine_chunks() for index in range(len(plan.keys))]
        return finish(plan, keys, {each.name: parts[0][each.name].combine_chunks() for each in plan.measures})
    groups: dict[bytes, dict[str, int]] = {}
    words: dict[bytes, Any] = {}
    for part in parts:
        partials = encode_partials(plan, part)
        for index, row in enumerate(encode_keys(part, plan.keys)):
            words[row.tobytes()] = row
            sums = groups.setdefault(row.tobytes(), dict.fromkeys(partials, 0))
            for name, values in partials.items():
                sums[name] += int(values[index])
    opened = encode_keys(parts[0].slice(0, 0), plan.keys)
    opened = opened if not words else type(opened)((len(words), opened.shape[1]), opened.dtype)
    for index, row in enumerate(words.values()):
        opened[index] = row
    measures = {
        each.name: pa.array(
            [
                None if each.function == "sum" and not sums[each.support] else sums[each.name]
                for sums in groups.values()
            ],
            pa.int64(),
        )
        for each in plan.measures
    }
    return finish(plan, decode_keys(opened, plan.keys), measures)
