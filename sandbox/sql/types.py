"""Types of expressions, as DuckDB itself finds them: over empty tables, with samples in place of literals.

No rows are read (R12). What DuckDB refuses to bind (types that do not fit, a function that does not exist) is
refused here, before any provider sees the query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sqlglot import exp

from connectors import column_types, scratch
from records.errors import MalformedDocument
from sandbox.sql import grammar, placeholders

Columns: TypeAlias = Mapping[str, str]
"""Name of a column → its type, in order."""

Scope: TypeAlias = dict[str, dict[str, str]]
"""Alias → name of a column → its type."""


def of_query(tree: exp.Query, tables: Mapping[str, Columns]) -> dict[str, str]:
    """Return name and type of the outputs of a resolved query over `tables`, in order.

    Raises:
        MalformedDocument: types that do not fit, or a result that cannot leave.
    """
    named = tree.copy()
    for table in named.find_all(exp.Table):
        table.replace(exp.Subquery(this=_empty(tables[table.name]), alias=table.args.get("alias")))
    return _describe(named)


def of_expressions(
    expressions: Mapping[str, exp.Expr], scope: Mapping[str, Columns], *, grouped: bool = False
) -> dict[str, str]:
    """Return the types of named expressions over aliased tables; `grouped`: aggregates may stand in them.

    Raises:
        MalformedDocument: types that do not fit.
    """
    items = [exp.alias_(node.copy(), name, quoted=True) for name, node in expressions.items()]
    select = exp.select(*items)
    for position, (alias, columns) in enumerate(scope.items()):
        table = exp.Subquery(
            this=_empty(columns), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))
        )
        select = select.from_(table) if position == 0 else select.join(table, join_type="cross", copy=False)
    if grouped:
        select = select.limit(1, copy=False)
    return _describe(select)


def _empty(columns: Columns) -> exp.Select:
    return exp.select(
        *(exp.alias_(exp.cast(exp.Null(), kind), name, quoted=True) for name, kind in columns.items())
    )


def _describe(tree: exp.Query) -> dict[str, str]:
    def sampled(node: exp.Expr) -> exp.Expr:
        return placeholders.sample(node) if isinstance(node, exp.Placeholder) else node

    described = scratch.describe(tree.transform(sampled).sql(grammar.DIALECT, identify=True, comments=False))
    # A SUM of whole numbers is BIGINT, as an analyst expects; one that does not fit is refused by the cast.
    found = {
        name: "BIGINT" if kind == "HUGEINT" else column_types.result_type(kind) for name, kind in described
    }
    if None in found.values():
        raise MalformedDocument("an expression of the query has a type that cannot leave; cast it")
    return {name: str(kind) for name, kind in found.items()}
