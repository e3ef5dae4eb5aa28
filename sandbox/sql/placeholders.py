"""Literals taken out of a query: exchange and log see `$n1` and `$t2`, providers and buyer the values.

`$n…` stands for a whole number, `$n…_2` for one with two decimals, `$n…e` for one with an exponent, and `$t…`
for a text: the type of a literal, which the types of results depend on, stays in the text. They are numbered
1, 2, … as they are met in the tree; equal literals share a number. What is structure stays, too: names,
operators, signs, LIMIT, ordinals, intervals, fractions of quantiles, parameters of types, TRUE, FALSE and
NULL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from sqlglot import exp

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql import grammar
from sandbox.sql.refusal import refusal

MAX_PLACEHOLDERS = 2000
MAX_DIGITS = 18
"""A BIGINT column compared with a literal of 18 digits still fits DuckDB's 38 digits."""

_NUMBER = re.compile(r"(?=\.?\d)(?P<whole>\d*)(?:\.(?P<decimals>\d*))?(?P<exponent>[eE][+-]?\d{1,2})?")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_MOMENTS = {
    exp.DType.DATE: re.compile(r"\d{4}-\d\d-\d\d"),
    exp.DType.TIMESTAMP: _TIMESTAMP,
    exp.DType.TIMESTAMPNTZ: _TIMESTAMP,
}
_STRUCTURE = (
    exp.Limit,
    exp.Offset,
    exp.Group,
    exp.Ordered,
    exp.Interval,
    exp.DataTypeParam,
    exp.PercentileDisc,
)


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
    # Equal literals share a placeholder: so that an expression of GROUP BY is known again in SELECT.
    numbers = {key: number for number, key in enumerate(dict.fromkeys(map(_key, literals)), start=1)}
    for literal in literals:
        number = numbers[_key(literal)]
        kind = f"t{number}" if literal.is_string else f"n{number}{number_form(literal.name)}"
        literal.replace(exp.Placeholder(this=kind))
    return _text(tree), tuple(value for _, value in numbers)


def names(text: str) -> tuple[str, ...]:
    """Return the placeholders of a signed query, in their order.

    Raises:
        MalformedDocument: it holds a literal, or its placeholders are not numbered 1, 2, …
        MalformedDocument, LimitExceeded, JobRefused: see `grammar.parse`.
    """
    tree = grammar.parse(text)
    if _literals(tree):
        raise MalformedDocument("a signed query holds no literals: they travel sealed to the providers")
    found = {node.name: _number(node) for node in tree.find_all(exp.Placeholder)}
    if len(found) > MAX_PLACEHOLDERS or sorted(found.values()) != [*range(1, len(found) + 1)]:
        raise MalformedDocument("the placeholders of a signed query are numbered 1, 2, …, each of one form")
    return tuple(sorted(found, key=found.__getitem__))


def bind(tree: exp.Expr, values: Sequence[str]) -> exp.Expr:
    """Return a copy of a tree with the values in the place of its placeholders.

    Raises:
        MalformedDocument: the values do not fit the placeholders.
    """

    def literal(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        if _number(node) > len(values):
            raise MalformedDocument("a query has as many values as placeholders")
        value, form = values[_number(node) - 1], _form(node)
        if form is None:
            _require_moment(value, node.parent)
            return exp.Literal.string(value)
        if number_form(value) != form:
            raise MalformedDocument("the values of a query do not have the form of their placeholders")
        return exp.Literal.number(value)

    return tree.transform(literal)


def bind_text(sql: str, values: Sequence[str]) -> str:
    """Return the text that `bind` makes of a planned SQL text.

    Raises:
        MalformedDocument: see `bind`.
    """
    return bind(grammar.read(sql), values).sql(grammar.DIALECT, identify=True, comments=False)


def sample(node: exp.Placeholder) -> exp.Expr:
    """Return a literal of the type that a placeholder stands for, to find the type of an expression."""
    form = _form(node)
    if form is None:
        return exp.Literal.string("2000-01-01")  # a text, and a date where one is wanted
    if form == "e":
        return exp.Literal.number("1e0")
    # Ten digits before the point: the literal itself may have so many.
    return exp.Literal.number("1" if not form else "1000000000." + "0" * int(form[1:]))


def number_form(text: str) -> str:
    """Return what the name of a number's placeholder says of it: nothing, `_<decimals>`, or `e`.

    Raises:
        MalformedDocument: more than 18 digits, or no usual form.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or len((match["whole"] or "") + (match["decimals"] or "")) > MAX_DIGITS:
        raise MalformedDocument(f"a number in the query has more than {MAX_DIGITS} digits, or no usual form")
    if match["exponent"]:
        return "e"
    return f"_{len(match['decimals'])}" if match["decimals"] else ""


def _literals(tree: exp.Query) -> list[exp.Literal]:
    """Return the literals that are values: structure says what is asked for, not about whom."""
    return [node for node in tree.find_all(exp.Literal, bfs=False) if not isinstance(node.parent, _STRUCTURE)]


def _require_moment(value: str, parent: exp.Expr | None) -> None:
    """Return if a text that is cast to a date or time is one."""
    if not isinstance(parent, exp.Cast) or parent.to.this not in _MOMENTS:
        return
    try:
        if not _MOMENTS[parent.to.this].fullmatch(value):
            raise ValueError
        datetime.fromisoformat(value)
    except ValueError:
        raise MalformedDocument(
            "a date is written 'YYYY-MM-DD', a timestamp with ' hh:mm:ss' after it"
        ) from None


def _key(literal: exp.Literal) -> tuple[bool, str]:
    return bool(literal.is_string), literal.name


def _number(node: exp.Placeholder) -> int:
    match = grammar.PLACEHOLDER.fullmatch(node.name)
    if match is None:
        raise MalformedDocument("a placeholder of a signed query has another form than `$n1` or `$t1`")
    return int(match["number"] or match["text"])


def _form(node: exp.Placeholder) -> str | None:
    """Return the form of a number's placeholder, None for a text."""
    match = grammar.PLACEHOLDER.fullmatch(node.name)
    if match is None or match["text"]:
        return None
    return "e" if match["double"] else f"_{match['scale']}" if match["scale"] else ""


def _text(tree: exp.Query) -> str:
    return tree.sql(grammar.DIALECT, comments=False)
