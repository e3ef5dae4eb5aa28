"""Aggregates and windows as expressions over groups: what shares compute, and what is put together of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from sqlglot import exp

from records.errors import JobRefused, MalformedDocument
from sandbox.sql.catalogue import is_decimal
from sandbox.sql.groups import Aggregate
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.trees import changed


def over_groups(
    expression: exp.Expr, keys: Sequence[exp.Expr], aggregates: list[Aggregate], alias: str, rows: Relation
) -> exp.Expr:
    """Return an expression over groups: keys and aggregates become columns of the group.

    `aggregates` are those that the group has so far; new ones are added.

    Raises:
        JobRefused: a column that is neither, or an aggregate that shares do not compute.
        MalformedDocument: the fraction of a quantile is none.
    """

    def column(each: Aggregate) -> exp.Column:
        if each not in aggregates:
            aggregates.append(each)
        return exp.column(f"a{aggregates.index(each)}", table=alias, quoted=True)

    def replaced(node: exp.Expr) -> exp.Expr:
        for i, key in enumerate(keys):
            if node == key:
                return exp.column(f"k{i}", table=alias, quoted=True)
        # An aggregate of a sub-query is its own.
        inside = isinstance(node.parent, exp.Window) or node.find_ancestor(exp.Query) is not None
        return _aggregate(node, column, rows) if isinstance(node, exp.AggFunc) and not inside else node

    result = changed(expression, replaced)
    for node in result.find_all(exp.Column):
        if node.table != alias and node.find_ancestor(exp.Query) is None:
            raise refuse("group", "a column beside aggregates", "add the column to GROUP BY, or aggregate it")
    return result


def _aggregate(node: exp.AggFunc, column: Callable[[Aggregate], exp.Column], rows: Relation) -> exp.Expr:
    argument = node.this
    if isinstance(argument, exp.Distinct):
        return _of_distinct(node, argument.expressions, column)
    match node:
        case exp.Count(this=exp.Star() | None):
            return column(Aggregate("rows"))
        case exp.Count():
            return column(Aggregate("count", argument))
        case exp.Sum():
            return column(Aggregate("total" if node.meta.get("total") else "sum", argument))
        case exp.Min() | exp.Max():
            return column(Aggregate("min" if isinstance(node, exp.Min) else "max", argument))
        case exp.Avg() | exp.Variance() | exp.Stddev():
            return _moment(node, argument, column, rows)
        case exp.Median():
            return _median(column(Aggregate("median", argument, (1, 2))), rows.type_of(node))
        case exp.PercentileDisc(expression=exp.Literal() as fraction):
            place = Fraction(fraction.name)
            if not 0 <= place <= 1 or place.denominator > 1 << 20:
                raise MalformedDocument("the fraction of PERCENTILE_DISC lies between 0 and 1")
            return column(Aggregate("quantile", argument, (place.numerator, place.denominator)))
    raise _unsupported(node)


def _of_distinct(
    node: exp.AggFunc, arguments: list[exp.Expr], column: Callable[[Aggregate], exp.Column]
) -> exp.Expr:
    """Return an aggregate of different values, as COUNT(DISTINCT x) is; MIN and MAX are the same of all."""
    match node:
        case exp.Count() if len(arguments) == 1:
            return column(Aggregate("distinct", arguments[0]))
        case exp.Min() | exp.Max():
            return column(Aggregate("min" if isinstance(node, exp.Min) else "max", arguments[0]))
    raise _unsupported(node)


def _moment(
    node: exp.AggFunc, argument: exp.Expr, column: Callable[[Aggregate], exp.Column], rows: Relation
) -> exp.Expr:
    """Return AVG, VARIANCE or STDDEV of count, sum and sum of squares."""
    if isinstance(node, exp.Avg):
        total = column(Aggregate("sum", argument))
        return quotient(total, column(Aggregate("count", argument)))
    count, total = column(Aggregate("count", argument)), column(Aggregate("sum", argument))
    squares = column(Aggregate("sum", squared(argument, rows.type_of(argument))))
    return variance(count, total, squares, root=isinstance(node, exp.Stddev))


def quotient(total: exp.Expr, count: exp.Expr) -> exp.Expr:
    """Return an average; the mark lets a comparison with it do without the division."""
    average = exp.Div(this=total, expression=count)
    average.meta["by_count"] = True
    return exp.Paren(this=average)


def _median(total: exp.Expr, kind: str) -> exp.Expr:
    """Return the mean of both middle values, of which `total` is the sum."""
    if is_decimal(kind):
        return _half(total, kind)
    return exp.cast(exp.Div(this=total, expression=exp.Literal.number(2)), kind)


def _unsupported(node: exp.AggFunc) -> JobRefused:
    return refuse(
        "aggregate", f"this form of `{node.key.upper()}` over several providers", "use it within one provider"
    )


def _half(total: exp.Expr, kind: str) -> exp.Expr:
    """Return half of a DECIMAL, cut toward zero at its last digit, as DuckDB's MEDIAN is."""
    digits = int(kind.partition(",")[2].rstrip(")"))
    last_two = exp.Literal.number(f"0.{2:0{digits}d}" if digits else "2")
    even = exp.Paren(this=exp.Sub(this=total, expression=exp.Mod(this=total.copy(), expression=last_two)))
    return exp.cast(exp.Mul(this=even, expression=exp.Literal.number("0.5")), kind)


def squared(argument: exp.Expr, kind: str) -> exp.Expr:
    """Return the square of a value.

    That of a DECIMAL with digits after its point is a DOUBLE, so that it fits 64 bits in shares.
    """
    value: exp.Expr = exp.Paren(this=argument.copy())
    if is_decimal(kind) and not kind.endswith(",0)"):
        value = exp.cast(value, "DOUBLE")
    return exp.Mul(this=value, expression=value.copy())


def variance(count: exp.Expr, total: exp.Expr, squares: exp.Expr, *, root: bool) -> exp.Expr:
    """Return the variance of a sample, or its root, from count, sum and sum of squares."""
    zero, one = exp.Literal.number(0), exp.Literal.number(1)
    rows, mean, power = (exp.cast(each, "DOUBLE") for each in (count, total, squares))
    product = exp.Mul(this=mean, expression=mean.copy())
    rest = exp.Paren(this=exp.Sub(this=power, expression=exp.Div(this=product, expression=rows)))
    value: exp.Expr = exp.Div(this=rest, expression=exp.Paren(this=exp.Sub(this=rows.copy(), expression=one)))
    value = exp.Greatest(this=value, expressions=[zero], ignore_nulls=True)
    value = exp.Sqrt(this=value) if root else value
    return exp.Case(ifs=[exp.If(this=exp.GT(this=rows.copy(), expression=one.copy()), true=value)])


def window_average(window: exp.Window) -> exp.Expr:
    """Return AVG over a window as SUM by COUNT."""
    total, count = window.copy(), window.copy()
    total.set("this", exp.Sum(this=window.this.this.copy()))
    count.set("this", exp.Count(this=window.this.this.copy()))
    return quotient(total, count)


def require_frame(window: exp.Window, rows: Relation) -> None:
    """Return if shares compute a window: of the whole partition, or of all rows up to the current.

    Raises:
        JobRefused: another function, DISTINCT, or another frame.
    """
    if not isinstance(
        window.this, (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.Sum, exp.Count)
    ):
        raise refuse(
            "window", f"`{window.this.key.upper()}` as a window function", "use SUM, COUNT, AVG or a rank"
        )
    if isinstance(window.this.this, exp.Distinct):
        raise refuse("window", "DISTINCT in a window function", "leave DISTINCT out")
    spec = window.args.get("spec")
    if spec is None:
        return
    whole = spec.args.get("start") == "UNBOUNDED" and spec.args.get("start_side", "").upper() == "PRECEDING"
    ends = str(spec.args.get("end") or "CURRENT ROW").upper()
    if not whole or ends != "CURRENT ROW":
        raise refuse(
            "window", "a window frame", "leave the frame out: it reaches from the first to the current row"
        )
    order = window.args.get("order")
    keys = [
        *(window.args.get("partition_by") or ()),
        *(each.this for each in (order.expressions if order else ())),
    ]
    columns = frozenset((key.table, key.name) for key in keys if isinstance(key, exp.Column))
    if str(spec.args.get("kind")).upper() == "ROWS" and not rows.is_unique(columns):
        raise refuse(
            "window",
            "a frame of ROWS in an order that leaves rows equal",
            "leave the frame out, or order by a key",
        )
