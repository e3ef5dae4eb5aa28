"""A small collection of three providers with every column type, and one provider's engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from connectors.column_types import arrow_type
from connectors.sources import open_source
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue, Declared, ProductFacts, Source, Unit
from sandbox.sql.finish import finish
from sandbox.sql.plan import Asked, Plan
from sandbox.sql.planner import plan
from tests.integration.differential.engine import run_part

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
DECLARED = Declared(
    rows=32, ranges=(("dep_delay", (-1000, 1000)), ("distance", (-1000, 1000)), ("fee", (-99999, 99999)))
)

Row = tuple[Any, ...]


def catalogue(units: Mapping[str, Unit] | None = None) -> Catalogue:
    """Return `flights`, a collection of one product `<provider>.flights` per provider, and each product."""
    chosen: Mapping[str, Unit] = units or {"ana": "row", "bo": "row", "cy": "row"}
    products = tuple(
        ProductFacts(f"{name}.flights", name, COLUMNS, chosen[name], DECLARED) for name in PROVIDERS
    )
    return Catalogue((Source("flights", products), *(Source(each.product, (each,)) for each in products)))


def derive(
    query: str,
    units: Mapping[str, Unit] | None = None,
    *,
    technique: Asked = "auto",
    max_rows: int = 100,
    values: Sequence[str] = (),
) -> Plan:
    """Return the plan of a query as a buyer signs it: its literals are placeholders already, or stay."""
    return plan(query, catalogue(units), technique=technique, max_rows=max_rows, values=values)


def derive_written(query: str, units: Mapping[str, Unit] | None = None) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan of a query as a buyer writes it, with its literals in the parts; and the literals."""
    text, values = placeholders.extract(query)
    return derive(text, units, values=values), values


def table(rows: Sequence[Row]) -> pa.Table:
    """Return rows in the order of `COLUMNS` as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    return pa.table(
        [pa.array(values, arrow_type(kind)) for values, (_, kind) in zip(columns, COLUMNS, strict=True)],
        names=[name for name, _ in COLUMNS],
    )


def part_of(query: str, rows: pa.Table, units: Mapping[str, Unit] | None = None) -> pa.Table:
    """Return what ana's engine answers to the part of a query over her flights alone."""
    made, _ = derive_written(query, units)
    source = open_source(rows)
    try:
        return run_part(made.parts[0], {"ana.flights": source})
    finally:
        source.close()


def answer(query: str, rows: pa.Table) -> pa.Table:
    """Return the answer to a query over ana's flights alone, without a gate."""
    made, values = derive_written(query)
    found = part_of(query, rows)
    return finish(made, {name: found[name] for name in found.column_names}, values)


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
