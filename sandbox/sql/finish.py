"""The last step of a query, on released values alone (R8): types, quotients, order, limit.

The same function finishes a provider's own result and sums opened from shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from connectors.column_types import arrow_type
from records.errors import LimitExceeded
from sandbox.sql.catalogue import is_decimal
from sandbox.sql.decimals import scaled
from sandbox.sql.plan import Measure, Output, Plan
from sandbox.sql.query import OrderKey


def finish(plan: Plan, keys: Sequence[pa.Array], measures: Mapping[str, pa.Array]) -> pa.Table:
    """Return the result table of `plan`.

    `keys` are its key columns, `measures` its measures by name, all (G,): as DuckDB returned them in a local
    plan, int64 in a secret-sharing plan. A null measure is a suppressed cell, or a SUM over no values: the
    caller nulls every SUM whose support is 0. An AVG is the quotient of exact integers, rounded once. Rows
    that ORDER BY leaves equal stand in the order of their outputs, so that their place says nothing.

    Raises:
        LimitExceeded: a SUM of BIGINT does not fit 64 bits.
    """
    by_name = {measure.name: measure for measure in plan.measures}
    columns: list[pa.Array] = []
    for output in plan.outputs:
        first, *divisor = output.sources
        if first not in by_name:
            columns.append(keys[int(first[1:])].cast(arrow_type(output.type)))
        elif divisor:
            columns.append(_quotient(measures[first], measures[divisor[0]], by_name[first].scale))
        else:
            columns.append(_value(measures[first], by_name[first], output))
    rows = _sorted_rows(columns, plan.order)
    names = [output.name for output in plan.outputs]
    return pa.table(columns, names=names).take(rows[: plan.limit])


def _value(column: pa.Array, measure: Measure, output: Output) -> pa.Array:
    wanted = arrow_type(output.type)
    if measure.scale != 1 and is_decimal(output.type):
        return scaled(column, wanted)
    if measure.scale != 1:
        values = column.to_pylist()
        return pa.array([None if value is None else value / measure.scale for value in values], wanted)
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid:
        raise LimitExceeded(
            "a sum does not fit 64 bits; filter more, or use a unit with smaller numbers"
        ) from None


def _quotient(dividends: pa.Array, divisors: pa.Array, scale: int) -> pa.Array:
    """Return dividend / (scale · divisor) to the nearest double; division of integers rounds once."""
    pairs = zip(dividends.to_pylist(), divisors.to_pylist(), strict=True)
    values = [
        None if dividend is None or not divisor else dividend / (scale * divisor)
        for dividend, divisor in pairs
    ]
    return pa.array(values, pa.float64())


def _sorted_rows(columns: Sequence[pa.Array], order: Sequence[OrderKey]) -> pa.Array:
    """Return the indices of the rows in order; NaN is the greatest number, as in DuckDB.

    Arrow puts NULL and NaN to one end whatever the direction, so each key sorts by flags for the two first.
    """
    ordered = {key.output for key in order}
    rest = [OrderKey(index) for index in range(len(columns)) if index not in ordered]
    sorted_by: list[tuple[pa.Array, str]] = []
    for key in (*order, *rest):
        column = columns[key.output]
        direction = "descending" if key.descending else "ascending"
        sorted_by.append((pc.is_null(column), "descending" if key.nulls_first else "ascending"))
        if pa.types.is_floating(column.type):
            sorted_by.append((pc.is_nan(column), direction))
            column = pc.if_else(pc.is_nan(column), None, column)
        sorted_by.append((column, direction))
    names = [str(index) for index in range(len(sorted_by))]
    table = pa.table([_sortable(column) for column, _ in sorted_by], names=names)
    keys = [(name, direction) for name, (_, direction) in zip(names, sorted_by, strict=True)]
    return pc.sort_indices(table, sort_keys=keys)


def _sortable(column: pa.Array) -> pa.Array:
    return column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
