"""The small tables of `docs/sql.md`: a shop, a carrier, two chains of stores, a clinic and a laboratory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from connectors.sources import Source
from sandbox.buyer.client import Buyer
from sandbox.local import LocalCluster

PURPOSE = "research"
MAX_GROUPS = 32
CITIES = ("Ghent", "Liège", "Namur")
MONEY = pa.decimal128(10, 2)


def tables() -> dict[str, dict[str, pa.Table]]:
    """Return provider → table → rows; some values are NULL."""
    customers, orders, parcels, patients = range(1, 13), range(1, 17), range(1, 21), range(1, 13)
    return {
        "shop": {
            "customers": pa.table(
                {
                    "customer": list(customers),
                    "city": [CITIES[i % 3] for i in customers],
                    "segment": ["home" if i % 4 else "trade" for i in customers],
                    "joined": [date(2024, 1, 1) + timedelta(days=40 * i) for i in customers],
                    "credit": pa.array([Decimal(i * 150) / 4 if i % 5 else None for i in customers], MONEY),
                }
            ),
            "orders": pa.table(
                {
                    "order_id": list(orders),
                    "customer": [i * 5 % 11 + 1 for i in orders],
                    "day": [date(2025, 1, 1) + timedelta(days=11 * i) for i in orders],
                    "total": pa.array([Decimal(i * i * 37 % 901) / 4 for i in orders], MONEY),
                }
            ),
        },
        "carrier": {
            "parcels": pa.table(
                {
                    "parcel": list(parcels),
                    "order_id": [i * 7 % 18 + 1 for i in parcels],
                    "weight": [i % 7 + 0.25 for i in parcels],
                    "days": [i * 3 % 8 if i % 6 else None for i in parcels],
                    "late": [i % 3 == 0 for i in parcels],
                    "sent": [datetime(2025, 1, 1, 8, tzinfo=UTC) + timedelta(hours=30 * i) for i in parcels],
                }
            ),
            "complaints": pa.table(
                {
                    "customer": [1, 1, 2, 5, 5, 12],
                    "reason": ["late", "lost", "late", "late", "broken", "late"],
                }
            ),
        },
        "north": {
            "stores": pa.table(
                {"store": [1, 2, 3], "city": ["Ghent", "Ghent", "Namur"], "area": [120, 80, 95]}
            )
        },
        "south": {"stores": pa.table({"store": [1, 2], "city": ["Namur", "Arlon"], "area": [60, None]})},
        "clinic": {
            "patients": pa.table(
                {
                    "patient": list(patients),
                    "sex": ["f" if i % 2 else "m" for i in patients],
                    "ward": ["A" if i < 6 else "B" if i < 11 else "C" for i in patients],
                    "age": [20 + 5 * i for i in patients],
                }
            )
        },
        "lab": {
            "tests": pa.table(
                {
                    "test": list(range(1, 25)),
                    "patient": [i % 12 + 1 for i in range(24)],
                    "kind": ["iron" if i < 16 else "zinc" for i in range(24)],
                    "value": pa.array([Decimal(10 + i * 7 % 13) / 2 for i in range(24)], MONEY),
                }
            )
        },
    }


_OPEN: dict[str, Any] = {"unit": {"none": "made up for this page"}, "columns": {"*": {"reveal": ["plain"]}}}
_SUMMED = {
    "reveal": ["after-aggregate"],
    "functions": ["count", "sum", "avg", "min", "max"],
    "roles": ["filter"],
}
_KEY = {"reveal": ["never"], "roles": ["join"]}
_GROUPED = {"reveal": ["after-group-by"], "roles": ["group", "filter"]}

TERMS: Mapping[str, Mapping[str, Any]] = {
    "shop.customers": _OPEN
    | {"public": {"rows": 12, "keys": [["customer"]], "bytes": {"city": 15, "segment": 6}}},
    "shop.orders": _OPEN | {"public": {"rows": 16, "keys": [["order_id"]], "ranges": {"total": [0, 1000]}}},
    "carrier.parcels": _OPEN
    | {
        "public": {
            "rows": 20,
            "keys": [["parcel"]],
            "most": {"order_id": 2},
            "ranges": {"weight": [0, 50], "days": [0, 30], "order_id": [0, 1000]},
        }
    },
    "carrier.complaints": _OPEN | {"public": {"rows": 6, "bytes": {"reason": 6}}},
    "north.stores": _OPEN | {"public": {"rows": 4, "bytes": {"city": 15}, "ranges": {"area": [0, 500]}}},
    "south.stores": _OPEN | {"public": {"rows": 4, "bytes": {"city": 15}, "ranges": {"area": [0, 500]}}},
    "clinic.patients": {
        "unit": ["patient"],
        "columns": {"patient": _KEY, "sex": _GROUPED, "ward": _GROUPED, "age": _SUMMED},
        "release": {"min_units": 3},
        "public": {
            "rows": 12,
            "keys": [["patient"]],
            "bytes": {"sex": 1, "ward": 1},
            "ranges": {"age": [0, 120]},
        },
    },
    "lab.tests": {
        "unit": ["patient"],
        "columns": {"test": _KEY, "patient": _KEY, "kind": _GROUPED, "value": _SUMMED},
        "release": {"min_units": 3},
        "public": {"rows": 24, "keys": [["test"]], "bytes": {"kind": 4}, "ranges": {"value": [0, 100]}},
    },
}

COLLECTIONS = {"stores": ["north.stores", "south.stores"]}


def cluster(sources: Mapping[str, Mapping[str, Source]] | None = None) -> LocalCluster:
    """Return a local cluster that offers the tables, from memory or from `sources` that hold the same."""
    stated: dict[str, Any] = {"purposes": [PURPOSE], "buyers": {"allow": ["acme"]}}
    terms: dict[str, dict[str, Any]] = {}
    for product, each in TERMS.items():
        provider, _, table = product.partition(".")
        terms.setdefault(provider, {})[table] = {**stated, **each}
    return LocalCluster(providers=sources or tables(), terms=terms, collections=COLLECTIONS)


def buyer(market: LocalCluster) -> Buyer:
    """Return a buyer with enough money."""
    return market.buyer("acme", funds={"CNY": 1_000_000})


def in_duckdb() -> duckdb.DuckDBPyConnection:
    """Return DuckDB with the same tables, which it may see all of."""
    connection = duckdb.connect()
    for provider, owned in tables().items():
        connection.execute(f"CREATE SCHEMA {provider}")
        for name, rows in owned.items():
            connection.register(f"{provider}_{name}", rows)
            connection.execute(f"CREATE TABLE {provider}.{name} AS FROM {provider}_{name}")
    for name, members in COLLECTIONS.items():
        connection.execute(
            f"CREATE VIEW {name} AS {' UNION ALL '.join(f'FROM {member}' for member in members)}"
        )
    return connection
