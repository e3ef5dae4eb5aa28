"""What the columns of a plan mean, in the SQL of the provider that they come from.

Columns in shares are called `c1`, `c2`, … No column has the name of another with another meaning, so that one
table of meanings serves a whole plan. Literals stay placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from sandbox.sql import grammar
from sandbox.sql.plan import LocalPart, PartColumn, Plan
from sandbox.sql.steps import Compute, Group, Join, Operation, Project, Select, Stack, Step, Window

MAX_CHARS = 60

_OPERATORS: Mapping[Operation, str] = {
    "add": " + ",
    "subtract": " - ",
    "multiply": " * ",
    "less": " < ",
    "equal": " = ",
    "same": " = ",
    "and": " AND ",
    "or": " OR ",
}
_PASSED_ON: frozenset[Operation] = frozenset({"number", "key", "scale"})
"""Operations that write the same value in another way."""

_KNOWN = " IS NOT NULL"
_REVERSED = " reversed"
_PLANNED = "_"
"""Aliases of sub-queries that the planner has written begin with it."""


def meanings(plan: Plan) -> dict[str, str]:
    """Return what each column in shares means, by its name."""
    found: dict[str, str] = {}
    for part in plan.parts:
        outputs = _outputs(part.sql)
        for item in part.columns:
            found[item.column.name] = _entered(item, outputs)
    for step in plan.steps:
        for name, meaning in _made(step, found):
            found.setdefault(name, meaning)
    return found


def sources_of(part: LocalPart) -> dict[str, str]:
    """Return the SQL of the sources of each column that a part puts in, by the column's name."""
    outputs = _outputs(part.sql)
    return {item.column.name: _listed([outputs[name] for name in item.sources]) for item in part.columns}


def ordered(meaning: str, *, falls: bool) -> str:
    """Return a key of an order in words: a reversed key that falls rises."""
    return f"{meaning.removesuffix(_REVERSED)}{' DESC' if falls != meaning.endswith(_REVERSED) else ''}"


def shortened(text: str) -> str:
    """Return a text of at most 60 characters."""
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"


def _outputs(sql: str) -> dict[str, str]:
    """Return the outputs of a part's SELECT in words, by their names."""
    select = grammar.read(sql)
    made = {
        (query.alias, item.alias): item.unalias()
        for query in select.find_all(exp.Subquery)
        if query.alias.startswith(_PLANNED) and isinstance(query.this, exp.Select)
        for item in query.this.expressions
    }
    return {item.alias: _readable(item.unalias(), made) for item in select.expressions}


def _readable(node: exp.Expr, made: Mapping[tuple[str, str], exp.Expr]) -> str:
    """Return SQL without quotes that it does not need, and without TRY, which makes NULL of what fails.

    `made` are outputs of sub-queries that the planner has written: they stand in the place of their names.
    """
    tree = exp.Paren(this=node.copy())
    for column in list(tree.find_all(exp.Column)):
        inner = made.get((column.table, column.name))
        if inner is not None:
            column.replace(inner.copy())
    for each in list(tree.find_all(exp.Try)):
        each.replace(each.this)
    for name in tree.find_all(exp.Identifier):
        name.set("quoted", not name.name.isidentifier())
    return tree.this.sql(grammar.DIALECT, comments=False)  # type: ignore[no-any-return]


def _entered(item: PartColumn, outputs: Mapping[str, str]) -> str:
    source = _listed([outputs[name] for name in item.sources])
    match item.facet:
        case "row":
            return "row"
        case "false":
            return f"NOT {source}"
        case "known":
            return f"{source}{_KNOWN}"
    return source


def _made(step: Step, known: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the columns that a step makes, with their meanings."""
    match step:
        case Project():
            return [(now, known[before]) for before, now in step.columns]
        case Join():
            return [(step.matched, "matched")]
        case Compute():
            return [(step.column.name, _computed(step, known))]
        case Group():
            return _grouped(step, known)
        case Select():
            words = f"PERCENTILE_DISC({step.numerator}/{step.denominator})"
            return [(now, f"{words} of {known[before]}") for before, now in (*step.lower, *step.upper)]
        case Window():
            return [
                (name, f"{function.upper()}({known[argument] if argument else ''}) OVER")
                for function, argument, name in step.functions
            ]
        case Stack():
            return []
    return []


def _computed(step: Compute, known: Mapping[str, str]) -> str:
    operands = [known[name] for name in step.operands]
    if step.operation in _OPERATORS:
        return f"({_OPERATORS[step.operation].join(operands)})"
    if step.operation in _PASSED_ON:
        return operands[0]
    match step.operation:
        case "not":
            return f"NOT {operands[0]}"
        case "reverse":
            return f"{operands[0]}{_REVERSED}"
        case "select":
            return f"CASE WHEN {operands[0]} THEN {operands[1]} ELSE {operands[2]} END"
        case "truncate":
            return f"{operands[0]} / 2^{step.constant}"
        case "divide":
            return f"{operands[0]} // {operands[1]}"
        case "present":
            return "TRUE"
    return "NULL"


def _grouped(step: Group, known: Mapping[str, str]) -> list[tuple[str, str]]:
    found = [(name, _summed(known[before])) for before, name in step.sums]
    if step.count is not None:
        found.append((step.count, "COUNT(*)"))
    order = known[step.order] if step.order is not None else None
    if step.distinct is not None:
        found.append((step.distinct, f"COUNT(DISTINCT {order})"))
    return [*found, *((name, _of_last(known[before], order)) for before, name in step.last)]


def _summed(meaning: str) -> str:
    return f"COUNT({meaning.removesuffix(_KNOWN)})" if meaning.endswith(_KNOWN) else f"SUM({meaning})"


def _of_last(meaning: str, order: str | None) -> str:
    """Return what stands in the last row of a group: its greatest or least value, or a value of that row."""
    if order is None:
        return meaning
    if order.removesuffix(_REVERSED) == meaning:
        return f"{'MIN' if order.endswith(_REVERSED) else 'MAX'}({meaning})"
    return f"{meaning} of the last row by {order}"


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
