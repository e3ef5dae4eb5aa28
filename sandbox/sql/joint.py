"""The plan of a query over several providers: parts, a program in shares, what is finished after the release.

What the buyer may see of a group are its keys and aggregates: an expression over them is computed after the
release (R8: each of its parts is granted, or the disclosure walk has refused). What chooses rows, HAVING and
LIMIT, is computed in shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from sqlglot import exp

from policies.columns import ColumnUse
from records.errors import JobRefused
from sandbox.sql import names, preaggregation
from sandbox.sql.blocks import Binder, Block
from sandbox.sql.catalogue import Catalogue, family
from sandbox.sql.counting import Counting, counted_units, counting, supported
from sandbox.sql.encodings import Number
from sandbox.sql.groups import COUNTS, Grouped
from sandbox.sql.ordering import Limited
from sandbox.sql.plan import Counts, Plan, ResultColumn, Support
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.released import finishing, outputs_of
from sandbox.sql.steps import Project
from sandbox.sql.trees import branches, changed, order_of, without_output_names
from sandbox.sql.units import require_no_conditions, require_plain
from sandbox.sql.windows import Windowed


def joint_plan(
    tree: exp.Query, outputs: Sequence[str], catalogue: Catalogue, max_rows: int, uses: tuple[ColumnUse, ...]
) -> Plan:
    """Return the plan of a resolved query over tables of several providers.

    Raises:
        JobRefused: something that cannot be computed in shares, or units that cannot be followed.
    """
    binder = Binder(catalogue, max_rows)
    block = _block(binder, tree)
    if block.grouped is None:
        require_plain(tree, catalogue)
    elif isinstance(tree, exp.Select):
        require_no_conditions(tree, catalogue)
    if block.offset:
        raise refuse("offset", "OFFSET over several providers", "use LIMIT, and skip released rows")
    released = _Released(block)
    final = [released.over(node) for node in block.outputs.values()]
    protected = [facts for facts in binder.products(tree) if facts.unit is not None]
    qualify = released.over(block.qualify) if block.qualify is not None else None
    order, limit = _limited(block, released, max_rows, gated=bool(protected))
    counted = counting(block, protected)
    units = counted_units(counted, block) if counted is not None else ()
    if counted is not None:
        released.count(counted, units)
    table = block.relation.emit()
    wanted = [*released.names(), *(counted.names if counted is not None else ())]
    table = binder.program.add(Project(table, tuple((name, name) for name in dict.fromkeys(wanted))))
    return Plan(
        technique="secret-sharing",
        kind="aggregate" if block.grouped is not None else "rows",
        parts=tuple(binder.program.parts),
        steps=tuple(binder.program.steps),
        columns=tuple(released.columns),
        units=units,
        supports=tuple(released.supports.values()),
        outputs=outputs_of(final, outputs, released.columns),
        finish=finishing(final, outputs, order, limit, 0, distinct=block.distinct, qualify=qualify),
        max_rows=min(max_rows, block.relation.rows),
        column_uses=uses,
    )


@dataclass(slots=True)
class _Released:
    """The columns of the released table as they are asked for, and what stands behind them."""

    block: Block
    columns: list[ResultColumn] = field(default_factory=list)
    supports: dict[str, Support] = field(default_factory=dict)
    aggregates: dict[str, exp.Column] = field(default_factory=dict)

    @property
    def _grouped(self) -> Grouped:
        return cast("Grouped", self.block.grouped)

    def names(self) -> list[str]:
        """Return the columns of shares that are released."""
        return [*(column.name for column in self.columns), *(each.values for each in self.supports.values())]

    def count(self, counted: Counting, groups: Counts) -> None:
        """Add the counts of units behind every aggregate; behind a COUNT, which is never NULL, too."""
        for i, column in enumerate(self.columns):
            aggregate = self.aggregates.get(column.name)
            if aggregate is None or self._grouped.aggregate(aggregate).argument is None:
                continue
            if column.support is None:
                relation = self.block.relation
                present = relation.number_of(relation.compute_bit("present"))
                self.columns[i] = _supported(column)
                self.supports[column.name] = Support(column.name, present.name, ())
            support = self.supports[column.name]
            self.supports[column.name] = supported(counted, support, aggregate, groups)

    def over(self, node: exp.Expr) -> exp.Expr:
        """Return an output as an expression over the released table."""

        def replaced(each: exp.Expr) -> exp.Expr:
            return self._column(each) if isinstance(each, exp.Column) else each

        if self.block.grouped is not None or any(
            _is_window(self.block.relation, c) for c in node.find_all(exp.Column)
        ):
            return changed(node, replaced)
        return self._column(node)

    def _column(self, node: exp.Expr) -> exp.Expr:
        """Return an output that is computed in shares."""
        relation, grouped = self.block.relation, self.block.grouped
        kind = relation.type_of(node)
        is_payload = relation.home(node) is not None or family(kind) == "text"
        if isinstance(node, exp.Column):
            ranks = _window_ranks(relation, node)
            if ranks is not None:
                return self._percent_rank(*ranks)
            own = grouped is not None and node.table == grouped.alias
            if own and node.name.startswith("a"):
                return self._aggregate(node, kind)
            is_payload = is_payload or own or kind == "DOUBLE"
        if is_payload:
            try:
                name, words = relation.payload(node)
                return self._add(ResultColumn(name, kind, "payload", 1, words))
            except JobRefused:  # what is no payload is a number, but for a text
                if family(kind) == "text":
                    raise
        number = relation.summand(node)
        values = relation.number_of(relation.bit(node, "known"))
        return self._number(number, kind, Support(number.name, values.name, ()))

    def _percent_rank(self, rank: Number, rows: Number) -> exp.Expr:
        """Return (rank − 1) / (rows − 1), 0 where there is one row."""
        one = exp.Literal.number(1)
        below = exp.Paren(this=exp.Sub(this=self._number(rank, "BIGINT", None), expression=one))
        others = exp.Paren(this=exp.Sub(this=self._number(rows, "BIGINT", None), expression=one.copy()))
        none = exp.If(
            this=exp.EQ(this=others.copy(), expression=exp.Literal.number(0)),
            true=exp.cast(exp.Literal.number(0), "DOUBLE"),
        )
        return exp.Case(ifs=[none], default=exp.Div(this=below, expression=others))

    def _aggregate(self, node: exp.Column, kind: str) -> exp.Expr:
        grouped, relation = self._grouped, self.block.relation
        each = grouped.aggregate(node)
        values = grouped.values(each.argument) if each.function not in COUNTS else None
        if family(kind) == "text" or (each.function in ("min", "max", "quantile") and kind == "DOUBLE"):
            name, words = relation.payload(node)
            column = ResultColumn(name, kind, "payload", 1, words)
        else:
            number = relation.number(node)
            column = ResultColumn(number.name, kind, "number", number.scale)
        self.aggregates[column.name] = node
        if values is not None:
            column = _supported(column)
            self.supports[column.name] = Support(column.name, values.name, ())
        return self._add(column)

    def _number(self, number: Number, kind: str, support: Support | None) -> exp.Expr:
        if support is not None:
            self.supports[number.name] = support
        name = number.name if support is not None else None
        return self._add(ResultColumn(number.name, kind, "number", number.scale, support=name))

    def _add(self, column: ResultColumn) -> exp.Expr:
        if all(each.name != column.name for each in self.columns):
            self.columns.append(column)
        return exp.column(column.name, quoted=True)


def _supported(column: ResultColumn) -> ResultColumn:
    return ResultColumn(column.name, column.type, column.kind, column.scale, column.words, column.name)


def _block(binder: Binder, tree: exp.Query) -> Block:
    if not isinstance(tree, exp.Union):
        (select,) = branches(tree)
        rewritten = preaggregation.partial(binder, select)
        return rewritten if rewritten is not None else binder.block(select, outermost=True)
    bare = tree.copy()
    for name in ("order", "limit", "offset"):
        bare.set(name, None)
    alias = binder.alias()
    relation = binder.union(bare, alias)
    columns: dict[str, exp.Expr] = {
        name: exp.column(name, table=alias, quoted=True) for name in relation.scope[alias]
    }
    order = [each.copy() for each in order_of(tree)]
    for each in order:
        position = int(each.this.name) - 1 if isinstance(each.this, exp.Literal) else None
        name = each.this.name if position is None else list(columns)[position]
        each.set("this", exp.column(name, table=alias, quoted=True))
    limit = names.whole_number(tree.args.get("limit"))
    offset = names.whole_number(tree.args.get("offset")) or 0
    return Block(relation, columns, order, limit, offset)


def opened_parts(resolved: names.Resolved) -> names.Resolved:
    """Return a query whose outputs name what is opened of them: an AVG is opened as SUM and COUNT (R8)."""

    def opened(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, (exp.Avg, exp.Variance, exp.Stddev)) or isinstance(node.this, exp.Distinct):
            return node
        parts: list[exp.Expr] = [exp.Sum(this=node.this.copy()), exp.Count(this=node.this.copy())]
        if not isinstance(node, exp.Avg):
            parts.append(node.copy())
        if isinstance(node.parent, exp.Window):
            return node
        return exp.Coalesce(this=parts[0], expressions=parts[1:])

    tree = resolved.tree.copy()
    if isinstance(tree, exp.Select):
        # What rows are ordered by at the end is opened too.
        made = {item.alias: item.unalias() for item in tree.expressions}
        for number, each in enumerate(order_of(tree)):
            if not isinstance(each.this, exp.Column) or each.this.table:
                tree.append(
                    "expressions",
                    exp.alias_(without_output_names(each.this, made), f"_order{number}", quoted=True),
                )
        for item in tree.expressions:
            item.set("this", changed(item.this, opened))
    return replace(resolved, tree=tree)


def _limited(
    block: Block, released: _Released, max_rows: int, *, gated: bool
) -> tuple[list[exp.Ordered], int | None]:
    """Cut the rows to those that may be released; return the ORDER BY and LIMIT that are left for the end.

    Groups that the gate may hide are `gated` first: an order by what is hidden would tell of it.
    """
    order, limit = [each.copy() for each in block.order], block.limit
    later = gated or block.distinct or block.qualify is not None
    if limit is not None and 0 < limit < block.relation.rows and not later:
        # Where the order cannot be had in shares, all rows are released, which the gate allows,
        # and cut at the end.
        in_shares = _try_limit(block, limit)
        limit = limit if not in_shares else None
    if block.relation.rows > max_rows:
        first = block.grouped is block.relation
        block.relation = Limited(block.relation.program, block.relation, max_rows, whole=True, grouped=first)
    for each in order:
        each.set("this", released.over(each.this))
    return order, limit


def _try_limit(block: Block, limit: int) -> bool:
    try:
        block.relation = Limited(block.relation.program, block.relation, limit, block.order)
    except JobRefused:
        return False
    return True


def _is_window(relation: Relation, column: exp.Column) -> bool:
    return _window_of(relation, column) is not None


def _window_of(relation: Relation, column: exp.Column) -> Windowed | None:
    if isinstance(relation, Windowed) and column.table == relation.alias:
        return relation
    return next(
        (found for child in relation.children if (found := _window_of(child, column)) is not None), None
    )


def _window_ranks(relation: Relation, column: exp.Column) -> tuple[Number, Number] | None:
    window = _window_of(relation, column)
    return window.ranks(column) if window is not None else None
