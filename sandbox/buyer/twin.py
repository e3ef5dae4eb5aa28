"""A synthetic twin of a product: random rows from schema and declared bounds alone, never from rows (R16)."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from connectors.column_types import arrow_type
from policies.terms import Terms
from records.parties import ProductRecord

DEFAULT_ROWS = 1000
_CODES = [f"{a}{b}" for a in "ABCDEFGH" for b in "KLMN"]


def twin(record: ProductRecord, terms: Terms, rows: int = DEFAULT_ROWS, seed: int = 0) -> pa.Table:
    """Return `rows` made-up rows of the product's schema; equal arguments give equal rows.

    It is for trying out queries, and says nothing about the data: numbers are uniform within the clamp of
    the terms (0 to 100 where there is none), texts are random codes.
    """
    source = random.Random(f"{record.product}/{record.version}/{seed}")  # noqa: S311 - no secret depends on it
    columns = {}
    for column in record.columns:
        clamp = terms.column(column.name).clamp
        low, high = (int(float(str(bound))) for bound in clamp) if clamp else (0, 100)
        kind = arrow_type(column.type)
        values = [_value(source, column.type.partition("(")[0], low, high) for _ in range(rows)]
        columns[column.name] = pa.array(values, kind)
    return pa.table(columns)


def _value(source: random.Random, kind: str, low: int, high: int) -> Any:
    match kind:
        case "BOOLEAN":
            return source.random() < 0.5
        case "BIGINT":
            return source.randint(low, high)
        case "DECIMAL":
            return Decimal(source.randint(low, high))
        case "DOUBLE":
            return source.uniform(low, high)
        case "DATE":
            return date(2000, 1, 1) + timedelta(days=source.randrange(10_000))
        case "TIMESTAMP":
            moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=source.randrange(10_000_000))
            return moment.replace(tzinfo=None)
    return source.choice(_CODES)
