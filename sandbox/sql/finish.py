"""The last step of a query, on released values alone (R8): expressions, HAVING, ORDER BY, LIMIT.

The same function finishes a provider's own result and columns opened from shares: DuckDB runs the plan's
`finish` over the released table, in an empty and locked database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from connectors import column_types, scratch
from records.errors import InputError, LimitExceeded
from sandbox.sql import placeholders
from sandbox.sql.plan import Plan

RELEASED = "released"
"""The name of the released table in `Plan.finish`."""


def finish(plan: Plan, columns: Mapping[str, pa.Array], literals: Sequence[str] = ()) -> pa.Table:
    """Return the result table of `plan`.

    `columns` are those of `plan.columns`, all (G,), in their types; a suppressed cell is null. `literals` are
    what the query's placeholders stand for.

    Raises:
        LimitExceeded: a SUM of BIGINT does not fit 64 bits, or an expression fails on a released value.
        MalformedDocument: the literals do not fit the placeholders.
    """
    sql = placeholders.bind_text(plan.finish, literals)
    try:
        typed = pa.table(
            [columns[item.name].cast(column_types.arrow_type(item.type)) for item in plan.columns],
            names=[item.name for item in plan.columns],
        )
        result = scratch.evaluate(sql, {RELEASED: typed})
        wanted = pa.schema([(item.name, column_types.arrow_type(item.type)) for item in plan.outputs])
        return result.rename_columns(wanted.names).cast(wanted)
    except (pa.ArrowInvalid, InputError):
        raise LimitExceeded(
            "a sum does not fit 64 bits, or an expression over the result cannot be computed; filter more,"
            " or use a unit with smaller numbers"
        ) from None
