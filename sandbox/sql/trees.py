"""Reading and rebuilding resolved trees: what a SELECT has, and the same with other parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from records.errors import MalformedDocument
from sandbox.sql.relations import refuse


def from_clause(select: exp.Select) -> list[exp.Expr]:
    origin = select.args.get("from_")
    if origin is None:
        raise refuse("from", "a SELECT without a table", "name a product or collection after FROM")
    return [origin, *(select.args.get("joins") or ())]


def branches(query: exp.Query) -> list[exp.Query]:
    inner = query.unnest()
    if isinstance(inner, exp.Union):
        return [*branches(inner.this), *branches(inner.expression)]
    return [inner]


def unions(query: exp.Query) -> list[exp.Union]:
    inner = query.unnest()
    return [inner, *unions(inner.this), *unions(inner.expression)] if isinstance(inner, exp.Union) else []


def order_of(query: exp.Query) -> list[exp.Ordered]:
    order = query.args.get("order")
    return list(order.expressions) if order is not None else []


def output_names(query: exp.Query) -> list[str]:
    return [item.alias_or_name for item in branches(query)[0].expressions]


def only_output(query: exp.Query) -> exp.Expr:
    first = branches(query)[0]
    if len(first.expressions) != 1:
        raise MalformedDocument("a sub-query that gives a value, or a list for IN, has one output")
    return first.expressions[0].unalias()  # type: ignore[no-any-return]


def aggregates_of(nodes: Sequence[exp.Expr]) -> list[exp.Expr]:
    """Return the aggregates in expressions, but for those of windows and of sub-queries."""
    return [
        found
        for node in nodes
        for found in node.find_all(exp.AggFunc)
        if not isinstance(found.parent, exp.Window)
        and (found.find_ancestor(exp.Query) in (None, node.find_ancestor(exp.Query)))
    ]


def is_grouped(query: exp.Query) -> bool:
    return not isinstance(query, exp.Select) or bool(
        query.args.get("group")
        or query.args.get("having")
        or query.args.get("distinct")
        or query.args.get("qualify")
    )


def rewritten(
    query: exp.Query,
    outputs: Mapping[str, exp.Expr],
    *,
    distinct: bool = False,
    keys: list[exp.Expr] | None = None,
) -> exp.Query:
    """Return a SELECT with other outputs, without order and limit, and with other groups."""
    select = query.copy()
    select.set("expressions", [exp.alias_(node.copy(), name, quoted=True) for name, node in outputs.items()])
    select.set("order", None)
    select.set("distinct", exp.Distinct() if distinct else None)
    if keys:
        select.set("group", exp.Group(expressions=[key.copy() for key in keys]))
    return select


def named(query: exp.Query, alias: str) -> exp.Subquery:
    return exp.Subquery(this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def inner_query(node: exp.Expr) -> exp.Query:
    inner = node.unnest()
    if isinstance(inner, exp.Subquery):
        inner = inner.this
    if not isinstance(inner, (exp.Select, exp.Union)):
        raise MalformedDocument("a sub-query is a SELECT")
    return inner


def has_query(expression: exp.Expr) -> bool:
    return expression.find(exp.Query) is not None


def first_query(root: exp.Expr) -> exp.Expr | None:
    """Return the first outermost sub-query of an expression, with the EXISTS, IN or NOT IN that it stands in."""
    for node in root.walk(bfs=False):
        if (
            isinstance(node, exp.Not)
            and isinstance(node.this.unnest(), exp.In)
            and node.this.unnest().args.get("query")
        ):
            node.set("this", node.this.unnest())
            return node
        if isinstance(node, exp.Exists) or (isinstance(node, exp.In) and node.args.get("query")):
            return node
        if isinstance(node, (exp.Subquery, exp.Select, exp.Union)):
            return node
    return None


def aliases_of(expression: exp.Expr) -> set[str]:
    return {column.table for column in expression.find_all(exp.Column)}


def unique_aliases(tree: exp.Query) -> exp.Query:
    """Return a tree in which every table and sub-query in FROM has an alias that nothing else has."""
    root = tree.copy()
    taken: set[str] = set()

    def visit(query: exp.Expr, outer: Mapping[str, str]) -> None:
        if isinstance(query, exp.Union):
            visit(query.this, outer)
            visit(query.expression, outer)
            return
        if isinstance(query, exp.Subquery):
            visit(query.this, outer)
            return
        if not isinstance(query, exp.Select):
            return
        own = dict(outer)
        for item in from_clause(query):
            node = item.this
            if isinstance(node, exp.Subquery):
                visit(node.this, outer)
            before = node.alias_or_name
            name = before if before not in taken else f"{before}_{len(taken)}"
            taken.add(name)
            own[before] = name
            node.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
        pending = [child for key, value in query.args.items() if key != "from_" for child in _nodes(value)]
        while pending:
            node = pending.pop()
            if isinstance(node, exp.Join):
                pending += [child for child in (node.args.get("on"),) if child is not None]
            elif isinstance(node, (exp.Select, exp.Union)):
                visit(node, own)
            elif isinstance(node, exp.Column):
                if node.table in own:
                    node.set("table", exp.to_identifier(own[node.table], quoted=True))
            else:
                pending += list(node.iter_expressions())

    visit(root, {})
    return root


def _nodes(value: object) -> list[exp.Expr]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, exp.Expr)]
