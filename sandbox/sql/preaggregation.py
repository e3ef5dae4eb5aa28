"""Aggregating a collection at each of its providers first, so that groups enter shares and not rows.

A SELECT over one collection whose aggregates can be taken together of parts becomes two: each provider groups its
own rows, and the groups of all are grouped again in shares. Each provider also counts its protected units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import types, units
from sandbox.sql.aggregates import squared, variance
from sandbox.sql.blocks import Binder, Block
from sandbox.sql.catalogue import ProductFacts
from sandbox.sql.local import aggregates_in, guard
from sandbox.sql.parts import Item, Part, Union, typed_query

_DECOMPOSABLE = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Variance, exp.Stddev)


@dataclass(slots=True)
class Partial:
    """What each provider computes: keys `k0…`, aggregates `p0…`, units `u` and, of each value, `c0…`."""

    table: exp.Table
    where: exp.Where | None
    keys: list[exp.Expr]
    aggregates: list[exp.Expr] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    conditions: list[exp.Expr] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)

    def column(self, aggregate: exp.Expr) -> str:
        """Add an aggregate of the rows of one provider, once, and return its name."""
        if aggregate not in self.aggregates:
            self.aggregates.append(aggregate.copy())
        return f"p{self.aggregates.index(aggregate)}"

    def support(self, aggregate: exp.Expr) -> list[str]:
        """Add the counts of units behind an aggregate and return their names."""
        names = []
        for condition in units.arguments_of(aggregate):
            if condition not in self.conditions:
                self.conditions.append(condition)
            names.append(f"c{self.conditions.index(condition)}")
        return names

    def select(self, facts: ProductFacts) -> exp.Select:
        """Return the SELECT of one provider, over the name of its product."""
        counted = _counted(facts, self.table.alias)
        items = {f"k{i}": key for i, key in enumerate(self.keys)}
        items |= {f"p{i}": aggregate for i, aggregate in enumerate(self.aggregates)}
        if counted is not None:
            items["u"] = counted.count()
            items |= {f"c{i}": counted.count(condition) for i, condition in enumerate(self.conditions)}
        table = self.table.copy()
        table.set("this", exp.to_identifier(facts.product, quoted=True))
        select = exp.select(*(exp.alias_(node.copy(), name, quoted=True) for name, node in items.items()))
        select = select.from_(table, copy=False)
        select.set("where", self.where.copy() if self.where is not None else None)
        if self.keys:
            select.set("group", exp.Group(expressions=[key.copy() for key in self.keys]))
        return select


def partial(binder: Binder, select: exp.Select) -> Block | None:
    """Return a SELECT over one collection as groups of its providers' groups, None where that does not fit."""
    origin, where = select.args["from_"].this, select.args.get("where")
    if select.args.get("joins") or not isinstance(origin, exp.Table):
        return None
    source = binder.catalogue.find(origin.name)
    aggregates = [each for node in _outputs(select) for each in aggregates_in(node)]
    group = select.args.get("group")
    if len(source.products) == 1 or (group is None and not aggregates) or select.args.get("distinct"):
        return None
    if any(not isinstance(each, _DECOMPOSABLE) or isinstance(each.this, exp.Distinct) for each in aggregates):
        return None
    if any(node.find(exp.Query) is not None for node in [*_outputs(select), *([where] if where else [])]):
        return None
    made = Partial(origin, where, list(group.expressions) if group is not None else [])
    scope = {origin.alias: {name.lower(): kind for name, kind in source.columns}}
    values = {
        each.this.sql(): each.this for each in aggregates if isinstance(each, (exp.Variance, exp.Stddev))
    }
    made.types |= {text: types.of_expressions({"e": node}, scope)["e"] for text, node in values.items()}
    alias = binder.alias()
    outer = _outer(select, made, alias)
    parts = [_part(binder, made, facts, alias) for facts in source.products]
    block = binder.block(outer, Union(binder.program, parts, alias))
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
        item.set("this", exp.Paren(this=item.this).transform(replaced).this)
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
            quotient = exp.Div(
                this=total(exp.Sum(this=argument.copy())), expression=total(exp.Count(this=argument.copy()))
            )
            quotient.meta["by_count"] = True
            return exp.Paren(this=quotient)
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
    inner = guard(select)
    item = Item(
        alias=alias,
        node=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))),
        provider=facts.provider,
        columns=typed_query(select, [facts]),
        rows=binder.max_rows if made.keys else 1,
        keys=(frozenset(f"k{i}" for i in range(len(made.keys))),),
        products=(facts,),
    )
    return Part(binder.program, item)


def _counted(facts: ProductFacts, alias: str) -> units.Counted | None:
    if facts.unit is None:
        return None
    names = facts.unit if isinstance(facts.unit, tuple) else ()
    return units.Counted(facts, tuple(exp.column(name.lower(), table=alias, quoted=True) for name in names))


def _outputs(select: exp.Select) -> list[exp.Expr]:
    clauses = [select.args.get(name) for name in ("having", "qualify", "order")]
    return [*select.expressions, *(clause for clause in clauses if clause is not None)]
