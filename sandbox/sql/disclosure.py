"""Which uses a query makes of each column, for `policies.columns.check_use` to judge.

The walk interprets a resolved tree (`sandbox.sql.names`) over the abstract values of
`sandbox.sql.dependencies`, before anything is planned: it holds for plans at one provider and for joint ones
alike, reads no data (R12), and says nothing of what a protocol shows beside the result (R8).

- Functions and operators: what they are made of. Comparisons, LIKE, IN, IS NULL: the same, `compare`.
- WHERE, HAVING, QUALIFY, ON and the conditions of CASE: `filter`. A comparison that puts columns of two
  products beside each other matches them, however it is written: `join` as well.
- Equality of two columns in WHERE or ON, `x IN (SELECT y …)`, EXISTS with such an equality: `join` for both.
  If each row of one side had to match a row of another provider, its key has passed `join` and its other
  columns `join-payload`; not so the rows that an outer join or NOT keeps without a match. Key and other
  columns must come from one reading of the provider's table: a cross join or a window in a sub-query would
  show them beside foreign keys. NOT IN and NOT EXISTS show who has no match: `filter` beside `join`.
- GROUP BY, DISTINCT, UNION, PARTITION BY: `group`; keys that are shown have passed `group`.
- Aggregates: `aggregate:<function>`. ORDER BY with LIMIT: `order`; by what the result does not show: its rank
  is shown. ORDER BY of a window: `order` after `rank`, and every value of the window shows ranks (a running
  count is a rank); where RANGE measures a distance, more than ranks.
- A correlated sub-query in an expression says for each outer row what its conditions found: it is guarded by
  them, or chosen by them where it is not NULL without a row (COUNT, COALESCE).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from policies.columns import ColumnUse
from records.errors import MalformedDocument
from sandbox.sql.catalogue import Source
from sandbox.sql.conjuncts import conjuncts
from sandbox.sql.dependencies import (
    NO_MATCHES,
    NOTHING,
    Dependency,
    Matches,
    Value,
    combined,
    matches,
    united,
)
from sandbox.sql.expression_uses import STRICT_COMPARISONS, ExpressionUses, is_aggregated, may_be_empty
from sandbox.sql.names import Resolved
from sandbox.sql.scope import Outputs, Scope, named


def column_uses(resolved: Resolved) -> tuple[ColumnUse, ...]:
    """Return each use of a column that the terms of its product must permit, sorted, without repeats.

    A column of a collection is a column of each of its products. Columns are spelt as their sources spell
    them. COUNT(*) is none, nor is what EXISTS selects; ORDER BY of the whole result by what it shows sorts
    released values (R8). A condition is the use of the columns that it reads, and of no others.

    Raises:
        MalformedDocument: the parts of a UNION differ in their number of columns, or IN has several.
    """
    walk = _QueryUses(sources={source.name: source for source in resolved.sources})
    result = walk.query(resolved.tree, None, is_result=True)
    walk.use("output", combined(value for _, value in result.outputs).all)
    return tuple(sorted(walk.uses))


@dataclass(slots=True)
class _QueryUses(ExpressionUses):
    sources: Mapping[str, Source] = field(default_factory=dict)

    def query(self, node: exp.Expr, outer: Scope | None, *, is_result: bool = False) -> Scope:
        """Walk a query; return its scope with its outputs. `is_result`: its rows are shown in order."""
        if isinstance(node, exp.Select):
            scope = self._select(node, outer)
        elif isinstance(node, exp.Union):
            scope = self._union(node, outer)
        else:
            scope = self.query(node.this, outer)
        self._order(node, scope, is_result=is_result)
        return scope

    def _union(self, node: exp.Union, outer: Scope | None) -> Scope:
        left, right = self.query(node.this, outer), self.query(node.expression, outer)
        if len(left.outputs) != len(right.outputs):
            raise MalformedDocument("the parts of a UNION differ in their number of columns")
        pairs = zip(left.outputs, right.outputs, strict=True)
        outputs = tuple((name, united(value, other)) for (name, value), (_, other) in pairs)
        return Scope(
            outer,
            outputs=self._grouped(outputs) if node.args.get("distinct") else outputs,
            conditions=left.conditions | right.conditions,
            is_correlated=left.is_correlated or right.is_correlated,
        )

    def _select(self, select: exp.Select, outer: Scope | None) -> Scope:
        scope = Scope(outer)
        self._item(select.args["from_"].this, scope)
        for join in select.args.get("joins") or ():
            self._join(join, scope)
        if select.args.get("where") is not None:
            self._restrict(select.args["where"].this, scope, list(scope.items))
        group = select.args.get("group")
        keys = [(key, self.value(key, scope)) for key in (group.expressions if group is not None else ())]
        self.use("group", combined(value for _, value in keys).all)
        scope.keys = tuple((key, value.passed("group")) for key, value in keys)
        scope.outputs = self._outputs(select, scope)
        for clause in (select.args.get("having"), select.args.get("qualify")):
            for condition in conjuncts(clause.this) if clause is not None else ():
                self._filter(condition, scope)
        if select.args.get("distinct") is not None:
            scope.outputs = self._grouped(scope.outputs)
        if not may_be_empty(select):
            scope.matched_outside = NO_MATCHES
        return scope

    def _outputs(self, select: exp.Select, scope: Scope) -> Outputs:
        outputs = tuple((item.alias, self.value(item.this, scope)) for item in select.expressions)
        if not is_aggregated(select):
            return outputs
        # What is no key has no one value in a group, and cannot tell which rows of it are matched.
        keys = {key for key, _ in scope.keys}
        return tuple(
            (name, value if item.this in keys else combined((value,)))
            for item, (name, value) in zip(select.expressions, outputs, strict=True)
        )

    def _grouped(self, outputs: Outputs) -> Outputs:
        self.use("group", combined(value for _, value in outputs).all)
        return tuple((name, value.passed("group")) for name, value in outputs)

    def _order(self, query: exp.Expr, scope: Scope, *, is_result: bool) -> None:
        order, is_limited = query.args.get("order"), bool(query.args.get("limit") or query.args.get("offset"))
        if order is None or not (is_result or is_limited):
            return
        shown = [item.this for item in query.expressions] if isinstance(query, exp.Select) else []
        for key in (ordered.this for ordered in order.expressions):
            is_shown = key in shown or _reads_outputs(key)
            value = self.value(key, scope)
            if is_limited or not is_shown:
                self.use("order", value.all)
            if is_result and not is_shown:
                self.use("output", value.passed("rank").all)

    def _item(self, item: exp.Expr, scope: Scope) -> str:
        """Add an item of FROM to the scope; return its name."""
        if isinstance(item, exp.Table):
            source, place = self.sources[item.name], self.place()
            scope.items[item.alias] = {
                name.lower(): Value(
                    frozenset(Dependency(place, facts.product, name) for facts in source.products),
                    is_column=True,
                )
                for name, _ in source.columns
            }
        else:
            inner = self.query(item.this, scope.outer)
            scope.conditions |= inner.conditions
            scope.is_correlated |= inner.is_correlated
            scope.items[item.alias] = named(inner.outputs)
        return item.alias

    def _join(self, join: exp.Join, scope: Scope) -> None:
        before = list(scope.items)
        alias = self._item(join.this, scope)
        condition, everything = join.args.get("on"), [*before, alias]
        if condition is None:
            return
        if join.kind == "ANTI":
            self._exclude(condition, scope)
            return
        matched, extended = {
            "": (everything, []),
            "LEFT": ([alias], [alias]),
            "RIGHT": (before, before),
            "FULL": ([], everything),
        }[join.side]
        read, scope.conditions = scope.conditions, NOTHING
        outside = scope.matched_outside
        self._restrict(condition, scope, matched)
        if join.side:
            # An outer join keeps its rows, whatever rows of an outer SELECT its condition names.
            scope.matched_outside = outside
        # Which rows have found no match is shown by the NULLs in their place.
        scope.guard(extended, scope.conditions)
        scope.conditions |= read

    def _exclude(self, condition: exp.Expr, scope: Scope) -> None:
        """Walk the condition of an anti-join: no row that is shown has met it."""
        for each in conjuncts(condition):
            if isinstance(each, exp.EQ):
                self._equality(each, scope)
            value = self.value(each, scope)
            self.use("filter", value.all)
            scope.conditions |= value.all

    def _restrict(self, condition: exp.Expr, scope: Scope, matched: Sequence[str]) -> None:
        """Walk WHERE or ON, which every row of the items `matched` that is shown has met."""
        found, others = NO_MATCHES, []
        for each in conjuncts(condition):
            matches_found = self._match(each, scope)
            if matches_found is None:
                others.append(each)
            else:
                found |= matches_found
        scope.apply(found, matched)
        for each in others:
            self._filter(each, scope)

    def _match(self, condition: exp.Expr, scope: Scope) -> Matches | None:
        """Walk an equality of two columns, IN (SELECT …) or EXISTS; return None for any other condition."""
        match condition:
            case exp.EQ():
                return self._equality(condition, scope)
            case exp.In() if condition.args.get("query") is not None:
                return self._semi_join(condition, scope)
            case exp.Exists():
                inner = self.query(condition.this, scope)
                scope.conditions |= inner.conditions
                return inner.matched_outside
        return None

    def _semi_join(self, condition: exp.In, scope: Scope) -> Matches:
        value, listed, inner = self.membership(condition, scope)
        both = combined((value, listed)).passed("compare").all
        if not (value.is_column and listed.is_column):
            self.use("filter", both)
        scope.conditions |= both | inner.conditions
        return matches(value, listed) | inner.matched_outside

    def _equality(self, condition: exp.EQ, scope: Scope) -> Matches | None:
        one, other = condition.this, condition.expression
        if not (isinstance(one, exp.Column) and isinstance(other, exp.Column)):
            return None
        owners = scope.place(one), scope.place(other)
        values = scope.column(one), scope.column(other)
        if owners[0] == owners[1] or not all(value.is_column for value in values):
            return None
        both = combined(values)
        self.use("join", both.all)
        scope.conditions |= both.passed("compare").all
        found = NO_MATCHES
        for (owner, _), key, matched in zip(owners, values, reversed(values), strict=True):
            if owner is scope:
                found |= matches(key, matched)
            elif owner is scope.outer:
                scope.matched_outside |= matches(key, matched)
        return found

    def _filter(self, condition: exp.Expr, scope: Scope) -> None:
        value = self.value(condition, scope)
        # A comparison with NULL is not true: where a match is missing, it asks for one, as a join does.
        is_strict = isinstance(condition, STRICT_COMPARISONS)
        self.use("filter", value.parts | value.choices if is_strict else value.all)
        scope.conditions |= value.all


def _reads_outputs(key: exp.Expr) -> bool:
    """Tell whether a key of ORDER BY is made of the outputs, which have no table."""
    return key.find(exp.AggFunc, exp.Query) is None and not any(
        column.table for column in key.find_all(exp.Column)
    )
