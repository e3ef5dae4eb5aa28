"""Arithmetic of DuckDB's dialect, said to PostgreSQL: the rules of `postgresql_dialect` for numbers.

Each rule takes a node whose types are known and returns what means the same, or refuses it.
"""

from __future__ import annotations

from sqlglot import exp

from records.errors import NotPermitted

_INTEGERS = exp.DataType.INTEGER_TYPES
DOUBLES = exp.DataType.FLOAT_TYPES


def divide(node: exp.Expr) -> exp.Expr:
    """DuckDB divides as DOUBLE, and by zero to an infinity."""
    left, right = as_double(node.this), as_double(node.expression)
    quotient = exp.Div(this=left, expression=right, typed=True, safe=False)
    if isinstance(node.expression, exp.Literal) and float(node.expression.name) != 0:
        return quotient
    zero = exp.Literal.number(0)
    infinite = (
        exp.case()
        .when(_is(exp.EQ, left, zero).or_(_is(exp.EQ, left, _special("NaN"))), _special("NaN"))
        .when(_is(exp.GT, left, zero), _special("Infinity"))
        .when(_is(exp.LT, left, zero), _special("-Infinity"))
    )
    return exp.case().when(_is(exp.EQ, right, zero), infinite).else_(quotient)


def divide_integers(node: exp.Expr) -> exp.Expr:
    """Between integers both cut towards zero."""
    if not (is_integer(node.this) and is_integer(node.expression)):
        raise NotPermitted("`//` goes to PostgreSQL between integers alone; use `/`")
    return node


def round_half_away(node: exp.Expr) -> exp.Expr:
    """DuckDB rounds a half away from zero, PostgreSQL a DOUBLE to even; both parts below are exact."""
    if is_integer(node.this):  # which PostgreSQL would round as a DOUBLE
        return exp.Round(this=exp.cast(bracketed(node.this), "DECIMAL"), decimals=node.args.get("decimals"))
    if not node.this.is_type(*DOUBLES):
        return node
    if node.args.get("decimals") is not None:
        raise NotPermitted("a DOUBLE is rounded to digits otherwise in PostgreSQL; round the result instead")
    size = exp.Abs(this=bracketed(node.this))
    whole = exp.Floor(this=size)
    rest = exp.Paren(this=exp.Sub(this=size.copy(), expression=whole.copy()))
    up = exp.case().when(exp.GTE(this=rest, expression=exp.Literal.number("0.5")), "1").else_("0")
    rounded = exp.Paren(this=exp.Add(this=whole, expression=up))
    return exp.Mul(this=exp.Sign(this=bracketed(node.this)), expression=rounded)


def root_or_logarithm(node: exp.Expr) -> exp.Expr:
    """DuckDB answers NaN below zero, and minus infinity for the logarithm of zero."""
    if isinstance(node, exp.Log) and node.expression is not None:
        raise NotPermitted(
            "LOG goes to PostgreSQL with one argument, to the base 10; divide by LN of the base"
        )
    value, zero = as_double(node.this), exp.Literal.number(0)
    case = exp.case().when(_is(exp.LT, value, zero), _special("NaN"))
    if not isinstance(node, exp.Sqrt):
        case = case.when(_is(exp.EQ, value, zero), _special("-Infinity"))
    return case.else_(type(node)(this=value))


def power(node: exp.Expr) -> exp.Expr:
    """DuckDB's powers are DOUBLE."""
    return exp.Pow(this=as_double(node.this), expression=as_double(node.expression))


def exponential(node: exp.Expr) -> exp.Expr:
    """DuckDB's exponentials are DOUBLE."""
    return exp.Exp(this=as_double(node.this))


def percentile(node: exp.Expr) -> exp.Expr:
    """Between DECIMAL or times DuckDB interpolates in their own type."""
    if not (is_integer(node.this) or node.this.is_type(*DOUBLES)):
        raise NotPermitted("medians and percentiles go to PostgreSQL over BIGINT and DOUBLE")
    return node


def is_nan(node: exp.Expr) -> exp.Expr:
    """NaN equals itself in PostgreSQL."""
    return exp.Paren(this=exp.EQ(this=as_double(node.this), expression=_special("NaN")))


def as_double(value: exp.Expr) -> exp.Expr:
    """Return the value as DOUBLE PRECISION."""
    return exp.cast(bracketed(value), "DOUBLE")


def _special(name: str) -> exp.Expr:
    return exp.cast(exp.Literal.string(name), "DOUBLE")


def _is(comparison: type[exp.Binary], left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return comparison(this=left.copy(), expression=right.copy())


def bracketed(value: exp.Expr) -> exp.Expr:
    """Return a copy of the value that can stand in any place."""
    return value.copy() if isinstance(value, (exp.Column, exp.Literal)) else exp.Paren(this=value.copy())


def is_integer(value: exp.Expr) -> bool:
    """Say whether the value is known to be an integer."""
    return value.is_type(*_INTEGERS)
