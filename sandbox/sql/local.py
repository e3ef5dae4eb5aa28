"""The plan of a query over one provider's tables: its engine computes, the node gates and finishes.

A query that aggregates is taken apart: the engine returns keys `k0…`, units `u0…`, aggregates `m0…`, and the
values (`n0…`) and units (`c0…`) behind each; expressions over them, ORDER BY and LIMIT follow after the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from policies.columns import ColumnUse
from sandbox.sql import grammar, names, types, units
from sandbox.sql.catalogue import Catalogue
from sandbox.sql.finish import RELEASED
from sandbox.sql.guards import guard
from sandbox.sql.part_sql import spellings_of, tables_of, text_of
from sandbox.sql.plan import LocalPart, Output, Plan, ResultColumn, Support
from sandbox.sql.refusal import refuse
from sandbox.sql.released import finishing, outputs_of
from sandbox.sql.trees import (
    aggregates_of,
    changed,
    columns_of_tables,
    from_items,
    named,
    order_of,
    output_names,
    without_output_names,
)
from sandbox.sql.types import Scope


def local_plan(
    tree: exp.Query, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    """Return the plan of a resolved query whose tables are all one provider's.

    Raises:
        JobRefused: units that cannot be followed; see `units.follow`.
    """
    if isinstance(tree, exp.Select) and (_is_aggregate(tree) or tree.args.get("distinct")):
        return _aggregates(tree, outputs, catalogue, max_rows, uses)
    return _rows(tree, outputs, catalogue, max_rows, uses)


@dataclass(slots=True)
class _Measures:
    """The outputs of an aggregate part as they are asked for."""

    scope: Scope
    counted: Sequence[units.Counted]
    keys: dict[str, exp.Expr] = field(default_factory=dict)
    items: dict[str, exp.Expr] = field(default_factory=dict)
    columns: list[ResultColumn] = field(default_factory=list)
    supports: dict[str, Support] = field(default_factory=dict)

    def add_key(self, node: exp.Expr) -> None:
        """Add a key of the groups."""
        name = f"k{len(self.columns)}"
        self.keys[name] = self.items[name] = node.copy()
        kind = types.of_expressions({"e": node}, self.scope)["e"]
        self.columns.append(ResultColumn(name, kind, "payload"))

    def over_groups(self, node: exp.Expr) -> exp.Expr:
        """Return an expression over the released table: keys and aggregates become columns of it."""

        def released(each: exp.Expr) -> exp.Expr:
            name = next((name for name, key in self.keys.items() if each == key), None)
            if name is None and isinstance(each, exp.AggFunc) and not isinstance(each.parent, exp.Window):
                name = self._measure(each)
            return each if name is None else exp.column(name, quoted=True)

        found = changed(node, released)
        if any(column.table for column in found.find_all(exp.Column)):
            raise refuse("group", "a column beside aggregates", "add the column to GROUP BY, or aggregate it")
        return found

    def _measure(self, node: exp.AggFunc) -> str:
        """Add an aggregate, once, and return its name."""
        known = next((name for name, item in self.items.items() if item == node), None)
        if known is not None:
            return known
        name = f"m{len(self.columns)}"
        self.items[name] = node.copy()
        kind = types.of_expressions({"e": node}, self.scope, grouped=True)["e"]
        self.columns.append(ResultColumn(name, kind, "number", support=self._support(node)))
        return name

    def _support(self, node: exp.AggFunc) -> str | None:
        """Return the support of an aggregate; none where it is of rows."""
        if node.this is None or isinstance(node.this, exp.Star):
            return None
        conditions = units.arguments_of(node) if self.counted else [node.this]
        key = exp.Tuple(expressions=conditions).sql(grammar.DIALECT) + str(isinstance(node, exp.Count))
        if key not in self.supports:
            name = f"n{len(self.supports)}"
            self.items[name] = units.values_of(node)
            self.supports[key] = Support(
                name, name, tuple((column,) for column in self.unit_counts(conditions))
            )
        return self.supports[key].name

    def unit_counts(self, conditions: Sequence[exp.Expr | None]) -> list[str]:
        """Add the counts of units under conditions and return their names."""
        found = []
        for counted in self.counted:
            for condition in conditions:
                name = f"{'u' if condition is None else 'c'}{len(self.items)}"
                self.items[name] = counted.count(condition)
                found.append(name)
        return found


def _aggregates(
    tree: exp.Select, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    select = tree.copy()
    scope = _scope_of(select, catalogue)
    keys = _keys_of(select)
    made = _Measures(scope, units.sources_of(units.follow(select, catalogue)))
    for key in keys:
        made.add_key(key)
    over = [item.copy() for item in select.expressions]
    order = [_named_output(each, over) for each in order_of(select)]
    qualify, having = select.args.get("qualify"), select.args.get("having")
    if any(node.find(exp.Query) is not None for node in [*over, *order, *([qualify] if qualify else [])]):
        raise refuse(
            "subquery", "a sub-query beside aggregates", "put it into FROM, or send it as a job of its own"
        )
    final = [made.over_groups(item.unalias()) for item in over]
    for each in order:
        each.set("this", made.over_groups(each.this))
    qualified = made.over_groups(qualify.this) if qualify is not None else None
    group_units = [(name,) for name in made.unit_counts([None])]
    for node in aggregates_of([having]) if having is not None else ():
        group_units += [(name,) for name in made.unit_counts(units.arguments_of(node))]
    limit, offset = (names.whole_number(select.args.get(name)) for name in ("limit", "offset"))
    is_distinct = bool(select.args.get("distinct"))
    return Plan(
        technique="local",
        kind="aggregate",
        parts=(_aggregate_part(select, catalogue, made.items, keys, max_rows if keys else 1),),
        steps=(),
        columns=tuple(made.columns),
        units=tuple(group_units),
        supports=tuple(made.supports.values()),
        outputs=outputs_of(final, outputs, made.columns),
        finish=finishing(final, outputs, order, limit, offset or 0, distinct=is_distinct, qualify=qualified),
        max_rows=max_rows if keys else 1,
        column_uses=uses,
    )


def _rows(
    tree: exp.Query, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    units.require_plain(tree, catalogue)
    kinds = types.of_query(tree, columns_of_tables(tree, catalogue)).values()
    inner = guard(tree)
    limit, offset = (names.whole_number(inner.args.get(name)) for name in ("limit", "offset"))
    order = order_of(inner)
    is_plain = isinstance(inner, exp.Select) and not inner.args.get("distinct")
    select, ends = _numbered(inner, order) if is_plain else _wrapped(inner, order)
    # Which rows a LIMIT takes depends on their values alone.
    rest = [exp.Ordered(this=end.copy(), nulls_first=False) for end in ends]
    select.set("order", exp.Order(expressions=[*(each.copy() for each in order), *rest]))
    most = min(limit, max_rows + 1) if limit is not None else max_rows + 1
    select.set("limit", exp.Limit(expression=exp.Literal.number(most)))
    select.set("offset", exp.Offset(expression=exp.Literal.number(offset)) if offset else None)
    final = [
        exp.alias_(exp.column(f"k{i}", quoted=True), name, quoted=True) for i, name in enumerate(outputs)
    ]
    finished = exp.select(*final).from_(exp.to_identifier(RELEASED, quoted=True))
    return Plan(
        technique="local",
        kind="rows",
        parts=(_local_part(select, catalogue, max_rows),),
        steps=(),
        columns=tuple(ResultColumn(f"k{i}", kind, "payload") for i, kind in enumerate(kinds)),
        units=(),
        supports=(),
        outputs=tuple(
            Output(name, kind, (f"k{i}",)) for i, (name, kind) in enumerate(zip(outputs, kinds, strict=True))
        ),
        finish=finished.sql(grammar.DIALECT, identify=True),
        max_rows=max_rows,
        column_uses=uses,
    )


def _numbered(select: exp.Query, order: Sequence[exp.Ordered]) -> tuple[exp.Query, list[exp.Column]]:
    """Name the outputs of a SELECT `k0…` in place; return it, and its outputs."""
    columns = output_names(select)
    made = {item.alias: item.unalias() for item in select.expressions}
    ends = [exp.column(f"k{i}", quoted=True) for i in range(len(columns))]
    for each in order:
        node = each.this
        is_name = isinstance(node, exp.Column) and not node.table and node.name in columns
        end = ends[columns.index(node.name)].copy() if is_name else without_output_names(node, made)
        each.set("this", end)
    select.set(
        "expressions",
        [exp.alias_(node, name.name, quoted=True) for node, name in zip(made.values(), ends, strict=True)],
    )
    return select, ends


def _wrapped(query: exp.Query, order: Sequence[exp.Ordered]) -> tuple[exp.Query, list[exp.Column]]:
    """Return a SELECT of `k0…` over a UNION or SELECT DISTINCT, and what they are made of."""
    columns = output_names(query)
    for name in ("order", "limit", "offset"):
        query.set(name, None)
    ends = [exp.column(name, table="_all", quoted=True) for name in columns]
    items = [exp.alias_(end.copy(), f"k{i}", quoted=True) for i, end in enumerate(ends)]
    for each in order:
        each.this.replace(exp.column(each.this.name, table="_all", quoted=True))
    return exp.select(*items).from_(named(query, "_all"), copy=False), ends


def _is_aggregate(select: exp.Select) -> bool:
    """Tell whether the rows of a SELECT are groups."""
    if select.args.get("group") is not None or select.args.get("having") is not None:
        return True
    return bool(aggregates_of(select.expressions))


def _keys_of(select: exp.Select) -> list[exp.Expr]:
    """Return what a SELECT groups by; DISTINCT groups by its outputs."""
    group = select.args.get("group")
    if group is None and not _is_aggregate(select):
        return [item.unalias() for item in select.expressions]
    return list(group.expressions) if group is not None else []


def _scope_of(select: exp.Select, catalogue: Catalogue) -> Scope:
    """Return aliases, columns and types of what stands in FROM of a SELECT."""
    scope: Scope = {}
    for node in from_items(select):
        if isinstance(node, exp.Table):
            scope[node.alias] = {name.lower(): kind for name, kind in catalogue.find(node.name).columns}
        else:
            scope[node.alias] = types.of_query(node.this, columns_of_tables(node.this, catalogue))
    return scope


def _named_output(each: exp.Ordered, outputs: Sequence[exp.Expr]) -> exp.Ordered:
    """Return a key of ORDER BY with the expression in the place of an output's name."""
    result = each.copy()
    result.set("this", without_output_names(each.this, {item.alias: item.unalias() for item in outputs}))
    return result


def _aggregate_part(
    select: exp.Select,
    catalogue: Catalogue,
    items: dict[str, exp.Expr],
    keys: Sequence[exp.Expr],
    rows: int,
) -> LocalPart:
    body = select.copy()
    for name in ("order", "limit", "offset", "distinct", "qualify"):
        body.set(name, None)
    body.set("expressions", [exp.alias_(node.copy(), name, quoted=True) for name, node in items.items()])
    body.set("group", exp.Group(expressions=[key.copy() for key in keys]) if keys else None)
    return _local_part(guard(body).limit(rows + 1), catalogue, rows)


def _local_part(select: exp.Query, catalogue: Catalogue, rows: int) -> LocalPart:
    products = [
        facts for table in select.find_all(exp.Table) for facts in catalogue.find(table.name).products
    ]
    for table in select.find_all(exp.Table):
        table.set("this", exp.to_identifier(catalogue.find(table.name).products[0].product, quoted=True))
    text = text_of(select, spellings_of(products))
    return LocalPart(products[0].provider, tables_of(products), text, rows)
