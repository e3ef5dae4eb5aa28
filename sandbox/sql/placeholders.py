"""Literals taken out of a query: exchange and log see `$n1` and `$t2`, providers alone see the values.

`$n…` stands for a number and `$t…` for a text; they are numbered 1, 2, … as they are met in the tree. What
stays in the text is structure: names, operators, signs, LIMIT, ordinals, TRUE, FALSE and NULL.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql import grammar
from sandbox.sql.predicate import require_number
from sandbox.sql.refusal import refusal

MAX_PLACEHOLDERS = 2000


def extract(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a buyer's query with placeholders for its literals, and the values that they stand for.

    Raises:
        MalformedDocument, LimitExceeded, JobRefused: see `grammar.parse`.
        LimitExceeded: more than 2000 literals.
        JobRefused: the query has placeholders already.
    """
    tree = grammar.parse(text)
    if tree.find(exp.Placeholder) is not None:
        raise JobRefused((refusal("parameter", "a parameter", "write the literal in its place"),))
    literals = _literals(tree)
    if len(literals) > MAX_PLACEHOLDERS:
        raise LimitExceeded(f"a query has more than {MAX_PLACEHOLDERS} literals; use BETWEEN or several jobs")
    for number, literal in enumerate(literals, start=1):
        literal.replace(exp.Placeholder(this=f"{'t' if literal.is_string else 'n'}{number}"))
    return _text(tree), tuple(literal.name for literal in literals)


def names(text: str) -> tuple[str, ...]:
    """Return the placeholders of a signed query, in their order.

    Raises:
        MalformedDocument: it holds a literal, or its placeholders are not numbered 1, 2, …
        MalformedDocument, LimitExceeded, JobRefused: see `grammar.parse`.
    """
    return tuple(node.name for node in _placeholders(grammar.parse(text)))


def fill(text: str, values: Sequence[str]) -> str:
    """Return a signed query with its literals put back: what the provider's engine is planned from.

    Raises:
        MalformedDocument: the values do not fit the placeholders.
    """
    tree = grammar.parse(text)
    nodes = _placeholders(tree)
    if len(nodes) != len(values):
        raise MalformedDocument("a query has as many values as placeholders")
    for node, value in zip(nodes, values, strict=True):
        if node.name.startswith("n"):
            require_number(value)
            node.replace(exp.Literal.number(value))
        else:
            node.replace(exp.Literal.string(value))
    return _text(tree)


def _literals(tree: exp.Select) -> list[exp.Literal]:
    """Return the literals that are values: LIMIT and ordinals say what is asked for, not about whom."""
    structure = (exp.Limit, exp.Group, exp.Ordered)
    return [node for node in tree.find_all(exp.Literal, bfs=False) if not isinstance(node.parent, structure)]


def _placeholders(tree: exp.Select) -> list[exp.Placeholder]:
    """Return the placeholders of a signed query, the first first; see `names`."""
    if _literals(tree):
        raise MalformedDocument("a signed query holds no literals: they travel sealed to the providers")
    found = sorted(tree.find_all(exp.Placeholder), key=_number)
    if len(found) > MAX_PLACEHOLDERS or [_number(node) for node in found] != [*range(1, len(found) + 1)]:
        raise MalformedDocument("the placeholders of a signed query are numbered 1, 2, …, each used once")
    return found


def _number(node: exp.Placeholder) -> int:
    return int(node.name[1:])  # `grammar.PLACEHOLDER`


def _text(tree: exp.Select) -> str:
    return tree.sql(grammar.DIALECT, comments=False)
