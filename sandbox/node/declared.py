"""What terms declare to everybody is true of the source: checked when a product is registered.

The provider's own engines aggregate; no row leaves its machine, and no error says a value or a count. A
declaration is the officer's (R16): one that does not hold is refused, never mended from the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlglot import exp

from connectors import local_query
from connectors.connector import Column, Connector
from policies.plain_text import show_name
from policies.public import BoundValue, Public, Range, RangeKind, read_range
from policies.terms import Terms
from records.errors import MalformedDocument

TABLE = "declared"
DIALECT = "duckdb"
BROKEN = "the source does not keep this; correct the declaration or leave it out"

_KINDS: Mapping[str, RangeKind] = {
    "BIGINT": "number",
    "DECIMAL": "number",
    "DOUBLE": "number",
    "DATE": "day",
    "TIMESTAMP": "time",
}
"""Type of a column, without parameters → the kind of bounds it may have."""


def require_declared(connector: Connector, terms: Terms) -> None:
    """Return if the source keeps all that the `public` section of `terms` declares.

    Costs one aggregation of the source per declaration, two per key. For texts see `_bytes_at_most`.

    Raises:
        MalformedDocument: the field and column of a declaration that does not hold, or does not fit the
            column's type; or a column that the source lacks.
        LimitExceeded, SourceUnreadable, StateConflict: see `Connector.execute`.
    """
    public = terms.public
    columns = {column.name.lower(): column for column in connector.schema()}
    _require_columns(public, columns)
    _require_types(public, columns)
    if public.rows is not None and _number(connector, exp.select(exp.Count(this=exp.Star()))) > public.rows:
        raise _fault("rows", ())
    for key in public.keys:
        own = [_written(columns, name) for name in key]
        if _rows_without(connector, own) or _largest_group(connector, own) > 1:
            raise _fault("keys", key)
    for name, most in public.most.items():
        if _largest_group(connector, [_written(columns, name)]) > most:
            raise _fault("most", [name])
    for name, bounds in public.ranges.items():
        if not _lies_within(connector, _written(columns, name), read_range(bounds)):
            raise _fault("ranges", [name])
    for name, limit in public.bytes.items():
        if _number(connector, exp.select(exp.Max(this=_bytes_at_most(_written(columns, name))))) > limit:
            raise _fault("bytes", [name])


def _require_columns(public: Public, columns: Mapping[str, Column]) -> None:
    # Stricter than `Terms.require_columns`: what is declared of `straße` is not checked on `strasse`.
    for name in public.columns:
        if name.lower() not in columns:
            raise MalformedDocument(f"`public` names `{show_name(name)}`, which the table does not have")


def _require_types(public: Public, columns: Mapping[str, Column]) -> None:
    for name, bounds in public.ranges.items():
        own = _base_type(columns, name)
        if read_range(bounds).kind != _KINDS.get(own):
            raise _fault("ranges", [name], f"bounds of this form do not fit a column of type {own}")
    for name in public.bytes:
        own = _base_type(columns, name)
        if own != "VARCHAR":
            raise _fault("bytes", [name], f"a column of type {own} holds no text")


def _rows_without(connector: Connector, names: Sequence[str]) -> int:
    """Return how many rows lack one of the columns."""
    missing = exp.or_(*(exp.Is(this=_column(name), expression=exp.Null()) for name in names))
    return _number(connector, exp.select(exp.Count(this=exp.Star())).where(missing))


def _largest_group(connector: Connector, names: Sequence[str]) -> int:
    """Return the largest number of rows that agree in all of the columns, none of them missing; 0 of none."""
    present = exp.and_(*(exp.Is(this=_column(name), expression=exp.Null()).not_() for name in names))
    sizes = exp.select(exp.alias_(exp.Count(this=exp.Star()), "size", quoted=True)).from_(_table())
    sizes = sizes.where(present).group_by(*map(_column, names))
    largest = exp.Max(this=exp.column("size", table="groups", quoted=True))
    return _number(connector, exp.select(largest).from_(sizes.subquery("groups")))


def _lies_within(connector: Connector, name: str, declared: Range) -> bool:
    """Tell whether least and greatest value of the column lie in the declared range; NaN lies in none."""
    query = exp.select(
        exp.alias_(exp.Min(this=_column(name)), "least"), exp.alias_(exp.Max(this=_column(name)), "greatest")
    )
    row = local_query.execute(query.from_(_table()).sql(DIALECT), {TABLE: connector}).to_pylist()[0]
    # Engines hold NaN to be the greatest number, so it shows in the second.
    return all(
        value is None or (not _is_nan(value) and declared.contains(_bound(value))) for value in row.values()
    )


def _bytes_at_most(name: str) -> exp.Expr:
    """Return how many bytes of UTF-8 a text has at most, by its widest character: 1, 3 or 4 bytes for each.

    No function of bytes may be pushed to a source. The bound is exact for printable ASCII and for texts of
    Chinese, Japanese and Korean signs alone; a mixed text counts as if each character were its widest.
    """
    text, length = _column(name), exp.Length(this=_column(name))
    return (
        exp.case()
        .when(_matches(text, "[^ -\ufffd]"), exp.Mul(this=length, expression=exp.Literal.number(4)))
        .when(_matches(text, "[^ -~]"), exp.Mul(this=length, expression=exp.Literal.number(3)))
        .else_(length)
    )


def _matches(text: exp.Expr, pattern: str) -> exp.Expr:
    return exp.RegexpLike(this=text, expression=exp.Literal.string(pattern))


def _number(connector: Connector, query: exp.Select) -> int:
    """Return the one number that `query` gives; 0 where there is no row to aggregate."""
    whole = query if query.args.get("from_") else query.from_(_table())
    return int(local_query.execute(whole.sql(DIALECT), {TABLE: connector}).column(0)[0].as_py() or 0)


def _bound(value: float | Decimal | date) -> BoundValue:
    return Decimal(value) if isinstance(value, int | float) else value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _written(columns: Mapping[str, Column], name: str) -> str:
    """Return the name of a column as the source writes it."""
    return columns[name.lower()].name


def _base_type(columns: Mapping[str, Column], name: str) -> str:
    return columns[name.lower()].type.partition("(")[0]


def _column(name: str) -> exp.Column:
    # With its table: an engine could take a bare name for the alias of an output.
    return exp.column(name, table=TABLE, quoted=True)


def _table() -> exp.Table:
    return exp.table_(TABLE, quoted=True)


def _fault(field: str, columns: Sequence[str], text: str = BROKEN) -> MalformedDocument:
    named = f" of {', '.join(f'`{show_name(name)}`' for name in columns)}" if columns else ""
    return MalformedDocument(f"`public.{field}`{named}: {text}")
