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
from sandbox.sql.parts import conjuncts, guarded, text_of
from sandbox.sql.plan import LocalPart, Output, Plan, ResultColumn, Support
from sandbox.sql.relations import Scope, refuse


def local_plan(
    tree: exp.Query, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    """Return the plan of a resolved query whose tables are all one provider's.

    Raises:
        JobRefused: units that cannot be followed; see `units.follow`.
    """
    if isinstance(tree, exp.Select) and (is_aggregate(tree) or tree.args.get("distinct")):
        return _aggregates(tree, outputs, catalogue, max_rows, uses)
    return _rows(tree, outputs, catalogue, max_rows, uses)


def is_aggregate(select: exp.Select) -> bool:
    """Tell whether the rows of a SELECT are groups."""
    if select.args.get("group") is not None or select.args.get("having") is not None:
        return True
    return any(aggregates_in(node) for node in select.expressions)


def aggregates_in(node: exp.Expr) -> list[exp.AggFunc]:
    """Return the aggregates of an expression, but for windows' own and those of sub-queries."""
    here = node.find_ancestor(exp.Query)
    return [
        each
        for each in node.find_all(exp.AggFunc)
        if not isinstance(each.parent, exp.Window) and each.find_ancestor(exp.Query) is here
    ]


@dataclass(slots=True)
class _Measures:
    """The outputs of an aggregate part as they are asked for."""

    scope: Scope
    counted: Sequence[units.Counted]
    items: dict[str, exp.Expr] = field(default_factory=dict)
    columns: list[ResultColumn] = field(default_factory=list)
    supports: dict[str, Support] = field(default_factory=dict)

    def key(self, node: exp.Expr) -> str:
        """Add a key and return its name."""
        name = f"k{len(self.columns)}"
        self.items[name] = node
        kind = types.of_expressions({"e": node}, self.scope)["e"]
        self.columns.append(ResultColumn(name, kind, "payload"))
        return name

    def measure(self, node: exp.AggFunc) -> str:
        """Add an aggregate, once, and return its name."""
        known = next((name for name, item in self.items.items() if item == node), None)
        if known is not None:
            return known
        name = f"m{len(self.columns)}"
        self.items[name] = node.copy()
        kind = types.of_expressions({"e": node}, self.scope, grouped=True)["e"]
        self.columns.append(ResultColumn(name, kind, "number", support=self.support(node)))
        return name

    def support(self, node: exp.AggFunc) -> str | None:
        """Return the support of an aggregate; none where it is of rows."""
        conditions = units.arguments_of(node)
        if not conditions:
            return None
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
    scope = scope_of(select, catalogue)
    group = select.args.get("group")
    keys = list(group.expressions) if group is not None else []
    if not keys and not is_aggregate(select):  # DISTINCT
        keys = [item.unalias() for item in select.expressions]
    counted = units.sources_of(units.follow(select, catalogue))
    made = _Measures(scope, counted)
    key_names = {made.key(key.copy()): key.copy() for key in keys}
    over = [item.copy() for item in select.expressions]
    order = [each.copy() for each in _ordered(select)]
    qualify = select.args.get("qualify")
    if any(node.find(exp.Query) is not None for node in [*over, *order, *([qualify] if qualify else [])]):
        raise refuse(
            "subquery", "a sub-query beside aggregates", "put it into FROM, or send it as a job of its own"
        )

    def released(node: exp.Expr) -> exp.Expr:
        name = next((name for name, key in key_names.items() if node == key), None)
        if name is None and isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Window):
            name = made.measure(node)
        return node if name is None else exp.column(name, quoted=True)

    final = [exp.Paren(this=item.unalias()).transform(released).this for item in over]
    ordered = [_released_order(each, released, over) for each in order]
    qualified = exp.Paren(this=qualify.this.copy()).transform(released).this if qualify is not None else None
    having = select.args.get("having")
    group_units = [(name,) for name in made.unit_counts([None])]
    for node in aggregates_in(having) if having is not None else ():
        group_units += [(name,) for name in made.unit_counts(units.arguments_of(node))]
    _require_over_groups(
        [*final, *(each.this for each in ordered), *([qualified] if qualified is not None else [])]
    )
    finished = _finish(final, outputs, ordered, select, qualified)
    kinds = _final_types(final, outputs, made.columns)
    return Plan(
        technique="local",
        kind="aggregate",
        parts=(_part(select, catalogue, made.items, keys, having, max_rows if keys else 1),),
        steps=(),
        columns=tuple(made.columns),
        units=tuple(group_units),
        supports=tuple(made.supports.values()),
        outputs=tuple(
            Output(name, kind, tuple(dict.fromkeys(column.name for column in node.find_all(exp.Column))))
            for name, kind, node in zip(outputs, kinds, final, strict=True)
        ),
        finish=finished,
        max_rows=max_rows if keys else 1,
        column_uses=uses,
    )


def _rows(
    tree: exp.Query, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    units.require_plain(tree, catalogue)
    kinds = list(types.of_query(tree, tables_of(tree, catalogue)).values())
    inner = guard(tree)
    limit, offset = (names.whole_number(inner.args.get(name)) for name in ("limit", "offset"))
    order = _ordered(inner)
    columns = _outputs_of(inner)
    if isinstance(inner, exp.Select) and not inner.args.get("distinct"):
        select = inner
        select.set(
            "expressions",
            [exp.alias_(item.unalias(), f"k{i}", quoted=True) for i, item in enumerate(inner.expressions)],
        )
        ends = [exp.column(f"k{i}", quoted=True) for i in range(len(columns))]
        for each in order:
            if isinstance(each.this, exp.Column) and not each.this.table and each.this.name in columns:
                each.set("this", ends[columns.index(each.this.name)].copy())
    else:
        for name in ("order", "limit", "offset"):
            inner.set(name, None)
        ends = [exp.column(name, table="_all", quoted=True) for name in columns]
        select = exp.select(
            *(exp.alias_(end.copy(), f"k{i}", quoted=True) for i, end in enumerate(ends))
        ).from_(
            exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_all", quoted=True))),
            copy=False,
        )
        for each in order:
            each.this.replace(exp.column(each.this.name, table="_all", quoted=True))
    # Which rows a LIMIT takes depends on their values alone.
    rest = [exp.Ordered(this=end.copy(), nulls_first=False) for end in ends]
    select.set("order", exp.Order(expressions=[*(each.copy() for each in order), *rest]))
    select.set(
        "limit",
        exp.Limit(
            expression=exp.Literal.number(min(limit, max_rows + 1) if limit is not None else max_rows + 1)
        ),
    )
    select.set("offset", exp.Offset(expression=exp.Literal.number(offset)) if offset else None)
    final = [
        exp.alias_(exp.column(f"k{i}", quoted=True), name, quoted=True) for i, name in enumerate(outputs)
    ]
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
        finish=exp.select(*final)
        .from_(exp.to_identifier(RELEASED, quoted=True))
        .sql(grammar.DIALECT, identify=True),
        max_rows=max_rows,
        column_uses=uses,
    )


def guard(tree: exp.Query) -> exp.Query:
    """Return a query in which what could fail on a row is NULL instead: no error tells of a row."""
    root = tree.copy()
    for select in list(root.find_all(exp.Select)):
        for owner in [select.args.get("where"), *(select.args.get("joins") or ())]:
            key = "on" if isinstance(owner, exp.Join) else "this"
            condition = owner.args.get(key) if owner is not None else None
            if condition is not None:
                owner.set(key, exp.and_(*(guarded(each) for each in conjuncts(condition))))
        group = select.args.get("group")
        keys = list(group.expressions) if group is not None else []
        if group is not None:
            group.set("expressions", [guarded(key) for key in keys])
        for item in select.expressions:
            item.set("this", _guarded_output(item.this, keys))
        having = select.args.get("having")
        if having is not None:
            having.set("this", _guarded_output(having.this, keys))
    return root


def _guarded_output(node: exp.Expr, keys: Sequence[exp.Expr]) -> exp.Expr:
    if node in keys or node.find(exp.AggFunc, exp.Window, exp.Query) is None:
        return guarded(node)

    def replaced(each: exp.Expr) -> exp.Expr:
        if each in keys:
            return guarded(each)
        if (
            isinstance(each, exp.AggFunc)
            and isinstance(each.this, exp.Expr)
            and not isinstance(each.this, (exp.Star, exp.Distinct))
        ):
            each.set("this", guarded(each.this))
        return each

    return exp.Paren(this=node.copy()).transform(replaced).this  # type: ignore[no-any-return]


def scope_of(select: exp.Select, catalogue: Catalogue) -> Scope:
    """Return aliases, columns and types of what stands in FROM of a SELECT."""
    scope: Scope = {}
    origin = select.args["from_"]
    for node in (origin.this, *(join.this for join in select.args.get("joins") or ())):
        if isinstance(node, exp.Table):
            scope[node.alias] = {name.lower(): kind for name, kind in catalogue.find(node.name).columns}
        else:
            scope[node.alias] = types.of_query(node.this, tables_of(node.this, catalogue))
    return scope


def tables_of(tree: exp.Query, catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """Return the columns of all tables of a query, by their names in it."""
    return {
        table.name: {name.lower(): kind for name, kind in catalogue.find(table.name).columns}
        for table in tree.find_all(exp.Table)
    }


def _part(
    select: exp.Select,
    catalogue: Catalogue,
    items: dict[str, exp.Expr],
    keys: Sequence[exp.Expr],
    having: exp.Having | None,
    rows: int,
) -> LocalPart:
    body = select.copy()
    for name in ("order", "limit", "offset", "distinct", "qualify"):
        body.set(name, None)
    body.set("expressions", [exp.alias_(node.copy(), name, quoted=True) for name, node in items.items()])
    body.set("group", exp.Group(expressions=[key.copy() for key in keys]) if keys else None)
    body.set("having", having)
    return _local_part(guard(body).limit(rows + 1), catalogue, rows)


def _local_part(select: exp.Query, catalogue: Catalogue, rows: int) -> LocalPart:
    facts = {
        each.product: each
        for table in select.find_all(exp.Table)
        for each in catalogue.find(table.name).products
    }
    for table in select.find_all(exp.Table):
        table.set("this", exp.to_identifier(catalogue.find(table.name).products[0].product, quoted=True))
    spellings = {(each.product, name.lower()): name for each in facts.values() for name, _ in each.columns}
    provider = next(iter(facts.values())).provider
    tables = tuple(sorted((each.product, each.table) for each in facts.values()))
    return LocalPart(provider, tables, text_of(select, spellings), rows)


def _outputs_of(query: exp.Query) -> list[str]:
    inner = query.unnest()
    while isinstance(inner, exp.Union):
        inner = inner.this.unnest()
    return [item.alias for item in inner.expressions]


def _ordered(query: exp.Query) -> list[exp.Ordered]:
    order = query.args.get("order")
    return list(order.expressions) if order is not None else []


def _released_order(each: exp.Ordered, released: object, outputs: Sequence[exp.Expr]) -> exp.Ordered:
    node = each.this
    if isinstance(node, exp.Column) and not node.table:
        node = next((item.unalias() for item in outputs if item.alias == node.name), node)
    each.set("this", exp.Paren(this=node.copy()).transform(released).this)
    return each


def _require_over_groups(nodes: Sequence[exp.Expr]) -> None:
    if any(column.table for node in nodes for column in node.find_all(exp.Column)):
        raise refuse("group", "a column beside aggregates", "add the column to GROUP BY, or aggregate it")


def _finish(
    final: Sequence[exp.Expr],
    outputs: Sequence[str],
    order: Sequence[exp.Ordered],
    select: exp.Select,
    qualify: exp.Expr | None,
) -> str:
    return finishing(
        final,
        outputs,
        order,
        names.whole_number(select.args.get("limit")),
        names.whole_number(select.args.get("offset")) or 0,
        distinct=bool(select.args.get("distinct")),
        qualify=qualify,
    )


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
    """Return the SQL over the released table; rows that ORDER BY leaves equal stand in the order of their outputs."""
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


def _by_position(each: exp.Ordered, final: Sequence[exp.Expr]) -> exp.Ordered:
    position = next((i for i, node in enumerate(final, 1) if node == each.this), None)
    if position is None:
        raise refuse("distinct", "SELECT DISTINCT ordered by something that it lacks", "add it to SELECT")
    each.set("this", exp.Literal.number(position))
    return each


def _final_types(
    final: Sequence[exp.Expr], outputs: Sequence[str], columns: Sequence[ResultColumn]
) -> list[str]:
    return final_types(final, columns)


def final_types(final: Sequence[exp.Expr], columns: Sequence[ResultColumn]) -> list[str]:
    """Return the types of expressions over the released table."""
    scope: Scope = {RELEASED: {column.name: column.type for column in columns}}
    return list(
        types.of_expressions({f"e{i}": node for i, node in enumerate(final)}, scope, grouped=True).values()
    )
