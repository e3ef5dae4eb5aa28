"""Every SELECT of a resolved tree as relations: groups, windows, DISTINCT, UNION, over what FROM and WHERE give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from records.errors import MalformedDocument
from sandbox.sql import names
from sandbox.sql.aggregates import over_groups, require_frame, window_average
from sandbox.sql.groups import Aggregate, Grouped, Limited, Projected, Windowed
from sandbox.sql.parts import Union, conjuncts
from sandbox.sql.relations import Relation, refuse
from sandbox.sql.subqueries import Subqueries
from sandbox.sql.trees import aggregates_of, branches, has_query, order_of, unions

if TYPE_CHECKING:
    from sandbox.sql.preaggregation import Partial


@dataclass(slots=True)
class Block:
    """One SELECT: its rows, and its outputs and ORDER BY as expressions over them.

    `grouped` is set where the rows are groups; `having` are the aggregates that choose among them; `partial` is set
    where providers have grouped their own rows before.
    """

    relation: Relation
    outputs: dict[str, exp.Expr]
    order: list[exp.Ordered]
    limit: int | None
    offset: int
    grouped: Grouped | None = None
    having: list[exp.Column] = field(default_factory=list)
    partial: Partial | None = None


class Binder(Subqueries):
    """Builds the relations of one query."""

    def derived(self, query: exp.Query, alias: str) -> Relation:
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

    def block(self, query: exp.Query, rows: Relation | None = None) -> Block:
        """Return a SELECT as rows and expressions over them; `rows` are given, or those of its FROM and WHERE."""
        if not isinstance(query, exp.Select):
            raise MalformedDocument("a query is a SELECT, or SELECTs with UNION between them")
        relation = rows if rows is not None else self.rows(query)
        outputs = {item.alias: item.unalias() for item in query.expressions}
        order = [each.copy() for each in order_of(query)]
        for each in order:
            node = each.this
            if isinstance(node, exp.Column) and not node.table and node.name in outputs:
                each.set("this", outputs[node.name].copy())
        having, qualify = (query.args.get(name) for name in ("having", "qualify"))
        group = query.args.get("group")
        block = Block(
            relation,
            outputs,
            order,
            names.whole_number(query.args.get("limit")),
            names.whole_number(query.args.get("offset")) or 0,
        )
        if group is not None or having is not None or aggregates_of([*outputs.values(), *order]):
            self._group(block, list(group.expressions) if group is not None else [], having)
        if qualify is not None or any(node.find(exp.Window) for node in [*outputs.values(), *order]):
            self._window(block, qualify)
        expressions = [*block.outputs.values(), *(each.this for each in block.order)]
        if any(has_query(node) for node in expressions):
            block.relation, plain = self.without_queries(block.relation, expressions)
            block.outputs = dict(zip(block.outputs, plain, strict=False))
            for each, node in zip(block.order, plain[len(block.outputs) :], strict=True):
                each.set("this", node)
        if query.args.get("distinct"):
            self._select_distinct(block)
        return block

    def _group(self, block: Block, keys: list[exp.Expr], having: exp.Having | None) -> None:
        condition = [having.this] if having is not None else []
        expressions = [*block.outputs.values(), *(each.this for each in block.order), *condition]
        block.relation, keys = self.without_queries(block.relation, keys)
        aggregates: list[Aggregate] = []
        alias = self.alias()
        rewritten = [over_groups(node, keys, aggregates, alias, block.relation) for node in expressions]
        grouped = Grouped(self.program, block.relation, alias, keys, aggregates)
        block.relation = block.grouped = grouped
        block.outputs = dict(zip(block.outputs, rewritten, strict=False))
        for each, node in zip(block.order, rewritten[len(block.outputs) :], strict=False):
            each.set("this", node)
        if having is not None:
            block.having = [
                column
                for column in rewritten[-1].find_all(exp.Column)
                if column.table == alias and column.name[0] == "a"
            ]
            for each in conjuncts(rewritten[-1]):
                block.relation = self.filtered(block.relation, each)

    def _window(self, block: Block, qualify: exp.Qualify | None) -> None:
        condition = [qualify.this] if qualify is not None else []
        expressions = [*block.outputs.values(), *(each.this for each in block.order), *condition]
        roots = [exp.Paren(this=node.copy()) for node in expressions]
        by_frame: dict[str, list[exp.Window]] = {}
        for root in roots:
            for window in list(root.find_all(exp.Window)):
                if isinstance(window.this, exp.Avg):
                    window.replace(window_average(window))
        for root in roots:
            for window in root.find_all(exp.Window):
                require_frame(window, block.relation)
                frame = window.copy()
                frame.set("this", exp.RowNumber())
                same = by_frame.setdefault(frame.sql(), [])
                if window not in same:
                    same.append(window.copy())
        for windows in by_frame.values():
            alias = self.alias()
            block.relation = Windowed(self.program, block.relation, alias, windows)
            for root in roots:
                for window in list(root.find_all(exp.Window)):
                    if window in windows:
                        window.replace(exp.column(f"w{windows.index(window)}", table=alias, quoted=True))
        plain = [root.this for root in roots]
        block.outputs = dict(zip(block.outputs, plain, strict=False))
        for each, node in zip(block.order, plain[len(block.outputs) :], strict=False):
            each.set("this", node)
        if qualify is not None:
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
