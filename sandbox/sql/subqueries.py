"""Sub-queries in conditions and expressions, as joins.

EXISTS and IN put a mark on each row, a scalar sub-query a column, both by the columns of the outer query that
they are equal to. A sub-query that one provider can answer alone stays text for its engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlglot import exp

from sandbox.sql.conjuncts import conjuncts
from sandbox.sql.joins import Broadcasted, Filtered, Joined, Pair
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.sources import Sources
from sandbox.sql.trees import (
    aggregates_of,
    aliases_of,
    first_query,
    inner_query,
    is_grouped,
    named,
    only_output,
    output_names,
    rewritten,
)

Comparison: TypeAlias = tuple[type[exp.Binary], exp.Expr, exp.Expr]
"""A comparison of an inner expression with an outer one."""

_FLIPPED: Mapping[type[exp.Expr], type[exp.Binary]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.GTE: exp.LTE,
}
_DECIDED_BY: Mapping[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((exp.LT, exp.LTE), ("lo",)),
    **dict.fromkeys((exp.GT, exp.GTE), ("hi",)),
}
"""Whether some value compares is decided by the least, or by the greatest; else by both."""


class Subqueries(Sources):
    """Joins sub-queries to the rows whose conditions name them."""

    def filtered(self, relation: Relation, condition: exp.Expr) -> Relation:
        """Keep the rows that meet a condition, which may have sub-queries."""
        relation, [plain] = self.without_queries(relation, [condition])
        return Filtered(self.program, relation, plain)

    def without_queries(
        self, relation: Relation, expressions: Sequence[exp.Expr]
    ) -> tuple[Relation, list[exp.Expr]]:
        """Return a relation with a column for every sub-query in the expressions, and these over it."""
        result = []
        for expression in expressions:
            root = exp.Paren(this=expression.copy())
            while True:
                node = first_query(root)
                if node is None:
                    break
                relation, column = self._attached(relation, node)
                node.replace(column)
            result.append(root.this)
        return relation, result

    def _attached(self, relation: Relation, node: exp.Expr) -> tuple[Relation, exp.Expr]:
        match node:
            case exp.Exists(this=query):
                return self._marked(relation, inner_query(query), None)
            case exp.Not(this=exp.In() as member):
                return self._not_in(relation, member)
            case exp.In():
                return self._marked(relation, inner_query(node.args["query"]), node.this)
        return self._scalar(relation, inner_query(node))

    def _marked(
        self, relation: Relation, query: exp.Query, member: exp.Expr | None
    ) -> tuple[Relation, exp.Expr]:
        """Return a relation with the truth of EXISTS (query), or of member IN (query)."""
        inner, keys, other = self._correlated(relation, query)
        outputs = {f"j{i}": key for i, (key, _) in enumerate(keys)}
        outer = [value for _, value in keys]
        if member is not None:
            value = only_output(inner)
            if is_grouped(inner) or not isinstance(inner, exp.Select):
                alias = self.alias()
                column = output_names(inner)[0]
                inner = exp.select().from_(
                    exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias)))
                )
                value = exp.column(column, table=alias, quoted=True)
            outputs[f"j{len(outputs)}"] = value
            outer.append(member)
        alias = self.alias()
        if not outputs and other is None:
            count = rewritten(inner, {"n": exp.Count(this=exp.Star())})
            relation, rows = self._scalar(relation, count)
            return relation, exp.GT(this=rows, expression=exp.Literal.number(0))
        if other is not None:
            return self._compared(relation, inner, outputs, outer, other)
        item = self.from_item(named(rewritten(inner, outputs, distinct=True), alias))
        pairs = [
            (exp.column(name, table=alias, quoted=True), value)
            for name, value in zip(outputs, outer, strict=True)
        ]
        mark = self.alias()
        marked = Joined(self.program, item, relation, pairs, "mark", alias=mark)
        return marked, exp.column("matched", table=mark, quoted=True)

    def _compared(
        self,
        relation: Relation,
        inner: exp.Query,
        outputs: dict[str, exp.Expr],
        outer: list[exp.Expr],
        other: Comparison,
    ) -> tuple[Relation, exp.Expr]:
        """EXISTS a row whose `value` compares with an outer one: its least or greatest value does."""
        kind, value, against = other
        alias = self.alias()
        extremes = {"lo": exp.Min(this=value.copy()), "hi": exp.Max(this=value.copy())}
        grouped = rewritten(inner, {**outputs, **extremes}, keys=list(outputs.values()))
        item = self.from_item(named(grouped, alias))
        pairs = [
            (exp.column(name, table=alias, quoted=True), value)
            for name, value in zip(outputs, outer, strict=True)
        ]
        joined = (
            Joined(self.program, item, relation, pairs, "outer")
            if pairs
            else Broadcasted(self.program, item, relation)
        )
        tests = [
            kind(this=exp.column(name, table=alias, quoted=True), expression=against.copy())
            for name in _DECIDED_BY.get(kind, ("lo", "hi"))
        ]
        # EXISTS is never NULL.
        return joined, exp.Is(this=exp.Paren(this=exp.or_(*tests)), expression=exp.true())

    def _not_in(self, relation: Relation, node: exp.In) -> tuple[Relation, exp.Expr]:
        """NOT IN is true where the list is empty, or has no NULL and not the value, which is no NULL."""
        query = inner_query(node.args["query"])
        inner, keys, other = self._correlated(relation, query)
        if keys or other is not None or not isinstance(inner, exp.Select) or is_grouped(inner):
            raise refuse("in", "NOT IN a sub-query that is grouped or names outer columns", "use NOT EXISTS")
        value = only_output(inner)
        counted = {"n": exp.Count(this=exp.Star()), "v": exp.Count(this=value.copy())}
        alias = self.alias()
        item = self.from_item(named(rewritten(inner, counted), alias))
        relation, mark = self._marked(relation, query, node.this)
        relation = Broadcasted(self.program, item, relation)
        rows, values = (exp.column(name, table=alias, quoted=True) for name in counted)
        empty = exp.EQ(this=rows.copy(), expression=exp.Literal.number(0))
        known = exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null()))
        absent = exp.and_(exp.EQ(this=rows, expression=values), known, exp.Not(this=mark))
        return relation, exp.Paren(this=exp.or_(empty, absent))

    def _scalar(self, relation: Relation, query: exp.Query) -> tuple[Relation, exp.Expr]:
        """Return a relation with the only value of a sub-query for each row."""
        inner, keys, other = self._correlated(relation, query)
        if other is not None:
            raise refuse(
                "subquery", "a scalar sub-query that compares outer columns by order", "compare them by ="
            )
        value = only_output(inner)
        alias = self.alias()
        outputs = {f"j{i}": key for i, (key, _) in enumerate(keys)}
        if keys and isinstance(inner, exp.Select):
            aggregated = bool(aggregates_of([value]))
            inner = rewritten(
                inner, {**outputs, "v": value}, keys=list(outputs.values()) if aggregated else None
            )
        item = self.from_item(named(inner, alias))
        column: exp.Expr = exp.column(output_names(inner)[-1], table=alias, quoted=True)
        pairs = [
            (exp.column(name, table=alias, quoted=True), outer)
            for name, (_, outer) in zip(outputs, keys, strict=True)
        ]
        if isinstance(value, exp.Count) and keys:
            column = exp.Coalesce(this=column, expressions=[exp.Literal.number(0)])
        if not pairs:
            if item.rows != 1:
                raise refuse("subquery", "a scalar sub-query of several rows", "aggregate it, or add LIMIT 1")
            return Broadcasted(self.program, item, relation), column
        if not item.is_unique(frozenset((alias, name) for name in outputs)):
            raise refuse("subquery", "a scalar sub-query of several rows", "aggregate it")
        return Joined(self.program, item, relation, pairs, "outer"), column

    def _correlated(
        self, relation: Relation, query: exp.Query
    ) -> tuple[exp.Query, list[Pair], Comparison | None]:
        """Take conditions with outer columns out of a sub-query: pairs (inner, outer), and one comparison.

        Raises:
            JobRefused: it uses outer columns in another way.
        """
        outer = set(relation.scope)
        if not any(column.table in outer for column in query.find_all(exp.Column)):
            return query, [], None
        refusal = refuse(
            "subquery",
            "a sub-query that uses outer columns in another way than `inner column = outer column` in its"
            " WHERE",
            "write such a condition in the sub-query's own WHERE, or join the tables",
        )
        if not isinstance(query, exp.Select) or is_grouped(query) or query.args.get("limit") is not None:
            raise refusal
        inner = query.copy()
        where = inner.args.get("where")
        kept, keys, others = list[exp.Expr](), list[Pair](), []
        for condition in conjuncts(where.this) if where is not None else ():
            if not aliases_of(condition) & outer:
                kept.append(condition)
                continue
            sides = (condition.args.get("this"), condition.args.get("expression"))
            if type(condition) not in _FLIPPED or sides[0] is None or sides[1] is None:
                raise refusal
            kind, left, right = _FLIPPED[type(condition)], sides[1], sides[0]
            if not (aliases_of(right) <= outer and aliases_of(right)):
                kind, left, right = _FLIPPED[kind], right, left
            if not aliases_of(right) <= outer or aliases_of(left) & outer or not aliases_of(left):
                raise refusal
            if kind is exp.EQ:
                keys.append((left, right))
            else:
                others.append((kind, left, right))
        inner.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
        if len(others) > 1 or any(column.table in outer for column in inner.find_all(exp.Column)):
            raise refusal
        return inner, keys, others[0] if others else None
