"""Texts that stand for dates: a literal in quotes beside a date or time is one, beside a number a mistake.

Types are settled before a plan is made, so that a literal of the wrong type is refused before data is
touched, and a date that does not exist by the provider that first sees it (`placeholders.bind`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlglot import exp

from records.errors import MalformedDocument
from sandbox.sql import types
from sandbox.sql.catalogue import Catalogue, Family, family, is_decimal
from sandbox.sql.trees import columns_of_tables
from sandbox.sql.types import Scope

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_BIGINT_DIGITS = 19
_MOST_DIGITS = 38
_CASTS: Mapping[Family, str] = {"date": "DATE", "timestamp": "TIMESTAMP"}


def typed(tree: exp.Query, catalogue: Catalogue) -> exp.Query:
    """Return a resolved query in which a text literal that is compared has the type of what it meets.

    Raises:
        MalformedDocument: a text is compared with a number or a truth value.
    """
    root = tree.copy()
    _visit(root, {}, catalogue)
    return root


def _visit(query: exp.Expr, outer: Scope, catalogue: Catalogue) -> None:
    inner = query.unnest() if isinstance(query, exp.Subquery) else query
    if isinstance(inner, exp.Union):
        _visit(inner.this, outer, catalogue)
        _visit(inner.expression, outer, catalogue)
        return
    scope = dict(outer)
    origin = inner.args.get("from_")
    joins = inner.args.get("joins") or ()
    for node in (origin.this, *(join.this for join in joins)) if origin is not None else ():
        if isinstance(node, exp.Table):
            scope[node.alias] = {name.lower(): kind for name, kind in catalogue.find(node.name).columns}
        else:
            _visit(node.this, outer, catalogue)
            scope[node.alias] = types.of_query(node.this, columns_of_tables(node.this, catalogue))
    pending = [child for key, child in _clauses(inner) if key != "from_"]
    conditions = [inner.args.get(name) for name in ("where", "having", "qualify")]
    while pending:
        node = pending.pop()
        if isinstance(node, (exp.Select, exp.Union)):
            _visit(node, scope, catalogue)
            continue
        if isinstance(node, exp.Join):
            pending += [each for each in (node.args.get("on"),) if each is not None]
            continue
        _settle(node, scope)
        if isinstance(node, exp.If):
            conditions.append(node)
        pending += list(node.iter_expressions())
    conditions += [join for join in joins if join.args.get("on") is not None]
    for each in conditions:
        if each is not None and not _is_simple_case(each):
            _require_truth(each.args["on"] if isinstance(each, exp.Join) else each.this, scope)


def _is_simple_case(node: exp.Expr) -> bool:
    """Tell whether a branch is one of `CASE x WHEN y`, which compares."""
    return isinstance(node.parent, exp.Case) and node.parent.args.get("this") is not None


def _require_truth(condition: exp.Expr, scope: Scope) -> None:
    """Return if a condition has a truth value; sub-queries in it are looked at on their own."""
    node = condition.unnest()
    if isinstance(node, (exp.And, exp.Or)):
        _require_truth(node.this, scope)
        _require_truth(node.expression, scope)
        return
    if isinstance(node, exp.Not):
        _require_truth(node.this, scope)
        return
    if node.find(exp.Query) is not None:
        return
    known = {alias: scope[alias] for alias in _aliases(condition) if alias in scope}
    kind = types.of_expressions({"e": condition}, known, grouped=True)["e"]
    if kind != "BOOLEAN":
        raise MalformedDocument("a condition of the query is no truth value; compare it with a value")


def _settle(node: exp.Expr, scope: Scope) -> None:
    """Give the text literals among the operands of a comparison the type of the other operands."""
    if isinstance(node, _COMPARISONS):
        operands = [node.this, node.expression]
    elif isinstance(node, exp.Between):
        operands = [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In) and not node.args.get("query"):
        operands = [node.this, *node.expressions]
    else:
        return
    texts = [each for each in operands if _is_text(each)]
    others = [each for each in operands if not _is_text(each) and each.find(exp.Query) is None]
    if not others:
        return
    known = {alias: scope[alias] for each in others for alias in _aliases(each) if alias in scope}
    named = {f"e{i}": each for i, each in enumerate(others) if not isinstance(each.unnest(), exp.Null)}
    found = types.of_expressions(named, known, grouped=True) if named else {}
    kinds = {family(kind) for kind in found.values()}
    moments = kinds <= {"date", "timestamp"}
    if (len(kinds) > 1 and not moments) or (texts and not moments and kinds != {"text"}):
        raise MalformedDocument(
            "values of different types are compared; cast them, and write numbers without quotes"
        )
    if _overflows(list(found.values())):
        # The engine casts both to one DECIMAL, which fails on a row: then the comparison is NULL.
        node.replace(exp.Try(this=node.copy()))
    wanted = [_CASTS[kind] for kind in ("timestamp", "date") if kind in kinds]
    for each in texts if wanted else ():
        each.replace(exp.cast(each.copy(), wanted[0]))


def _overflows(kinds: Collection[str]) -> bool:
    """Tell whether numbers of these types may not fit the one DECIMAL that they are compared as."""
    decimals = [kind for kind in kinds if is_decimal(kind)]
    digits = [[int(part) for part in kind[len("DECIMAL(") : -1].split(",")] for kind in decimals]
    sizes = [(precision - scale, scale) for precision, scale in digits]
    sizes += [(_BIGINT_DIGITS, 0) for kind in kinds if kind == "BIGINT"]
    return (
        bool(decimals) and max(whole for whole, _ in sizes) + max(scale for _, scale in sizes) > _MOST_DIGITS
    )


def _is_text(node: exp.Expr) -> bool:
    inner = node.unnest()
    if isinstance(inner, exp.Placeholder):
        return inner.name.startswith("t")
    return isinstance(inner, exp.Literal) and bool(inner.is_string)


def _aliases(node: exp.Expr) -> list[str]:
    return [column.table for column in node.find_all(exp.Column)]


def _clauses(query: exp.Expr) -> list[tuple[str, exp.Expr]]:
    return [
        (key, each)
        for key, value in query.args.items()
        for each in (value if isinstance(value, list) else [value])
        if isinstance(each, exp.Expr)
    ]
