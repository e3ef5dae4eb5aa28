"""The condition after WHERE: types are checked and literals typed before any row is read.

No predicate may fail on a row, because an error that depends on rows is an answer about rows: what could
overflow or divide by zero becomes NULL (DuckDB's `TRY`), and the row does not pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlglot import exp

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql.catalogue import Family, family, is_decimal
from sandbox.sql.refusal import refusal

MAX_LIST_TERMS = 1000

_NUMBER = re.compile(r"(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE][+-]?\d{1,2})?")
_MAX_DIGITS = 18
"""A BIGINT column compared with a literal of 18 digits still fits DuckDB's 38 digits."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_MOMENTS: Mapping[exp.DType, Family] = {
    exp.DType.DATE: "date",
    exp.DType.TIMESTAMP: "timestamp",
    exp.DType.TIMESTAMPNTZ: "timestamp",
}
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod)


@dataclass(frozen=True, slots=True)
class _Operand:
    """A checked operand. `family` is None for NULL; `types` are those of the columns in it."""

    node: exp.Expr
    family: Family | None
    types: frozenset[str] = frozenset()
    is_literal: bool = False
    may_fail: bool = False


def check(node: exp.Expr, types: Mapping[str, str]) -> exp.Expr:
    """Return the predicate with typed literals and with `TRY` around what could fail.

    `types` maps the names of columns, as they stand in `node`, to their types.

    Raises:
        MalformedDocument: operands whose types do not compare.
        JobRefused: a construct that has no place in WHERE.
    """
    match node:
        case exp.And() | exp.Or():
            return type(node)(this=check(node.this, types), expression=check(node.expression, types))
        case exp.Not() | exp.Paren():
            return type(node)(this=check(node.this, types))
        case exp.Between():
            return _comparison(node, ("this", "low", "high"), types)
        case exp.In():
            return _membership(node, types)
        case _ if isinstance(node, _COMPARISONS):
            return _comparison(node, ("this", "expression"), types)
    return _test(node, types)


def _test(node: exp.Expr, types: Mapping[str, str]) -> exp.Expr:
    """Check a predicate over one column, or a constant one."""
    match node:
        case exp.Boolean():
            return node
        case exp.Is(this=exp.Column() as column, expression=exp.Null()):
            return node
        case exp.Column() if family(types[node.name]) == "boolean":
            return node
        case exp.Is(this=exp.Column() as column, expression=exp.Boolean()):
            wanted: Family = "boolean"
        case exp.Like(this=exp.Column() as column, expression=pattern) if _is_text(pattern):
            wanted = "text"
        case _:
            raise _unsupported()
    if family(types[column.name]) != wanted:
        raise _mismatch()
    return node


def _comparison(node: exp.Expr, arguments: tuple[str, ...], types: Mapping[str, str]) -> exp.Expr:
    operands = _aligned([_operand(node.args[argument], types) for argument in arguments])
    compared = type(node)(
        **{argument: operand.node for argument, operand in zip(arguments, operands, strict=True)}
    )
    return _guarded(compared, operands)


def _membership(node: exp.In, types: Mapping[str, str]) -> exp.Expr:
    if len(node.expressions) > MAX_LIST_TERMS:
        raise LimitExceeded(f"an IN list has more than {MAX_LIST_TERMS} terms; use BETWEEN or several jobs")
    terms = [_operand(term, types) for term in node.expressions]
    if not terms or not all(term.is_literal for term in terms):
        raise JobRefused((refusal("in", "IN over something else than literals", "list the literals"),))
    operand, *aligned = operands = _aligned([_operand(node.this, types), *terms])
    return _guarded(exp.In(this=operand.node, expressions=[term.node for term in aligned]), operands)


def _guarded(node: exp.Expr, operands: list[_Operand]) -> exp.Expr:
    """Wrap a comparison that could fail on a row; DuckDB's casts between two number types can."""
    types = frozenset[str]().union(*(operand.types for operand in operands))
    numbers = {kind for kind in types if family(kind) == "number"}
    casts = len(numbers) > 1 or any(is_decimal(kind) for kind in numbers)
    return exp.Try(this=node) if casts or any(operand.may_fail for operand in operands) else node


def _operand(node: exp.Expr, types: Mapping[str, str]) -> _Operand:
    match node:
        case exp.Column():
            column_type = types[node.name]
            return _Operand(node, family(column_type), frozenset({column_type}))
        case exp.Paren():
            return _operand(node.this, types)
        case exp.Neg():
            inner = _operand(node.this, types)
            if inner.family != "number":
                raise _mismatch()
            negated = exp.Neg(this=_term(inner))
            return _Operand(negated, "number", inner.types, inner.is_literal, may_fail=not inner.is_literal)
        case _ if isinstance(node, _ARITHMETIC):
            left, right = _operand(node.this, types), _operand(node.expression, types)
            if left.family != "number" or right.family != "number":
                raise _mismatch()
            combined = type(node)(this=_term(left), expression=_term(right))
            return _Operand(combined, "number", left.types | right.types, may_fail=True)
    return _literal(node)


def _literal(node: exp.Expr) -> _Operand:
    match node:
        case exp.Null():
            return _Operand(node, None, is_literal=True)
        case exp.Boolean():
            return _Operand(node, "boolean", is_literal=True)
        case exp.Literal() | exp.Placeholder() if _is_text(node):
            return _Operand(node, "text", is_literal=True)
        case exp.Placeholder():
            return _Operand(node, "number", is_literal=True)
        case exp.Literal():
            require_number(node.name)
            return _Operand(node, "number", is_literal=True)
        case exp.Cast(this=text, to=exp.DataType(this=kind)) if kind in _MOMENTS and _is_text(text):
            return _moment(text, _MOMENTS[kind])
    raise _unsupported()


def _term(operand: _Operand) -> exp.Expr:
    """Return the operand in parentheses where the tree's shape would be lost in text."""
    atom = isinstance(operand.node, (exp.Column, exp.Literal, exp.Placeholder))
    return operand.node if atom else exp.Paren(this=operand.node)


def _aligned(operands: list[_Operand]) -> list[_Operand]:
    """Give string literals the type of the dates they meet, and demand that all families compare."""
    families = {
        operand.family for operand in operands if not (operand.is_literal and operand.family == "text")
    }
    moment: Family | None = next((kind for kind in ("timestamp", "date") if kind in families), None)
    if moment is not None:
        operands = [
            _moment(operand.node, moment) if operand.is_literal and operand.family == "text" else operand
            for operand in operands
        ]
    met = {operand.family for operand in operands} - {None}
    if not (len(met) <= 1 or met == {"date", "timestamp"}):
        raise _mismatch()
    return operands


def _is_text(node: exp.Expr) -> bool:
    """Tell whether a node is a text, or stands for one; see `sandbox.sql.placeholders`."""
    if isinstance(node, exp.Placeholder):
        return node.name.startswith("t")
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _moment(literal: exp.Expr, kind: Family) -> _Operand:
    if isinstance(literal, exp.Placeholder):  # its value is checked where it is filled in
        return _Operand(exp.cast(literal, kind.upper()), kind, is_literal=True)
    form = _DATE if kind == "date" else _TIMESTAMP
    try:
        if not form.fullmatch(literal.name):
            raise ValueError
        moment = datetime.fromisoformat(literal.name)
    except ValueError:
        raise MalformedDocument(
            "a date is written 'YYYY-MM-DD', a timestamp with ' hh:mm:ss' after it"
        ) from None
    text = date.isoformat(moment) if kind == "date" else moment.isoformat(" ")
    return _Operand(exp.cast(exp.Literal.string(text), kind.upper()), kind, is_literal=True)


def require_number(text: str) -> None:
    """Return if `text` is a number as a query may hold it.

    Raises:
        MalformedDocument: more than 18 digits, or no usual form.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or len((match[1] or "") + (match[2] or "")) > _MAX_DIGITS:
        raise MalformedDocument(f"a number in the query has more than {_MAX_DIGITS} digits, or no usual form")


def _mismatch() -> MalformedDocument:
    return MalformedDocument(
        "WHERE brings values of different types together; write literals in the column's type"
    )


def _unsupported() -> JobRefused:
    remedy = "compare columns and literals with = <> < <= > >=, IN, BETWEEN, IS NULL or LIKE"
    return JobRefused((refusal("where", "another expression in WHERE", remedy),))
