"""SQL over the released table, and the types of its outputs; see `finish.finish`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sandbox.sql import grammar, types
from sandbox.sql.finish import RELEASED
from sandbox.sql.plan import Output, ResultColumn
from sandbox.sql.refusal import refuse


def finishing(
    final: Sequence[exp.Expr],
    outputs: Sequence[str],
    order: Sequence[exp.Ordered],
    limit: int | None,
    offset: int,
    *,
    distinct: bool = False,
    qualify: exp.Expr | None = None,
) -> str:
    """Return the SQL over the released table.

    Rows that ORDER BY leaves equal stand in the order of their outputs.

    Raises:
        JobRefused: SELECT DISTINCT ordered by what it lacks.
    """
    items = [exp.alias_(node.copy(), name, quoted=True) for name, node in zip(outputs, final, strict=True)]
    select = exp.select(*items).from_(exp.to_identifier(RELEASED, quoted=True))
    if distinct:
        select = select.distinct(copy=False)
    if qualify is not None:
        select.set("qualify", exp.Qualify(this=qualify.copy()))
    ends = [exp.Ordered(this=exp.Literal.number(i + 1), nulls_first=False) for i in range(len(items))]
    if distinct:
        order = [_by_position(each, final) for each in order]
    select.set("order", exp.Order(expressions=[*(each.copy() for each in order), *ends]))
    if limit is not None:
        select = select.limit(limit, copy=False)
    if offset:
        select = select.offset(offset, copy=False)
    return select.sql(grammar.DIALECT, identify=True, comments=False)


def outputs_of(
    final: Sequence[exp.Expr], names: Sequence[str], columns: Sequence[ResultColumn]
) -> tuple[Output, ...]:
    """Return the outputs that expressions over the released table make, with their types."""
    scope = {RELEASED: {column.name: column.type for column in columns}}
    kinds = types.of_expressions({f"e{i}": node for i, node in enumerate(final)}, scope, grouped=True)
    return tuple(
        Output(name, kind, tuple(dict.fromkeys(column.name for column in node.find_all(exp.Column))))
        for name, kind, node in zip(names, kinds.values(), final, strict=True)
    )


def _by_position(each: exp.Ordered, final: Sequence[exp.Expr]) -> exp.Ordered:
    position = next((i for i, node in enumerate(final, 1) if node == each.this), None)
    if position is None:
        raise refuse("distinct", "SELECT DISTINCT ordered by something that it lacks", "add it to SELECT")
    each.set("this", exp.Literal.number(position))
    return each
