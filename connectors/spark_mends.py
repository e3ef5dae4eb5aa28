"""The constructs that Spark reads otherwise than DuckDB, one function each: mended, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from connectors.spark_kinds import (
    DIALECT,
    ISO_TIME,
    KINDS,
    NUMBERS,
    filled,
    is_count,
    kind_of,
    operands,
    present,
    refusal,
    require,
    require_alike,
)

_TIME_PARTS = {
    "YEAR": "EXTRACT(YEAR FROM :a)",
    "QUARTER": "EXTRACT(QUARTER FROM :a)",
    "MONTH": "EXTRACT(MONTH FROM :a)",
    "WEEK": "EXTRACT(WEEK FROM :a)",
    "DAY": "EXTRACT(DAY FROM :a)",
    "HOUR": "EXTRACT(HOUR FROM :a)",
    "MINUTE": "EXTRACT(MINUTE FROM :a)",
    "SECOND": "FLOOR(EXTRACT(SECOND FROM :a))",
    "DOW": "DAYOFWEEK(:a) - 1",  # Sunday is 0 in DuckDB, 1 in Spark
    "DAYOFWEEK": "DAYOFWEEK(:a) - 1",
    "ISODOW": "WEEKDAY(:a) + 1",
    "DOY": "DAYOFYEAR(:a)",
    "DAYOFYEAR": "DAYOFYEAR(:a)",
}
_TIME_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR", exp.Quarter: "QUARTER", exp.Month: "MONTH", exp.Week: "WEEK", exp.Day: "DAY",
    exp.DayOfMonth: "DAY", exp.Hour: "HOUR", exp.Minute: "MINUTE", exp.Second: "SECOND",
    exp.DayOfWeek: "DOW", exp.DayOfYear: "DOY",
}  # fmt: skip
_INTERVALS = {
    "YEAR": (1, "YEAR"), "QUARTER": (3, "MONTH"), "MONTH": (1, "MONTH"), "WEEK": (7, "DAY"),
    "DAY": (1, "DAY"), "HOUR": (1, "HOUR"), "MINUTE": (1, "MINUTE"), "SECOND": (1, "SECOND"),
}  # fmt: skip
_TRUNCATED = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"}
_SPACES = "\u0020\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"
"""What DuckDB trims: the separators of Unicode. Spark trims U+0020 alone."""

_ESCAPE = "\x01"
_CASTS = {
    *((kind, kind) for kind in ("BOOL", "INT", "DEC", "DBL", "DATE", "TS", "TEXT")),
    *((("NULL"), kind) for kind in ("BOOL", "INT", "DEC", "DBL", "DATE", "TS", "TEXT")),
    ("BOOL", "INT"), ("INT", "BOOL"), ("INT", "DBL"), ("INT", "DEC"), ("INT", "TEXT"), ("DEC", "DBL"),
    ("TEXT", "INT"), ("DATE", "TS"), ("TS", "DATE"), ("DATE", "TEXT"),
}  # fmt: skip
_TRIED: dict[type[exp.Expr], str] = {exp.Add: "TRY_ADD", exp.Sub: "TRY_SUBTRACT", exp.Mul: "TRY_MULTIPLY"}
STRICT = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Cast, exp.TryCast, exp.DataType,
    exp.DataTypeParam, exp.Paren, exp.Column, exp.Identifier, exp.Literal, exp.Null,
)  # fmt: skip
"""What TRY may stand around: a null in any part makes the whole null, so each part is tried by itself."""


def _alike(node: exp.Expr) -> exp.Expr:
    match node:
        case exp.Case():
            require_alike([branch.args["true"] for branch in node.args["ifs"]] + present(node, "default"))
            require_alike(present(node, "this") + [b.this for b in node.args["ifs"] if node.this])
        case exp.In():
            query = node.args.get("query")
            require_alike([node.this, *node.expressions, *(query.unnest().selects if query else [])])
        case _:
            require_alike(operands(node) + node.expressions)
    return node


def _div(node: exp.Expr) -> exp.Expr:
    # DuckDB divides doubles as IEEE 754 does; ANSI Spark fails on zero.
    template = "CASE WHEN :b = 0 THEN :a * CAST('Infinity' AS DOUBLE) ELSE :a / :b END"
    return filled(template, a=node.this, b=node.expression)


def _int_div(node: exp.Expr) -> exp.Expr:
    require(node, [node.this, node.expression], {"INT"})
    divisor = "NULLIF(:b, 0)" if is_tried(node) else ":b"
    return filled(f"CAST(:a DIV {divisor} AS BIGINT)", a=node.this, b=node.expression)


def _mod(node: exp.Expr) -> exp.Expr:
    require(node, [node.this, node.expression], {"INT", "DEC"})
    return filled(f":a % {'NULLIF(:b, 0)' if is_tried(node) else ':b'}", a=node.this, b=node.expression)


def _add(node: exp.Expr) -> exp.Expr:
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval):
        require(node, [left], {"DATE", "TS"})
        sign = "-" if isinstance(node, exp.Sub) else "+"
        moved = filled(f"CAST(:a AS TIMESTAMP_NTZ) {sign} :b", a=left, b=right.copy())
        moved.find(exp.Interval).parent.replace(right)  # type: ignore[union-attr]
        return moved
    if kind_of(left) == "DATE" and kind_of(right) == "INT":
        return node
    return _arithmetic(node)


def _arithmetic(node: exp.Expr) -> exp.Expr:
    require(node, [node.this, node.expression], NUMBERS)
    tried = _TRIED.get(type(node))
    if tried and is_tried(node):
        return filled(f"{tried}(:a, :b)", a=node.this, b=node.expression)
    return node


def is_tried(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, STRICT):
        parent = parent.parent
    return isinstance(parent, exp.Try)


def _try(node: exp.Expr) -> exp.Expr:
    return exp.paren(node.this)


def _interval(node: exp.Expr) -> exp.Expr:
    unit = _INTERVALS.get((node.text("unit") or "").upper().removesuffix("S"))
    if unit is None or not node.this.is_string or not re.fullmatch(r"\d{1,6}", node.this.this):
        raise refusal("an INTERVAL that is no literal of one unit")
    return exp.Interval(this=exp.Literal.string(str(int(node.this.this) * unit[0])), unit=exp.var(unit[1]))


def _sum(node: exp.Expr) -> exp.Expr:
    # SUM of BIGINT would be a BIGINT; plus a decimal zero it is DECIMAL(31,0), and decimals and doubles stay.
    return _of_argument(node, "CAST(:a AS INT) + CAST(0 AS DECIMAL(1, 0))", ":a + CAST(0 AS DECIMAL(1, 0))")


def _in_doubles(node: exp.Expr) -> exp.Expr:
    return _of_argument(node, None, "CAST(:a AS DOUBLE)")


def _of_argument(node: exp.Expr, of_boolean: str | None, of_number: str) -> exp.Expr:
    """Put the argument of an aggregate, which may stand under DISTINCT, into a template by its type."""
    distinct = node.this if isinstance(node.this, exp.Distinct) else None
    argument = distinct.expressions[0] if distinct else node.this
    boolean = kind_of(argument) == "BOOL" and of_boolean is not None
    if not boolean:
        require(node, [argument], NUMBERS)
    value = filled(of_boolean if boolean and of_boolean else of_number, a=argument)
    node.set("this", exp.Distinct(expressions=[value]) if distinct else value)
    return node


def _extreme(node: exp.Expr) -> exp.Expr:
    if node.expressions:
        raise refusal("MIN or MAX with a second argument")
    return node


def _percentile(node: exp.Expr) -> exp.Expr:
    require(node, [node.this], {"INT", "DBL"})
    fraction = exp.Literal.number("0.5") if isinstance(node, exp.Median) else node.expression
    if fraction is None or fraction.find(exp.Column):
        raise refusal("a percentile WITHIN GROUP", "write quantile_cont(a, 0.5)")
    return filled("PERCENTILE(:a, :b)", a=node.this, b=fraction)


def _window(node: exp.Expr) -> exp.Expr:
    if type(node.this) in (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile):
        return filled("CAST(:a AS BIGINT)", a=node.copy())
    return node


def _cast(node: exp.Expr) -> exp.Expr:
    value, target = node.this, KINDS[node.args["to"].this.name]
    kind = kind_of(value)
    if target == "TS":
        node.set("to", exp.DataType.build("TIMESTAMP_NTZ", dialect=DIALECT))
    if is_tried(node) and not isinstance(node, exp.TryCast):
        raise refusal("a CAST in TRY", "write TRY_CAST")
    if isinstance(value, exp.Literal) and not value.is_string:
        return node
    if kind == "DBL" and target == "INT":
        node.set("this", filled("RINT(:a)", a=value))  # DuckDB rounds half to even, Spark cuts off
    elif kind == "DEC" and target == "INT":
        node.set("this", filled("ROUND(:a, 0)", a=value))
    elif kind == "TEXT" and target in ("DATE", "TS"):
        if not (value.is_string and ISO_TIME.fullmatch(value.this)):
            raise refusal("a cast from text to a time", "register the column as a DATE or TIMESTAMP")
    elif (kind, target) not in _CASTS or (kind == "TEXT" != target and isinstance(node, exp.TryCast)):
        raise refusal("a cast between these types", "cast through BIGINT, or leave it to the joint query")
    return node


def _time_part(node: exp.Expr) -> exp.Expr:
    unit, value = _TIME_FUNCTIONS.get(type(node)), node.this
    if unit is None:
        unit, value = node.name.upper(), node.expression
    if unit not in _TIME_PARTS:
        raise refusal("this part of a time")
    require(node, [value], {"DATE", "TS"})
    time = filled("CAST(:a AS TIMESTAMP_NTZ)", a=value)
    return filled("CAST(:a AS BIGINT)", a=filled(_TIME_PARTS[unit], a=time))


def _trunc(node: exp.Expr) -> exp.Expr:
    unit = node.text("unit").upper()
    if unit not in _TRUNCATED:
        raise refusal("this unit of DATE_TRUNC")
    require(node, [node.this], {"DATE", "TS"})
    return filled(f"CAST(DATE_TRUNC('{unit}', :a) AS TIMESTAMP_NTZ)", a=node.this)


def _date_diff(node: exp.Expr) -> exp.Expr:
    if node.text("unit").upper() != "DAY":
        raise refusal("DATE_DIFF in this unit", "count days")
    require(node, [node.this, node.expression], {"DATE", "TS"})
    days = "CAST(DATEDIFF(CAST(:a AS DATE), CAST(:b AS DATE)) AS BIGINT)"
    return filled(days, a=node.this, b=node.expression)


def _like(node: exp.Expr) -> exp.Expr:
    pattern = node.expression
    require(node, [node.this], {"TEXT"})
    if not pattern.is_string or _ESCAPE in pattern.this:
        raise refusal("LIKE with a pattern that is no literal")
    if isinstance(node.parent, exp.Escape):
        return node
    # Spark would take a backslash for an escape, DuckDB takes it for a backslash.
    return exp.Escape(this=node.copy(), expression=exp.Literal.string(_ESCAPE))


def _escape(node: exp.Expr) -> exp.Expr:
    # Spark lets nothing but `%`, `_` and the escape itself be escaped.
    pattern, sign = node.this.expression.this, node.expression.name
    if not node.expression.is_string or len(sign) != 1:
        raise refusal("an ESCAPE that is not one sign")
    written, signs = "", iter(pattern)
    for each in signs:
        escaped = next(signs, "") if each == sign else None
        if escaped == "":
            raise refusal("a pattern that ends with its escape")
        written += each if escaped is None else (_ESCAPE + escaped if escaped in "%_" else escaped)
    node.this.set("expression", exp.Literal.string(written))
    node.set("expression", exp.Literal.string(_ESCAPE))
    return node


def _part_of_text(node: exp.Expr) -> exp.Expr:
    bounds = [value for key in ("start", "length", "expression") for value in present(node, key)]
    start = node.args.get("start")
    if not all(map(is_count, bounds)) or (start is not None and start.this == "0"):
        raise refusal("a part of a text with bounds that are no whole numbers from 1")
    require(node, [node.this], {"TEXT"})
    return node


def _trim(node: exp.Expr) -> exp.Expr:
    require(node, [node.this], {"TEXT"})
    side = (node.args.get("position") or "BOTH").upper()
    signs = node.expression or exp.Literal.string(_SPACES)
    return exp.Trim(this=node.this, expression=signs, position=side)


def _length(node: exp.Expr) -> exp.Expr:
    require(node, [node.this], {"TEXT"})
    return filled("CAST(CHAR_LENGTH(:a) AS BIGINT)", a=node.this)


def _concat(node: exp.Expr) -> exp.Expr:
    values = node.expressions or [node.this, node.expression]
    require(node, values, {"TEXT", "INT", "DATE"})
    if isinstance(node, exp.DPipe):
        return node
    return exp.Concat(expressions=[filled("COALESCE(CAST(:a AS STRING), '')", a=v) for v in values])


def _round(node: exp.Expr) -> exp.Expr:
    digits = node.args.get("decimals")
    if digits is not None and not is_count(digits):
        raise refusal("ROUND to a place that is no whole number from 0")
    if kind_of(node.this) != "DBL":
        raise refusal("ROUND of a number that is no DOUBLE", "cast to DECIMAL(p, s), which rounds")
    if digits is None or digits.this == "0":
        return filled("ROUND(:a, 0)", a=node.this)
    # DuckDB scales, rounds half away from zero, and scales back; Spark would round the decimal text.
    return filled(f"ROUND(:a * 1e{digits.this}, 0) / 1e{digits.this}", a=node.this)


def _whole(node: exp.Expr) -> exp.Expr:
    # FLOOR and CEIL are a DOUBLE in DuckDB and a BIGINT in Spark; from 2^52 on, every double is whole.
    require(node, [node.this], {"DBL"})
    rounded = f"CAST({node.key.upper()}(:a) AS DOUBLE)"
    return filled(f"CASE WHEN ABS(:a) < 4503599627370496 THEN {rounded} ELSE :a END", a=node.this)


def _ln(node: exp.Expr) -> exp.Expr:
    require(node, [node.this], NUMBERS)
    ends = "WHEN :a = 0 THEN CAST('-Infinity' AS DOUBLE) WHEN :a < 0 THEN CAST('NaN' AS DOUBLE)"
    return filled(f"CASE {ends} ELSE LN(:a) END", a=node.this)


def _is_nan(node: exp.Expr) -> exp.Expr:
    require(node, [node.this], {"DBL"})
    return filled("CASE WHEN :a IS NOT NULL THEN ISNAN(:a) END", a=node.this)


def _pow(node: exp.Expr) -> exp.Expr:
    require(node, operands(node), NUMBERS)
    return filled("POWER(CAST(:a AS DOUBLE), CAST(:b AS DOUBLE))", a=node.this, b=node.expression)


MENDS: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    **dict.fromkeys(
        (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In,
         exp.Between, exp.Case, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least), _alike),
    **dict.fromkeys((exp.Add, exp.Sub), _add),
    **dict.fromkeys((exp.Avg, exp.Variance, exp.VariancePop, exp.Stddev, exp.StddevSamp, exp.StddevPop),
                    _in_doubles),
    **dict.fromkeys((exp.Min, exp.Max), _extreme),
    **dict.fromkeys((exp.Median, exp.PercentileCont), _percentile),
    **dict.fromkeys((exp.Cast, exp.TryCast), _cast),
    **dict.fromkeys((exp.Extract, *_TIME_FUNCTIONS), _time_part),
    **dict.fromkeys((exp.DateTrunc, exp.TimestampTrunc), _trunc),
    **dict.fromkeys((exp.Like, exp.ILike), _like),
    **dict.fromkeys((exp.Substring, exp.Left, exp.Right), _part_of_text),
    **dict.fromkeys((exp.Concat, exp.DPipe), _concat),
    **dict.fromkeys((exp.Floor, exp.Ceil), _whole),
    exp.Div: _div, exp.IntDiv: _int_div, exp.Mod: _mod, exp.Interval: _interval, exp.Sum: _sum,
    exp.Window: _window, exp.DateDiff: _date_diff, exp.Trim: _trim, exp.Length: _length,
    exp.Mul: _arithmetic, exp.Try: _try, exp.Escape: _escape, exp.Round: _round, exp.Ln: _ln,
    exp.IsNan: _is_nan, exp.Pow: _pow,
}  # fmt: skip
