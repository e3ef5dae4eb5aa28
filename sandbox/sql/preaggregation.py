"""Aggregating a collection at each of its providers first, so that groups enter shares and not rows.

A SELECT over one collection whose aggregates can be taken together of parts becomes two: each provider groups
its own rows, and the groups of all are grouped again in shares. Each provider also counts its protected
units.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sandbox.sql import types
from sandbox.sql.aggregates import quotient, squared, variance
from sandbox.sql.blocks import Binder, Block
from sandbox.sql.catalogue import ProductFacts
from sandbox.sql.guards import guard
from sandbox.sql.part_sql import Item
from sandbox.sql.partials import Partial
from sandbox.sql.parts import Part
from sandbox.sql.trees import aggregates_of, changed, named
from sandbox.sql.unions import Union

_DECOMPOSABLE = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Variance, exp.Stddev)


def partial(binder: Binder, select: exp.Select) -> Block | None:
    """Return a SELECT over one collection as groups of its providers' groups, None where it does not fit."""
    origin, where = select.args["from_"].this, select.args.get("where")
    if select.args.get("joins") or not isinstance(origin, exp.Table):
        return None
    source = binder.catalogue.find(origin.name)
    aggregates = aggregates_of(_outputs(select))
    group = select.args.get("group")
    if len(source.products) == 1 or (group is None and not aggregates) or select.args.get("distinct"):
        return None
    if any(not isinstance(each, _DECOMPOSABLE) or isinstance(each.this, exp.Distinct) for each in aggregates):
        return None
    if any(node.find(exp.Query) is not None for node in [*_outputs(select), *([where] if where else [])]):
        return None
    made = Partial(origin, where, list(group.expressions) if group is not None else [])
    made.protected = any(facts.unit is not None for facts in source.products)
    scope = {origin.alias: {name.lower(): kind for name, kind in source.columns}}
    values = {
        each.this.sql(): each.this for each in aggregates if isinstance(each, (exp.Variance, exp.Stddev))
    }
    made.types |= {text: types.of_expressions({"e": node}, scope)["e"] for text, node in values.items()}
    alias = binder.alias()
    outer = _outer(select, made, alias)
    parts = [_part(binder, made, facts, alias) for facts in source.products]
    block = binder.block(outer, Union(binder.program, parts, alias), outermost=True)
    block.partial = made
    return block


def _outer(select: exp.Select, made: Partial, alias: str) -> exp.Select:
    """Return the SELECT over the groups of all providers."""

    def column(name: str) -> exp.Column:
        return exp.column(name, table=alias, quoted=True)

    def replaced(node: exp.Expr) -> exp.Expr:
        for i, key in enumerate(made.keys):
            if node == key:
                return column(f"k{i}")
        if isinstance(node, _DECOMPOSABLE) and not isinstance(node.parent, exp.Window):
            return _together(node, made, column)
        return node

    outer = select.copy()
    outer.set("where", None)
    for item in outer.expressions:
        item.set("this", changed(item.this, replaced))
    for name in ("having", "qualify", "order"):
        clause = outer.args.get(name)
        if clause is not None:
            outer.set(name, clause.transform(replaced))
    if made.keys:
        outer.set("group", exp.Group(expressions=[column(f"k{i}") for i in range(len(made.keys))]))
    return outer


def _together(node: exp.Expr, made: Partial, column: Callable[[str], exp.Column]) -> exp.Expr:
    """Return an aggregate of rows as one of the providers' aggregates."""

    def total(aggregate: exp.Expr) -> exp.Expr:
        name = made.column(aggregate)
        made.values[name] = made.support(aggregate)
        return exp.Sum(this=column(name))

    argument = node.this
    match node:
        case exp.Count():
            counts = total(node)
            counts.meta["total"] = True
            return counts
        case exp.Min() | exp.Max():
            name = made.column(node)
            made.values[name] = made.support(node)
            return type(node)(this=column(name))
        case exp.Avg():
            summed = total(exp.Sum(this=argument.copy()))
            return quotient(summed, total(exp.Count(this=argument.copy())))
        case exp.Variance() | exp.Stddev():
            squares = squared(argument, made.types[argument.sql()])
            return variance(
                total(exp.Count(this=argument.copy())),
                total(exp.Sum(this=argument.copy())),
                total(exp.Sum(this=squares)),
                root=isinstance(node, exp.Stddev),
            )
    return total(node)


def _part(binder: Binder, made: Partial, facts: ProductFacts, alias: str) -> Part:
    select = made.select(facts)
    item = Item(
        alias=alias,
        node=named(guard(select), alias),
        provider=facts.provider,
        columns=types.of_query(select, {facts.product: {name.lower(): kind for name, kind in facts.columns}}),
        rows=binder.max_rows if made.keys else 1,
        keys=(frozenset(f"k{i}" for i in range(len(made.keys))),),
        products=(facts,),
    )
    return Part(binder.program, item)


def _outputs(select: exp.Select) -> list[exp.Expr]:
    clauses = [select.args.get(name) for name in ("having", "qualify", "order")]
    return [*select.expressions, *(clause for clause in clauses if clause is not None)]
