"""What the value of an expression is made of, and the uses of columns that it makes on the way.

`RULES` says it for each construct that has a rule of its own; every other operation is made of what its
operands are made of. See `sandbox.sql.disclosure` for the rules in words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from policies.columns import ColumnUse
from records.errors import MalformedDocument
from sandbox.sql import grammar
from sandbox.sql.dependencies import (
    NOTHING,
    ONE_VALUE,
    Dependency,
    Value,
    combined,
    spans_tables,
)
from sandbox.sql.scope import Scope

Kinds = tuple[type[exp.Expr], ...]

STRICT_COMPARISONS: Kinds = (
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In),
    *(exp.Like, exp.ILike, exp.Between, exp.StartsWith, exp.Contains),
)
"""Comparisons that are NULL where an operand is NULL."""
COMPARISONS_WITH_NULL: Kinds = (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)
NOT_STRICT: Kinds = (exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Concat)
STRICT: Kinds = (
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Not, exp.Paren, exp.DPipe),
    *(exp.Cast, exp.TryCast, exp.Extract, exp.Interval),
    *(kind for kind in grammar.SCALARS if kind not in NOT_STRICT),
)
"""Operations that are NULL where an operand is NULL. Whatever is not listed may make a value of NULL."""
_ATOMS: Kinds = (
    *(exp.Column, exp.Literal, exp.Placeholder),
    *(exp.DataType, exp.DataTypeParam, exp.Identifier, exp.Var),
)


@dataclass(slots=True)
class ExpressionUses(ABC):
    """A walk over expressions; `uses` are those found so far."""

    uses: set[ColumnUse] = field(default_factory=set)
    _places: int = 0

    @abstractmethod
    def query(self, node: exp.Expr, outer: Scope | None) -> Scope:
        """Walk a query inside the scope `outer`."""

    def use(self, use: str, dependencies: Iterable[Dependency]) -> None:
        """Note a use of each of the dependencies."""
        self.uses.update(ColumnUse(each.product, each.column, use, each.after) for each in dependencies)

    def place(self) -> int:
        """Return the number of a place in the query where rows are read."""
        self._places += 1
        return self._places

    def value(self, node: exp.Expr, scope: Scope) -> Value:
        """Return what an expression is made of; a key of the groups of its SELECT is the key."""
        for key, value in scope.keys:
            if key == node:
                return value
        return RULES.get(type(node), ExpressionUses._operation)(self, node, scope)

    def membership(self, node: exp.In, scope: Scope) -> tuple[Value, Value, Scope]:
        """Walk `x IN (SELECT y …)`; return x, y and the scope of the sub-query.

        Raises:
            MalformedDocument: the sub-query has more than one column.
        """
        value, inner = self.value(node.this, scope), self.query(node.args["query"], scope)
        if len(inner.outputs) != 1:
            raise MalformedDocument("IN needs a sub-query of one column")
        ((_, listed),) = inner.outputs
        self.use("join", value.all | listed.all)
        return value, listed, inner

    def _values(self, nodes: Iterable[exp.Expr], scope: Scope) -> Value:
        return combined(self.value(node, scope) for node in nodes)

    def _operation(self, node: exp.Expr, scope: Scope) -> Value:
        value = self._values(node.iter_expressions(), scope)
        return value if isinstance(node, STRICT) else value.chosen(NOTHING)

    def of_column(self, node: exp.Expr, scope: Scope) -> Value:
        return scope.column(node)

    def _compared(self, operands: Sequence[Value]) -> Value:
        truth = combined(operands)
        if spans_tables(truth.parts):
            self.use("join", truth.parts)
        return truth.passed("compare")

    def of_comparison(self, node: exp.Expr, scope: Scope) -> Value:
        truth = self._compared([self.value(operand, scope) for operand in node.iter_expressions()])
        return truth if isinstance(node, STRICT_COMPARISONS) else truth.chosen(NOTHING)

    def of_in(self, node: exp.Expr, scope: Scope) -> Value:
        if not isinstance(node, exp.In) or node.args.get("query") is None:
            return self.of_comparison(node, scope)
        value, listed, inner = self.membership(node, scope)
        return Value(combined((value, listed)).passed("compare").all | inner.conditions)

    def of_exists(self, node: exp.Expr, scope: Scope) -> Value:
        return Value(self.query(node.this, scope).conditions)

    def of_case(self, node: exp.Expr, scope: Scope) -> Value:
        # `IF(c, v, w)` is a branch without a CASE.
        operand, branches = (None, [node]) if isinstance(node, exp.If) else (node.this, node.args["ifs"])
        tests = [self.value(branch.this, scope) for branch in branches]
        if operand is not None:
            compared = self.value(operand, scope)
            tests = [self._compared((compared, test)) for test in tests]
        conditions = combined(tests).all
        self.use("filter", conditions)
        values = [self.value(branch.args["true"], scope) for branch in branches]
        default = node.args.get("false" if isinstance(node, exp.If) else "default")
        if len(values) == 1 and (default is None or isinstance(default, exp.Null)):
            return combined(values).guarded(conditions)
        if default is not None:
            values.append(self.value(default, scope))
        return combined(values).chosen(conditions)

    def of_nullif(self, node: exp.Expr, scope: Scope) -> Value:
        value, other = self.value(node.this, scope), self.value(node.expression, scope)
        equal = self._compared((value, other))
        self.use("filter", equal.all)
        return combined((value,)).guarded(equal.all)

    def of_aggregate(self, node: exp.Expr, scope: Scope) -> Value:
        # Inside an aggregate, a key of the groups is a column of each row.
        keys, scope.keys = scope.keys, ()
        value = self._aggregated(node, scope, by_row=False)
        scope.keys = keys
        return value

    def _aggregated(self, node: exp.Expr, scope: Scope, *, by_row: bool) -> Value:
        distinct = isinstance(node.this, exp.Distinct)
        value = self._values(node.this.expressions if distinct else [node.this], scope)
        return value.aggregated(grammar.AGGREGATES[type(node)], distinct=distinct, by_row=by_row)

    def of_window(self, node: exp.Expr, scope: Scope) -> Value:
        """Return a window's value: it is made of other rows than the one that it stands in."""
        order, spec = node.args.get("order"), node.args.get("spec")
        keys = self._values((key.this for key in order.expressions) if order is not None else (), scope)
        placed = keys if spec is not None and _measures_distance(spec) else keys.passed("rank")
        self.use("order", placed.all)
        self.use("group", self._values(node.args.get("partition_by") or (), scope).all)
        is_ranking = type(node.this) in grammar.RANKINGS
        value = Value() if is_ranking else self._aggregated(node.this, scope, by_row=True)
        return combined((value, placed)).chosen(NOTHING).read_at(self.place())

    def of_scalar(self, node: exp.Expr, scope: Scope) -> Value:
        """Return the one value of a sub-query, which says for each outer row what its conditions found."""
        inner = self.query(node, scope)
        value, select = combined(value for _, value in inner.outputs), node.unnest()
        if not inner.is_correlated:
            is_one_value = isinstance(select, exp.Select) and not may_be_empty(select)
            return value.read_at(ONE_VALUE) if is_one_value else value
        if isinstance(select, exp.Select) and all(map(_is_strict, select.expressions)):
            return value.guarded(inner.conditions)
        return value.chosen(inner.conditions)


Rule = Callable[[ExpressionUses, exp.Expr, Scope], Value]

RULES: Mapping[type[exp.Expr], Rule] = {
    exp.Column: ExpressionUses.of_column,
    **dict.fromkeys((*STRICT_COMPARISONS, *COMPARISONS_WITH_NULL), ExpressionUses.of_comparison),
    exp.In: ExpressionUses.of_in,
    exp.Exists: ExpressionUses.of_exists,
    **dict.fromkeys((exp.Case, exp.If), ExpressionUses.of_case),
    exp.Nullif: ExpressionUses.of_nullif,
    **dict.fromkeys(grammar.AGGREGATES, ExpressionUses.of_aggregate),
    exp.Window: ExpressionUses.of_window,
    **dict.fromkeys((exp.Subquery, exp.Select, exp.Union), ExpressionUses.of_scalar),
}
"""sqlglot's node → how its value is made."""


def is_aggregated(select: exp.Select) -> bool:
    """Tell whether a SELECT has groups, or is one."""
    return select.args.get("group") is not None or any(
        aggregate.find_ancestor(exp.Select) is select and not isinstance(aggregate.parent, exp.Window)
        for aggregate in select.find_all(*grammar.AGGREGATES)
    )


def may_be_empty(select: exp.Select) -> bool:
    """Tell whether a SELECT has no row where no row meets its conditions: an aggregate over all has one."""
    return select.args.get("group") is not None or not is_aggregated(select)


def _is_strict(output: exp.Expr) -> bool:
    """Tell whether an output over no rows is NULL, as no COUNT is."""
    kinds = (*STRICT, *STRICT_COMPARISONS, *grammar.AGGREGATES, exp.Distinct, *_ATOMS)
    return all(
        isinstance(each, kinds) and not isinstance(each, exp.Count) for each in output.unalias().walk()
    )


def _measures_distance(frame: exp.Expr) -> bool:
    """Tell whether a window takes the rows within a distance, which tells more than ranks do."""
    bounds = (frame.args.get(bound) for bound in ("start", "end"))
    return frame.text("kind").upper() == "RANGE" and any(isinstance(bound, exp.Expr) for bound in bounds)
