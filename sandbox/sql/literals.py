"""Texts that stand for dates: a literal in quotes beside a date or time is one, beside a number it is a mistake.

Types are settled before a plan is made, so that a literal of the wrong type is refused before data is touched, and
a date that does not exist by the provider that first sees it (`placeholders.bind`).
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from records.errors import MalformedDocument
from sandbox.sql import types
from sandbox.sql.catalogue import Catalogue, Family, family
from sandbox.sql.relations import Scope

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
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
            scope[node.alias] = types.of_query(node.this, _tables(node.this, catalogue))
    pending = [child for key, child in _clauses(inner) if key != "from_"]
    while pending:
        node = pending.pop()
        if isinstance(node, (exp.Select, exp.Union)):
            _visit(node, scope, catalogue)
            continue
        if isinstance(node, exp.Join):
            pending += [each for each in (node.args.get("on"),) if each is not None]
            continue
        _settle(node, scope)
        pending += list(node.iter_expressions())


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
    if not texts or not others:
        return
    known = {alias: scope[alias] for each in others for alias in _aliases(each) if alias in scope}
    kinds = {
        family(kind)
        for kind in types.of_expressions({f"e{i}": e for i, e in enumerate(others)}, known).values()
    }
    if not kinds <= {"text", "date", "timestamp"}:
        raise MalformedDocument(
            "a text in quotes is compared with a number or a truth value; write it without quotes"
        )
    wanted = next((_CASTS[kind] for kind in ("timestamp", "date") if kind in kinds), None)
    for each in texts if wanted is not None else ():
        each.replace(exp.cast(each.copy(), wanted))


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


def _tables(query: exp.Query, catalogue: Catalogue) -> dict[str, dict[str, str]]:
    return {
        table.name: {name.lower(): kind for name, kind in catalogue.find(table.name).columns}
        for table in query.find_all(exp.Table)
    }
