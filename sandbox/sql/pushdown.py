"""The part of a query that a provider's own engine computes, as DuckDB SQL over its one table.

Columns of an aggregate part: `k0…` the keys, `u` the units of the group, `m0…` the partial aggregates,
`c0…` the units with a value in each aggregated column. Columns of a row part: `k0…`.

The text is written by sqlglot from the tree: identifiers quoted, literals escaped, comments gone. A part
asks for one row more than is allowed, so that an excess shows without reading all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sandbox.sql.catalogue import ProductFacts, Unit
from sandbox.sql.grammar import DIALECT
from sandbox.sql.query import Query

FIXED_POINT_SCALE = 1 << 20
"""A DOUBLE enters shares as a multiple of 2^-20: each row is off by at most 2^-21."""

_FUNCTIONS: dict[str, type[exp.Expr]] = {
    "count": exp.Count,
    "sum": exp.Sum,
    "avg": exp.Avg,
    "min": exp.Min,
    "max": exp.Max,
    "var": exp.Variance,
    "stddev": exp.StddevSamp,
}


def aggregate(function: str, column: str | None) -> exp.Expr:
    """Return the aggregate as DuckDB computes it; `column` None counts rows."""
    return _FUNCTIONS[function](this=exp.Star() if column is None else _column(column))


def fixed_point_sum(column: str) -> exp.Expr:
    """Return the sum of a DOUBLE column as an integer, in units of 1 / `FIXED_POINT_SCALE`.

    A value that is not finite fails the part with the connector's constant error.
    """
    scaled = exp.Mul(this=_column(column), expression=exp.Literal.number(FIXED_POINT_SCALE))
    return exp.Sum(this=exp.cast(exp.Round(this=scaled), "DECIMAL(38,0)"))


def units(unit: Unit, column: str | None = None) -> exp.Expr:
    """Return the count of distinct units among the rows that have a value in `column` (None: all rows).

    Rows without a unit add none, but where there are rows there is at least one unit, so that no group
    and no value passes for absent.
    """
    rows = aggregate("count", column)
    if not isinstance(unit, tuple):
        return rows
    columns = [_column(name) for name in unit]
    value = columns[0] if len(columns) == 1 else exp.Tuple(expressions=columns)
    present = [
        _column(name)
        for name in dict.fromkeys((*(unit if len(unit) > 1 else ()), *((column,) if column else ())))
    ]
    distinct: exp.Expr = exp.Count(this=exp.Distinct(expressions=[value]))
    if present:
        known = exp.and_(*(exp.Not(this=exp.Is(this=each, expression=exp.Null())) for each in present))
        distinct = exp.Filter(this=distinct, expression=exp.Where(this=known))
    one = exp.Least(this=rows, expressions=[exp.Literal.number(1)], ignore_nulls=True)
    return exp.Greatest(this=distinct, expressions=[one], ignore_nulls=True)


def aggregate_part(
    query: Query,
    facts: ProductFacts,
    measures: Sequence[tuple[str, exp.Expr]],
    supports: Sequence[tuple[str, str]],
    max_groups: int,
) -> str:
    """Return the SQL of a provider's part of an aggregate query.

    `measures` are (name, expression), `supports` (name, aggregated column).
    """
    outputs: list[tuple[str, exp.Expr]] = [
        (f"k{index}", _column(key)) for index, key in enumerate(query.keys)
    ]
    outputs.append(("u", units(facts.unit)))
    outputs += measures
    outputs += [(name, units(facts.unit, column)) for name, column in supports]
    select = _select(query, facts, outputs)
    if query.keys:
        select = select.group_by(*(_column(key) for key in query.keys), copy=False)
    return _text(select.limit(max_groups + 1, copy=False))


def row_part(query: Query, facts: ProductFacts, columns: Sequence[str], max_rows: int) -> str:
    """Return the SQL of a row query, ordered and limited by the engine.

    All outputs follow the keys of ORDER BY: which rows a LIMIT takes depends on their values alone.
    """
    order = [(str(query.outputs[key.output].value), key.descending, key.nulls_first) for key in query.order]
    ordered = {name for name, _, _ in order}
    order += [(name, False, False) for name in columns if name not in ordered]
    select = _select(query, facts, [(f"k{index}", _column(name)) for index, name in enumerate(columns)])
    select = select.order_by(
        *(
            exp.Ordered(this=_column(name), desc=descending, nulls_first=first)
            for name, descending, first in order
        ),
        copy=False,
    )
    limit = max_rows + 1 if query.limit is None else min(query.limit, max_rows + 1)
    return _text(select.limit(limit, copy=False))


def _select(query: Query, facts: ProductFacts, outputs: Sequence[tuple[str, exp.Expr]]) -> exp.Select:
    items = [exp.alias_(expression, name, quoted=True) for name, expression in outputs]
    select = exp.select(*items).from_(exp.to_identifier(facts.table, quoted=True))
    return select if query.filter is None else select.where(query.filter.copy(), copy=False)


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _text(select: exp.Select) -> str:
    return select.sql(DIALECT, identify=True, comments=False)
