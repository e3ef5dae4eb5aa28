"""From the signed records of a job to the catalogue of its planner: columns, units, and what terms declare.

Pure: the caller has verified the signatures of the records it passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction

from connectors.column_types import arrow_type
from policies.plain_text import show_name
from policies.public import BoundValue, Public, Range
from policies.terms import Terms
from records.errors import MalformedDocument
from records.parties import CollectionMembership, ProductRecord
from sandbox.sql.catalogue import Catalogue, Declared, ProductFacts, Source, Unit, is_decimal

_FIRST_DAY = date(1970, 1, 1)
_FIRST_TIME = datetime(1970, 1, 1)  # noqa: DTZ001 - a TIMESTAMP is UTC and has no zone
_KINDS = {"BIGINT": "number", "DOUBLE": "number", "DATE": "day", "TIMESTAMP": "time"}


def catalogue(
    collections: Sequence[str],
    products: Mapping[str, ProductRecord],
    terms: Mapping[str, Terms],
    memberships: Sequence[CollectionMembership],
) -> Catalogue:
    """Return what a query over `products` and `collections` may stand on.

    Raises:
        MalformedDocument: a collection has a member that is not among `products`, or none at all; or terms
            declare something that does not fit the type of its column.
    """
    known = {name: _product_facts(record, terms[name]) for name, record in sorted(products.items())}
    sources = [Source(name, (product,)) for name, product in known.items()]
    for collection in collections:
        members = sorted({item.product for item in memberships if item.collection == collection})
        if not members or not set(members) <= set(known):
            raise MalformedDocument("`products` lack a member of a collection that the job names")
        sources.append(Source(collection, tuple(known[name] for name in members)))
    return Catalogue(tuple(sources))


def _product_facts(record: ProductRecord, terms: Terms) -> ProductFacts:
    unit: Unit = None if not terms.names_unit else terms.unit_columns or "row"
    columns = tuple((column.name, column.type) for column in record.columns)
    return ProductFacts(
        record.product, record.provider, columns, unit, _declared(terms.public, dict(columns))
    )


def _declared(public: Public, types: Mapping[str, str]) -> Declared:
    own = {name.lower(): kind for name, kind in types.items()}
    for name in public.columns:
        if name.lower() not in own:
            raise MalformedDocument(f"`public` names `{show_name(name)}`, which the table does not have")
    ranges = {name: (own[name.lower()], public.range_of(name)) for name in public.ranges}
    return Declared(
        rows=public.rows,
        keys=tuple(tuple(name.lower() for name in key) for key in public.keys),
        most=tuple((name.lower(), most) for name, most in public.most.items()),
        ranges=tuple(
            (name.lower(), _bounds(kind, declared, name))
            for name, (kind, declared) in ranges.items()
            if declared is not None
        ),
        bytes=tuple((name.lower(), limit) for name, limit in public.bytes.items()),
    )


def _bounds(column_type: str, declared: Range, name: str) -> tuple[int, int]:
    """Return a range as the integers that carry the values of a column; of a DOUBLE, as its whole bounds."""
    decimal = is_decimal(column_type)
    if declared.kind != ("number" if decimal else _KINDS.get(column_type)):
        raise MalformedDocument(
            f"`public.ranges` of `{show_name(name)}`: bounds of this form do not fit its type"
        )
    scale = 10 ** int(arrow_type(column_type).scale) if decimal else 1
    return math.floor(_number(declared.least) * scale), math.ceil(_number(declared.greatest) * scale)


def _number(bound: BoundValue) -> Fraction:
    match bound:
        case datetime():
            return Fraction((bound - _FIRST_TIME) // timedelta(microseconds=1))
        case date():
            return Fraction((bound - _FIRST_DAY).days)
        case _:
            return Fraction(bound)
