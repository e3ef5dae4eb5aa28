"""A synthetic twin of a product: random rows from schema and declared bounds alone, never from rows (R16)."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import pyarrow as pa

from connectors.column_types import arrow_type
from policies.public import Range
from policies.terms import Terms
from records.parties import ProductRecord

DEFAULT_ROWS = 1000
_CODES = [f"{a}{b}" for a in "ABCDEFGH" for b in "KLMN"]
_SECOND = timedelta(seconds=1)

Bounds: TypeAlias = tuple[Fraction, Fraction]


def twin(record: ProductRecord, terms: Terms, rows: int = DEFAULT_ROWS, seed: int = 0) -> pa.Table:
    """Return `rows` made-up rows of the product's schema, or fewer if the terms declare so; none is NULL.

    It is for trying out queries, and says nothing about the data. Values are uniform between the declared
    bounds (`public.ranges`, else the clamp of the column, else 0 to 100 or some years), texts are random
    codes of no more than the declared bytes. Keys are not made unique. Equal arguments give equal rows.
    """
    source = random.Random(f"{record.product}/{record.version}/{seed}")  # noqa: S311 - no secret depends on it
    count = min(rows, terms.public.rows or rows)
    columns = {}
    for column in record.columns:
        values = [_value(source, column.name, column.type, terms) for _ in range(count)]
        columns[column.name] = pa.array(values, arrow_type(column.type))
    return pa.table(columns)


def _value(source: random.Random, name: str, kind: str, terms: Terms) -> Any:
    match kind.partition("(")[0]:
        case "BOOLEAN":
            return source.random() < 0.5
        case "BIGINT":
            return _whole(source, _numbers(name, terms))
        case "DECIMAL":
            return _decimal(source, kind, _numbers(name, terms))
        case "DOUBLE":
            low, high = _numbers(name, terms)
            return source.uniform(float(low), float(high))
        case "DATE":
            first, last = _days(name, terms)
            return first + timedelta(days=source.randint(0, (last - first).days))
        case "TIMESTAMP":
            begin, end = _times(name, terms)
            return begin + source.randint(0, (end - begin) // _SECOND) * _SECOND
    return source.choice(_CODES)[: terms.public.bytes_of(name)]


def _numbers(name: str, terms: Terms) -> Bounds:
    match terms.public.range_of(name):
        case Range("number", Decimal() as least, Decimal() as greatest):
            return Fraction(least), Fraction(greatest)
    low, high = terms.column(name).clamp or (0, 100)
    return Fraction(str(low)), Fraction(str(high))


def _days(name: str, terms: Terms) -> tuple[date, date]:
    match terms.public.range_of(name):
        case Range("day", date() as first, date() as last):
            return first, last
    return date(2000, 1, 1), date(2027, 5, 18)


def _times(name: str, terms: Terms) -> tuple[datetime, datetime]:
    match terms.public.range_of(name):
        case Range("time", datetime() as begin, datetime() as end):
            return begin, end
    begin = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    return begin, begin + timedelta(days=7_000)


def _whole(source: random.Random, bounds: Bounds) -> int:
    # Between two bounds there need not be a whole number: then all rows of the table are NULL there.
    low, high = math.ceil(bounds[0]), math.floor(bounds[1])
    return source.randint(low, max(low, high))


def _decimal(source: random.Random, kind: str, bounds: Bounds) -> Decimal:
    digits, scale = (int(part) for part in kind.removeprefix("DECIMAL(").removesuffix(")").split(","))
    greatest = 10**digits - 1
    low, high = (bound * 10**scale for bound in bounds)
    unscaled = _whole(source, (max(low, Fraction(-greatest)), min(high, Fraction(greatest))))
    return Decimal(f"{unscaled}E-{scale}")  # exact, whatever the precision of the context
