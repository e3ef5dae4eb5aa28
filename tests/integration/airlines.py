"""Three competing airlines with made-up flights, and the terms under which they sell their use."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from sandbox.local import LocalCluster

AIRLINES = ("alice", "bob", "carol")
SCHEMA = pa.schema(
    [
        ("origin", pa.string()),
        ("day", pa.date32()),
        ("fee", pa.decimal128(10, 2)),
        ("cancelled", pa.bool_()),
        ("delay", pa.int64()),
        ("distance", pa.float64()),
        ("tail", pa.string()),
    ]
)
TERMS: dict[str, Any] = {
    "purposes": ["insurance-pricing", "research"],
    "buyers": {"allow": ["*"], "deny": ["mallory"]},
    "columns": {
        "origin": {"reveal": ["plain"]},
        "day": {"reveal": ["plain"]},
        "fee": {"reveal": ["after-group-by", "after-aggregate"], "functions": ["sum", "count", "avg"]},
        "cancelled": {"reveal": ["plain"]},
        "delay": {
            "reveal": ["after-aggregate"],
            "functions": ["sum", "avg", "count", "min", "max", "var"],
            "roles": ["filter", "order"],
        },
        "distance": {"reveal": ["after-aggregate"], "functions": ["sum", "avg", "count"]},
        "tail": {"reveal": ["never"]},
    },
    "release": {"min_units": 3},
    "price": {"currency": "CNY", "per_use": 500, "per_cell": 2, "per_compute_second": 3},
}


def flights(airline: str, rows: int = 300) -> pa.Table:
    """Return one airline's flights; the same airline has the same ones. Sums of `distance` are exact."""
    source = random.Random(airline)  # noqa: S311 - data for tests
    return pa.Table.from_pylist(
        [
            {
                "origin": source.choice(["EWR", "JFK", "LGA", "a'b", "北京", None]),
                "day": date(2026, 1, 1) + timedelta(days=source.randrange(4)),
                "fee": source.choice([Decimal("0.10"), Decimal("-2.55"), Decimal("1234567.89"), None]),
                "cancelled": source.choice([True, False, None]),
                "delay": source.choice([None, *range(-60, 600)]),
                "distance": source.choice([None, source.randrange(1 << 20) / 1024]),
                "tail": f"N{source.randrange(40)}",
            }
            for _ in range(rows)
        ],
        SCHEMA,
    )


def uneven(airline: str) -> pa.Table:
    """Return groups of all kinds: large, small, of one airline mostly, with hardly a value, with none."""
    groups: Mapping[str, tuple[int, int, int]] = {
        "LARGE": (20, 20, 20),
        "SMALL": (1, 1, 0),
        "MINE": (20, 1, 0),  # large, but of two flights without alice
        "BLANK": (20, 20, 20),
        "VOID": (20, 20, 20),
    }
    rows = []
    for origin, sizes in groups.items():
        for number in range(sizes[AIRLINES.index(airline)]):
            value = {"BLANK": 7 if number == 0 and airline == "alice" else None, "VOID": None}.get(
                origin, number
            )
            rows.append({"origin": origin, "delay": value})
    return pa.Table.from_pylist(rows, SCHEMA)


def long_names(airline: str) -> pa.Table:
    """Return flights from an airport whose name is too long to be compared in shares."""
    return pa.Table.from_pylist([{"origin": f"{airline} {'x' * 40}", "delay": 1}] * 20, SCHEMA)


def union(*tables: pa.Table) -> pa.Table:
    """Return the rows of all airlines, as nobody but a test may see them."""
    return pa.concat_tables(tables)


def answer(query: str, everyone: pa.Table) -> list[dict[str, Any]]:
    """Return what DuckDB says to `query` over a table called `everyone`."""
    with duckdb.connect() as engine:
        engine.register("everyone", everyone)
        rows: list[dict[str, Any]] = engine.sql(query).to_arrow_table().to_pylist()
    return rows


def open_cluster(**changes: Any) -> Iterator[LocalCluster]:
    """Open a cluster of the three airlines; check its ledger and log when all is over."""
    tables = {"flights": flights, "uneven": uneven, "named": long_names, "rationed": flights}
    rationed = TERMS | {"uses": {"total": 2}, "release": {"min_units": 3, "max_rows": 4}}
    with LocalCluster(
        providers={airline: {name: make(airline) for name, make in tables.items()} for airline in AIRLINES},
        terms={
            airline: {name: rationed if name == "rationed" else TERMS for name in tables}
            for airline in AIRLINES
        },
        collections={
            "everyone": [f"{airline}.flights" for airline in AIRLINES],
            "uneven": [f"{airline}.uneven" for airline in AIRLINES],
            "named": [f"{airline}.named" for airline in AIRLINES],
        },
        **changes,
    ) as cluster:
        yield cluster
        assert cluster.ledger.check().open_holds == 0
        assert cluster.log.check().size > 0
