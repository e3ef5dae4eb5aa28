"""What could fail on a row is NULL instead (DuckDB's TRY), so that no error of an engine tells of a row."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sandbox.sql.conjuncts import conjuncts

_FALLIBLE = (
    *(exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg, exp.Cast),
    *(exp.Abs, exp.Pow, exp.Exp, exp.Sqrt, exp.Ln, exp.Log, exp.Round),
)
"""What DuckDB may fail at on a row: overflow, a cast, a value outside a function's domain."""


def guard(tree: exp.Query) -> exp.Query:
    """Return a query with each of its conditions, keys and outputs guarded."""
    root = tree.copy()
    # The innermost first: a condition is copied with the sub-queries in it.
    for select in reversed(list(root.find_all(exp.Select))):
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
            if isinstance(item, exp.Alias):
                item.set("this", _guarded_output(item.this, keys))
        order = select.args.get("order")
        for each in order.expressions if order is not None else ():
            each.set("this", _guarded_output(each.this, keys))
        having = select.args.get("having")
        if having is not None:
            having.set("this", _guarded_output(having.this, keys))
    return root


def guarded(expression: exp.Expr) -> exp.Expr:
    """Return an expression that is NULL on a row where it would fail (DuckDB's TRY)."""
    if isinstance(expression, exp.Try):
        return expression.copy()
    fallible = any(node.find(exp.Column) is not None for node in expression.find_all(*_FALLIBLE))
    plain = expression.find(exp.Subquery, exp.Exists, exp.AggFunc, exp.Window, exp.Query) is None
    return exp.Try(this=expression.copy()) if fallible and plain else expression.copy()


def _guarded_output(node: exp.Expr, keys: Sequence[exp.Expr]) -> exp.Expr:
    if node in keys or node.find(exp.AggFunc, exp.Window, exp.Query) is None:
        return guarded(node)

    def replaced(each: exp.Expr) -> exp.Expr:
        if each in keys:
            return guarded(each)
        if isinstance(each, exp.Window):
            _guard_window(each)
        if (
            isinstance(each, exp.AggFunc)
            and isinstance(each.this, exp.Expr)
            and not isinstance(each.this, (exp.Star, exp.Distinct))
        ):
            each.set("this", guarded(each.this))
        return each

    return exp.Paren(this=node.copy()).transform(replaced).this  # type: ignore[no-any-return]


def _guard_window(window: exp.Window) -> None:
    """Guard what a window is partitioned and ordered by."""
    window.set("partition_by", [guarded(key) for key in window.args.get("partition_by") or ()])
    order = window.args.get("order")
    for key in order.expressions if order is not None else ():
        key.set("this", guarded(key.this))
