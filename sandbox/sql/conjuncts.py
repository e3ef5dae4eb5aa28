"""The conditions that must all hold for a condition to hold, and the columns that they set equal."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """Return conditions that all hold where `condition` holds, and only there.

    `(a AND b) OR (a AND c)` is `a` and `b OR c`: what every branch of an OR asks for is asked for.
    """
    node = condition.unnest()
    if isinstance(node, exp.And):
        return [*conjuncts(node.this), *conjuncts(node.expression)]
    if isinstance(node, exp.Or):
        branches = [conjuncts(branch) for branch in _disjuncts(node)]
        shared = [each for each in branches[0] if all(each in branch for branch in branches[1:])]
        if shared:
            rests = [[each for each in branch if each not in shared] for branch in branches]
            return [*shared, exp.or_(*(exp.and_(*rest) for rest in rests))] if all(rests) else shared
    return [node]


def equalities(conditions: Sequence[exp.Expr]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs of columns that conjuncts of the conditions set equal."""
    pairs = []
    for condition in conditions:
        for node in conjuncts(condition):
            left, right = node.this, node.args.get("expression")
            if isinstance(node, exp.EQ) and isinstance(left, exp.Column) and isinstance(right, exp.Column):
                pairs.append(((left.table, left.name), (right.table, right.name)))
    return pairs


def _disjuncts(node: exp.Expr) -> list[exp.Expr]:
    inner = node.unnest()
    if isinstance(inner, exp.Or):
        return [*_disjuncts(inner.this), *_disjuncts(inner.expression)]
    return [inner]
