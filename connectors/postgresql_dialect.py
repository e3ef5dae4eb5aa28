"""What a checked query of DuckDB's dialect means, said to PostgreSQL.

The tree is qualified and its types found by sqlglot; then each construct that PostgreSQL would read in
another way is replaced by one that means the same there, or refused by name. What needs no rule means the
same in both, or is an error of PostgreSQL's analysis, which depends on no row. Three differences remain,
all in DOUBLE: a result beyond its range is an error here and infinite in DuckDB, a power that is not defined
likewise, and the sign of a zero divisor does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from connectors import postgresql_arithmetic as number
from connectors import postgresql_try, pushed_query
from connectors.column_types import folded
from connectors.connector import Column
from records.errors import MalformedDocument, NotPermitted

DIALECT = "postgres"
MAX_IDENTIFIER_BYTES = 63

_INTEGERS = exp.DataType.INTEGER_TYPES
_TEXTS = exp.DataType.TEXT_TYPES
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_TEXT_FUNCTIONS = (exp.Left, exp.Right, exp.Replace, exp.Trim, exp.Substring, exp.Concat, exp.DPipe)
_FIELDS: Mapping[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Quarter: "QUARTER",
    exp.Month: "MONTH",
    exp.Week: "WEEK",
    exp.Day: "DAY",
    exp.DayOfMonth: "DAY",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
    exp.DayOfWeek: "DOW",
    exp.DayOfYear: "DOY",
}
_FIELD_NAMES = {"DAYOFWEEK": "DOW", "DAYOFYEAR": "DOY"}
_TRUNCATIONS = frozenset({"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"})
_REFUSED: Mapping[type[exp.Expr], str] = {
    exp.Lower: "LOWER, UPPER and ILIKE know other letters in PostgreSQL; compare text as it is written",
    exp.Upper: "LOWER, UPPER and ILIKE know other letters in PostgreSQL; compare text as it is written",
    exp.ILike: "LOWER, UPPER and ILIKE know other letters in PostgreSQL; compare text as it is written",
    exp.RegexpLike: "regular expressions are others in PostgreSQL; use LIKE",
    exp.TryCast: "TRY_CAST has no counterpart in PostgreSQL; cast in the source",
    exp.First: "FIRST has no counterpart in PostgreSQL; use ANY_VALUE or MIN",
}
_COMPARISONS = (exp.Predicate, exp.In, exp.Between, exp.Escape)


def translate(tree: exp.Query, relations: Mapping[str, tuple[exp.Select, Sequence[Column]]]) -> str:
    """Return PostgreSQL's text of a tree bound by `pushed_query`, over `relations`.

    A relation is the SELECT that stands for it, whose columns have the folded names and the types given.

    Raises:
        MalformedDocument: a name is ambiguous.
        NotPermitted: a construct that PostgreSQL has not, or reads in another way.
    """
    known: dict[str, object] = {
        pushed_query.SCHEMA: {
            name: {folded(column.name): column.type for column in columns}
            for name, (_, columns) in relations.items()
        }
    }
    try:
        tree = qualify(tree, schema=known, dialect=pushed_query.DIALECT, identify=True)
        postgresql_try.expand(tree, {name: columns for name, (_, columns) in relations.items()})
        tree = annotate_types(tree, schema=known, dialect=pushed_query.DIALECT)
    except SqlglotError:
        raise MalformedDocument("the pushed query does not fit the schema of the source") from None
    for node in reversed(list(tree.walk())):
        _mend(node)
    for reference in list(tree.find_all(exp.Table)):
        if reference.args.get("db"):
            rows, _ = relations[reference.name]
            reference.replace(rows.subquery(exp.to_identifier(reference.alias, quoted=True)))
    if any(len(name.name.encode()) > MAX_IDENTIFIER_BYTES for name in tree.find_all(exp.Identifier)):
        raise NotPermitted(f"a name has more than {MAX_IDENTIFIER_BYTES} bytes; PostgreSQL would cut it")
    return pushed_query.to_text(tree, DIALECT)


def binary(value: exp.Expr) -> exp.Expr:
    """Return text that is compared and ordered by its bytes, as DuckDB does."""
    return exp.Collate(this=value, expression=exp.Identifier(this="C", quoted=True))


def _mend(node: exp.Expr) -> None:
    if type(node) in _REFUSED:
        raise NotPermitted(_REFUSED[type(node)])
    field = _FIELDS.get(type(node))
    if field is not None:
        _put(node, _integer_field(field, node.this))
    elif type(node) in _RULES:
        mended = _RULES[type(node)](node)
        if mended is not node:
            _put(node, mended)


def _put(node: exp.Expr, mended: exp.Expr) -> None:
    mended.type = node.type
    node.replace(mended)


def _cast(node: exp.Expr) -> exp.Expr:
    source, target = node.this, node.args["to"]
    if target.is_type("tinyint", "float"):
        raise NotPermitted("casts to TINYINT and FLOAT do not go to PostgreSQL; use SMALLINT or DOUBLE")
    if isinstance(source, exp.Literal) and source.is_string and target.is_type("date", *_TIMES):
        if not _ISO_TIME.fullmatch(source.name):
            raise NotPermitted("a date is written YYYY-MM-DD, a time YYYY-MM-DD HH:MM:SS")
        return node
    if target.is_type(*_TEXTS):
        if source.is_type(*number.DOUBLES) or _is_unknown(source):
            raise NotPermitted(
                "a DOUBLE is written otherwise in PostgreSQL; cast it to DECIMAL in the source"
            )
        return binary(node)
    if _is_text(source):
        raise NotPermitted("text is read otherwise in PostgreSQL; cast it in the source")
    if target.is_type("decimal") and not source.is_type("decimal", *_INTEGERS):
        if (
            not source.is_type(*number.DOUBLES)
            or not isinstance(source, exp.Mul)
            or not source.find(exp.Floor)
        ):
            raise NotPermitted(
                "a DOUBLE becomes DECIMAL otherwise in PostgreSQL; round it to an integer first"
            )
        return exp.cast(exp.cast(number.bracketed(source), "BIGINT"), target)
    return node


def _text(node: exp.Expr) -> exp.Expr:
    if not all(_is_text(part) for part in (node.expressions or (node.this, node.expression))):
        raise NotPermitted("`||` and CONCAT take text in PostgreSQL; cast the other values to VARCHAR")
    return node


def _literal(node: exp.Expr) -> exp.Expr:
    if not node.is_string:
        return exp.cast(node.copy(), "DOUBLE") if "e" in node.name.lower() else node
    # Beside a column the literal takes its type and order from it; alone it needs an order of its own.
    alone = isinstance(node.parent, (exp.If, exp.Case, exp.Coalesce, exp.Greatest, exp.Least, exp.Alias))
    if isinstance(node.parent, _COMPARISONS):
        alone = node.arg_key == "this" and not isinstance(node.parent, exp.Escape)
    return binary(node.copy()) if alone else node


def _like(node: exp.Expr) -> exp.Expr:
    """DuckDB has no sign of escape until one is given."""
    if isinstance(node.parent, exp.Escape):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string(""))


def _extract(node: exp.Expr) -> exp.Expr:
    field = node.name.upper()
    if field == "EPOCH":
        return number.as_double(node)
    return _integer_field(_FIELD_NAMES.get(field, field), node.expression)


def _integer_field(field: str, value: exp.Expr) -> exp.Expr:
    extracted = exp.Extract(this=exp.var(field), expression=value.copy())
    return exp.cast(exp.Trunc(this=extracted), "BIGINT")


def _date_trunc(node: exp.Expr) -> exp.Expr:
    unit = node.args["unit"].name.upper()
    if unit not in _TRUNCATIONS:
        raise NotPermitted(
            "DATE_TRUNC goes to PostgreSQL with YEAR, QUARTER, MONTH, WEEK, DAY or a part of it"
        )
    return exp.TimestampTrunc(this=exp.cast(node.this.copy(), "TIMESTAMP"), unit=exp.var(unit))


def _date_diff(node: exp.Expr) -> exp.Expr:
    """DuckDB counts the borders between the two: midnights, or firsts of a month or year."""
    unit = (node.args.get("unit") or exp.var("DAY")).name.upper()
    if unit == "DAY":
        to, since = (exp.cast(value.copy(), "DATE") for value in (node.this, node.expression))
        return exp.Paren(this=exp.Sub(this=to, expression=since))
    factors = {"YEAR": {"YEAR": 1}, "MONTH": {"YEAR": 12, "MONTH": 1}}.get(unit)
    if factors is None:
        raise NotPermitted("DATE_DIFF goes to PostgreSQL with DAY, MONTH or YEAR")
    terms = [
        exp.Mul(
            this=exp.Paren(
                this=exp.Sub(
                    this=_integer_field(field, node.this), expression=_integer_field(field, node.expression)
                )
            ),
            expression=exp.Literal.number(factor),
        )
        for field, factor in factors.items()
    ]
    return exp.Paren(this=terms[0] if len(terms) == 1 else exp.Add(this=terms[0], expression=terms[1]))


def _interval(node: exp.Expr) -> exp.Expr:
    unit = node.args.get("unit")
    if not isinstance(node.this, exp.Literal) or unit is None or unit.name.upper() not in _INTERVAL_UNITS:
        raise NotPermitted(
            "an INTERVAL goes to PostgreSQL as a number of years, months, weeks, days or parts"
        )
    return node


def _count_if(node: exp.Expr) -> exp.Expr:
    return exp.Count(this=exp.case().when(node.this.copy(), "1"))


def _any_value(node: exp.Expr) -> exp.Expr:
    """The least value is one of them."""
    value = node.this.this
    return exp.LogicalAnd(this=value.copy()) if value.is_type("boolean") else exp.Min(this=value.copy())


def _substring(node: exp.Expr) -> exp.Expr:
    start = node.args.get("start")
    if not (isinstance(start, exp.Literal) and start.is_int and int(start.name) > 0):
        raise NotPermitted("SUBSTRING goes to PostgreSQL with a start of at least 1")
    return node


def _trim(node: exp.Expr) -> exp.Expr:
    if node.expression is None:
        raise NotPermitted("TRIM removes other blanks in PostgreSQL; name the signs to remove")
    return node


def _contains(node: exp.Expr) -> exp.Expr:
    place = exp.StrPosition(this=node.this.copy(), substr=node.expression.copy())
    return exp.Paren(this=exp.GT(this=place, expression=exp.Literal.number(0)))


_Rule = Callable[[exp.Expr], exp.Expr]
_TIMES = ("timestamp", "timestampntz")
_INTERVAL_UNITS = frozenset(
    unit + plural
    for unit in ("YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")
    for plural in ("", "S")
)
_RULES: Mapping[type[exp.Expr], _Rule] = {
    exp.Div: number.divide,
    exp.IntDiv: number.divide_integers,
    exp.Round: number.round_half_away,
    exp.Cast: _cast,
    exp.DPipe: _text,
    exp.Concat: _text,
    exp.Literal: _literal,
    exp.Like: _like,
    exp.Extract: _extract,
    exp.DateTrunc: _date_trunc,
    exp.TimestampTrunc: _date_trunc,
    exp.DateDiff: _date_diff,
    exp.Interval: _interval,
    exp.CountIf: _count_if,
    exp.IgnoreNulls: _any_value,
    exp.Median: number.percentile,
    exp.PercentileCont: number.percentile,
    exp.Quantile: number.percentile,
    exp.Substring: _substring,
    exp.Trim: _trim,
    exp.Contains: _contains,
    exp.IsNan: number.is_nan,
    exp.Sqrt: number.root_or_logarithm,
    exp.Ln: number.root_or_logarithm,
    exp.Log: number.root_or_logarithm,
    exp.Pow: number.power,
    exp.Exp: number.exponential,
}


def _is_unknown(value: exp.Expr) -> bool:
    return value.type is None or value.is_type("unknown")


def _is_text(value: exp.Expr) -> bool:
    return value.is_type(*_TEXTS) or isinstance(value, _TEXT_FUNCTIONS)
