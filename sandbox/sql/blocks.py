"""SELECTs of a resolved tree as relations: groups, windows, DISTINCT, UNION over what FROM and WHERE give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import names
from sandbox.sql.aggregates import over_groups, require_frame, window_average
from sandbox.sql.conjuncts import conjuncts
from sandbox.sql.groups import Aggregate, Grouped
from sandbox.sql.ordering import Limited
from sandbox.sql.partials import Partial
from sandbox.sql.projections import Projected
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.subqueries import Subqueries
from sandbox.sql.trees import aggregates_of, branches, has_query, order_of, unions, without_output_names
from sandbox.sql.unions import Union
from sandbox.sql.windows import Windowed


@dataclass(slots=True)
class Block:
    """One SELECT: its rows; outputs and ORDER BY as expressions over them.

    `qualify` and `distinct` are left for the end where the rows are groups. `grouped` is set where they are;
    `having` are the aggregates that choose among them; `partial` is set where providers have grouped their
    own rows before.
    """

    relation: Relation
    outputs: dict[str, exp.Expr]
    order: list[exp.Ordered]
    limit: int | None
    offset: int
    grouped: Grouped | None = None
    having: list[exp.Column] = field(default_factory=list)
    qualify: exp.Expr | None = None
    distinct: bool = False
    partial: Partial | None = None

    @property
    def expressions(self) -> list[exp.Expr]:
        """Outputs and ORDER BY."""
        return [*self.outputs.values(), *(each.this for each in self.order)]

    def rewrite(self, expressions: Sequence[exp.Expr]) -> None:
        """Put other expressions in the place of outputs and ORDER BY; what follows them is left out."""
        self.outputs = dict(zip(self.outputs, expressions, strict=False))
        for each, node in zip(self.order, expressions[len(self.outputs) :], strict=False):
            each.set("this", node)


class Binder(Subqueries):
    """Builds the relations of one query."""

    def derived(self, query: exp.Select | exp.Union, alias: str) -> Relation:
        """Return the rows of a sub-query over several providers under its alias."""
        if isinstance(query, exp.Union):
            return self.union(query, alias)
        block = self.block(query)
        relation = block.relation
        if block.limit is not None:
            relation = self._limited(block)
        kinds = {name: relation.type_of(expression) for name, expression in block.outputs.items()}
        return Projected(self.program, relation, alias, block.outputs, kinds)

    def union(self, query: exp.Union, alias: str) -> Relation:
        """Return the rows of UNION [ALL] under an alias; columns have the names of the first SELECT."""
        if query.args.get("order") is not None or query.args.get("limit") is not None:
            raise refuse("union", "ORDER BY or LIMIT of a UNION in a sub-query", "write them outside of it")
        kinds = self._types(query)
        projected = []
        for branch in branches(query):
            block = self.block(branch)
            relation = self._limited(block) if block.limit is not None else block.relation
            outputs = {
                name: expression
                if relation.type_of(expression) == kind
                else exp.cast(expression.copy(), kind)
                for (name, kind), expression in zip(kinds.items(), block.outputs.values(), strict=True)
            }
            projected.append(Projected(self.program, relation, alias, outputs, kinds))
        rows: Relation = Union(self.program, projected, alias, of_query=True)
        if not all(node.args.get("distinct") for node in unions(query)):
            if any(node.args.get("distinct") for node in unions(query)):
                raise refuse(
                    "union", "UNION beside UNION ALL", "use one of them, or a sub-query for the other"
                )
            return rows
        keys = {name: exp.column(name, table=alias, quoted=True) for name in kinds}
        return self._distinct(rows, keys, alias)

    def block(self, query: exp.Select, rows: Relation | None = None, *, outermost: bool = False) -> Block:
        """Return a SELECT as rows, given or those of its FROM and WHERE, and expressions over them.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        relation = rows if rows is not None else self.rows(query)
        outputs = {item.alias: item.unalias() for item in query.expressions}
        order = [each.copy() for each in order_of(query)]
        for each in order:
            each.set("this", without_output_names(each.this, outputs))
        having, qualify = (query.args.get(name) for name in ("having", "qualify"))
        group = query.args.get("group")
        block = Block(
            relation,
            outputs,
            order,
            names.whole_number(query.args.get("limit")),
            names.whole_number(query.args.get("offset")) or 0,
        )
        if group is not None or having is not None or aggregates_of(block.expressions):
            self._group(block, list(group.expressions) if group is not None else [], having, qualify)
        elif qualify is not None:
            block.qualify = qualify.this
        if block.grouped is not None and outermost:
            # What is over groups, windows and DISTINCT, is computed on what is released of them.
            block.distinct = bool(query.args.get("distinct"))
            return block
        if block.qualify is not None or any(node.find(exp.Window) for node in block.expressions):
            self._window(block)
        if any(has_query(node) for node in block.expressions):
            block.relation, plain = self.without_queries(block.relation, block.expressions)
            block.rewrite(plain)
        if query.args.get("distinct"):
            self._select_distinct(block)
        return block

    def _group(
        self, block: Block, keys: list[exp.Expr], having: exp.Having | None, qualify: exp.Qualify | None
    ) -> None:
        conditions = [clause.this for clause in (qualify, having) if clause is not None]
        expressions = [*block.expressions, *conditions]
        block.relation, keys = self.without_queries(block.relation, keys)
        aggregates: list[Aggregate] = []
        alias = self.alias()
        rewritten = [over_groups(node, keys, aggregates, alias, block.relation) for node in expressions]
        grouped = Grouped(self.program, block.relation, alias, keys, aggregates)
        block.relation = block.grouped = grouped
        block.rewrite(rewritten)
        if qualify is not None:
            block.qualify = rewritten[-len(conditions)]
        if having is not None:
            block.having = [
                column
                for column in rewritten[-1].find_all(exp.Column)
                if column.table == alias and column.name[0] == "a"
            ]
            for each in conjuncts(rewritten[-1]):
                block.relation = self.filtered(block.relation, each)

    def _window(self, block: Block) -> None:
        """Add the window functions of outputs, ORDER BY and QUALIFY; keep the rows that QUALIFY chooses."""
        condition = [block.qualify] if block.qualify is not None else []
        roots = [exp.Paren(this=node.copy()) for node in (*block.expressions, *condition)]
        for window in _windows(roots):
            if isinstance(window.this, exp.Avg):
                window.replace(window_average(window))
        for windows in _by_frame(_windows(roots), block.relation):
            alias = self.alias()
            block.relation = Windowed(self.program, block.relation, alias, windows)
            for window in _windows(roots):
                if window in windows:
                    window.replace(exp.column(f"w{windows.index(window)}", table=alias, quoted=True))
        plain = [root.this for root in roots]
        block.rewrite(plain)
        if block.qualify is not None:
            block.qualify = None
            for each in conjuncts(plain[-1]):
                block.relation = self.filtered(block.relation, each)

    def _select_distinct(self, block: Block) -> None:
        grouped = Grouped(self.program, block.relation, self.alias(), list(block.outputs.values()), [])
        positions = {node.sql(): f"k{i}" for i, node in enumerate(block.outputs.values())}
        for each in block.order:
            if each.this.sql() not in positions:
                raise refuse(
                    "distinct", "SELECT DISTINCT ordered by something that it lacks", "add it to SELECT"
                )
            each.set("this", exp.column(positions[each.this.sql()], table=grouped.alias, quoted=True))
        block.outputs = {
            name: exp.column(f"k{i}", table=grouped.alias, quoted=True)
            for i, name in enumerate(block.outputs)
        }
        block.relation = block.grouped = grouped

    def _distinct(self, rows: Relation, outputs: Mapping[str, exp.Expr], alias: str) -> Relation:
        groups = Grouped(self.program, rows, self.alias(), list(outputs.values()), [])
        columns = {
            name: exp.column(f"k{i}", table=groups.alias, quoted=True) for i, name in enumerate(outputs)
        }
        kinds = {name: groups.scope[groups.alias][f"k{i}"] for i, name in enumerate(outputs)}
        return Projected(self.program, groups, alias, columns, kinds)

    def _limited(self, block: Block) -> Relation:
        if block.offset or block.limit is None:
            raise refuse("offset", "OFFSET over several providers", "use LIMIT, and skip released rows")
        return Limited(self.program, block.relation, block.limit, block.order)


def _windows(roots: Sequence[exp.Expr]) -> list[exp.Window]:
    return [window for root in roots for window in root.find_all(exp.Window)]


def _by_frame(windows: Sequence[exp.Window], rows: Relation) -> list[list[exp.Window]]:
    """Return the different windows, those of one partition and order together.

    Raises:
        JobRefused: a window that shares do not compute.
    """
    found: dict[str, list[exp.Window]] = {}
    for window in windows:
        require_frame(window, rows)
        frame = window.copy()
        frame.set("this", exp.RowNumber())
        same = found.setdefault(frame.sql(), [])
        if window not in same:
            same.append(window.copy())
    return list(found.values())
