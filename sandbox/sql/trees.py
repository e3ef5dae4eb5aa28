"""Reading and rebuilding resolved trees: what a SELECT has, and the same with other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlglot import exp

from records.errors import MalformedDocument
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.refusal import refuse


def from_items(select: exp.Select) -> list[exp.Expr]:
    """Return the tables and sub-queries in FROM, in order.

    Raises:
        JobRefused: there is no FROM.
    """
    origin = select.args.get("from_")
    if origin is None:
        raise refuse("from", "a SELECT without a table", "name a product or collection after FROM")
    return [origin.this, *(join.this for join in joins_of(select))]


def joins_of(select: exp.Select) -> list[exp.Join]:
    """Return the joins of FROM, in order."""
    return list(select.args.get("joins") or ())


def branches(query: exp.Query) -> list[exp.Select]:
    """Return the SELECTs of a UNION, from left to right; a SELECT is its own only one.

    Raises:
        MalformedDocument: something else stands in their place.
    """
    inner = query.unnest()
    if isinstance(inner, exp.Union):
        return [*branches(inner.this), *branches(inner.expression)]
    if not isinstance(inner, exp.Select):
        raise MalformedDocument("a query is a SELECT, or SELECTs with UNION between them")
    return [inner]


def unions(query: exp.Query) -> list[exp.Union]:
    """Return the UNIONs that join the branches of a query."""
    inner = query.unnest()
    return [inner, *unions(inner.this), *unions(inner.expression)] if isinstance(inner, exp.Union) else []


def order_of(query: exp.Query) -> list[exp.Ordered]:
    """Return the keys of ORDER BY."""
    order = query.args.get("order")
    return list(order.expressions) if order is not None else []


def output_names(query: exp.Query) -> list[str]:
    """Return the names of the outputs; those of a UNION are of its first SELECT."""
    return [item.alias_or_name for item in branches(query)[0].expressions]


def only_output(query: exp.Query) -> exp.Expr:
    """Return the only output of a sub-query.

    Raises:
        MalformedDocument: it has several.
    """
    first = branches(query)[0]
    if len(first.expressions) != 1:
        raise MalformedDocument("a sub-query that gives a value, or a list for IN, has one output")
    output: exp.Expr = first.expressions[0].unalias()
    return output


def aggregates_of(nodes: Iterable[exp.Expr]) -> list[exp.AggFunc]:
    """Return the aggregates in expressions, but for those of windows and of sub-queries."""
    return [
        found
        for node in nodes
        for found in node.find_all(exp.AggFunc)
        if not isinstance(found.parent, exp.Window)
        and found.find_ancestor(exp.Query) is node.find_ancestor(exp.Query)
    ]


def columns_of_tables(tree: exp.Query, catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """Return names and types of the columns of all tables of a query, by their names in it."""
    return {
        table.name: {name.lower(): kind for name, kind in catalogue.find(table.name).columns}
        for table in tree.find_all(exp.Table)
    }


def is_grouped(query: exp.Query) -> bool:
    """Tell whether other outputs would be of other rows: the query is a UNION, or has groups."""
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
    """Return a copy of a query as an item of FROM."""
    return exp.Subquery(this=query.copy(), alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def inner_query(node: exp.Expr) -> exp.Select | exp.Union:
    """Return the SELECT or UNION in parentheses.

    Raises:
        MalformedDocument: there is none.
    """
    inner = node.unnest()
    if isinstance(inner, exp.Subquery):
        inner = inner.this
    if not isinstance(inner, (exp.Select, exp.Union)):
        raise MalformedDocument("a sub-query is a SELECT")
    return inner


def has_query(expression: exp.Expr) -> bool:
    """Tell whether an expression has a sub-query."""
    return expression.find(exp.Query) is not None


def first_query(root: exp.Expr) -> exp.Expr | None:
    """Return the first outermost sub-query of an expression, with the EXISTS, IN or NOT IN around it."""
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


def changed(expression: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Return a copy of an expression with `change` made to its nodes, from the top."""
    result: exp.Expr = exp.Paren(this=expression.copy()).transform(change).this
    return result


def aliases_of(expression: exp.Expr) -> set[str]:
    """Return the aliases that an expression names."""
    return {column.table for column in expression.find_all(exp.Column)}


def unique_aliases(tree: exp.Query) -> exp.Query:
    """Return a tree in which every table and sub-query in FROM has an alias that nothing else has."""
    root = tree.copy()
    _rename(root, {}, set())
    return root


def _rename(query: exp.Expr, outer: Mapping[str, str], taken: set[str]) -> None:
    """Give new aliases to a query in place; `outer` are those around it, `taken` all that exist."""
    if isinstance(query, exp.Union):
        _rename(query.this, outer, taken)
        _rename(query.expression, outer, taken)
    elif isinstance(query, exp.Subquery):
        _rename(query.this, outer, taken)
    elif isinstance(query, exp.Select):
        own = {**outer, **_rename_items(query, outer, taken)}
        clauses = [child for key, value in query.args.items() if key != "from_" for child in _nodes(value)]
        _rename_columns(clauses, own, taken)


def _rename_items(select: exp.Select, outer: Mapping[str, str], taken: set[str]) -> dict[str, str]:
    """Give new aliases to what stands in FROM; return them by the old ones."""
    own: dict[str, str] = {}
    for node in from_items(select):
        if isinstance(node, exp.Subquery):
            _rename(node.this, outer, taken)
        before = node.alias_or_name
        own[before] = before if before not in taken else f"{before}_{len(taken)}"
        taken.add(own[before])
        node.set("alias", exp.TableAlias(this=exp.to_identifier(own[before], quoted=True)))
    return own


def _rename_columns(clauses: Sequence[exp.Expr], own: Mapping[str, str], taken: set[str]) -> None:
    pending = list(clauses)
    while pending:
        node = pending.pop()
        if isinstance(node, exp.Join):
            pending += _nodes(node.args.get("on"))
        elif isinstance(node, (exp.Select, exp.Union)):
            _rename(node, own, taken)
        elif isinstance(node, exp.Column):
            if node.table in own:
                node.set("table", exp.to_identifier(own[node.table], quoted=True))
        else:
            pending += list(node.iter_expressions())


def _nodes(value: object) -> list[exp.Expr]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, exp.Expr)]


def without_output_names(node: exp.Expr, outputs: Mapping[str, exp.Expr]) -> exp.Expr:
    """Return an expression of ORDER BY with what outputs are made of in the place of their names."""
    if isinstance(node, exp.Column) and not node.table and node.name in outputs:
        return outputs[node.name].copy()

    def replaced(each: exp.Expr) -> exp.Expr:
        is_output = isinstance(each, exp.Column) and not each.table and each.name in outputs
        return exp.Paren(this=outputs[each.name].copy()) if is_output else each

    return exp.Paren(this=node.copy()).transform(replaced).this  # type: ignore[no-any-return]
