"""What a checked query says in Spark's dialect, so that it means there what it means in DuckDB.

The two engines share most of SQL and differ in its corners. Each construct here is either the same in both,
or mended by a template, or refused with what to write in its place. A construct that nobody compared is not
listed, so it is refused. What holds for the types of operands is decided from `sqlglot`'s annotation; where
it does not know a type that matters, the query is refused.

Left as they are, and different: LOWER, UPPER and ILIKE follow Java for letters whose case mapping changes
their length (ß, İ); a quotient by negative zero has the sign of one by zero; a cast from VARCHAR to BIGINT
takes whole numbers alone, and otherwise fails; a sum of doubles is added in another order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify

from connectors import pushed_query
from connectors.connector import Column
from connectors.spark_kinds import (
    DIALECT,
    NUMBERS,
    is_count,
    kind_of,
    operands,
    refusal,
    require,
    require_alike,
)
from connectors.spark_mends import MENDS, STRICT, is_tried
from records.errors import NotPermitted

_SAME = {
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered,
    exp.Limit, exp.Offset, exp.Distinct, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Except,
    exp.Intersect, exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star,
    exp.GroupingSets, exp.Rollup, exp.Cube, exp.Boolean, exp.Null, exp.Paren, exp.And,
    exp.Or, exp.Not, exp.Is, exp.Exists, exp.Neg, exp.DataType, exp.DataTypeParam, exp.Var,
    exp.Abs, exp.Sqrt, exp.Exp, exp.Lower, exp.Upper, exp.StartsWith, exp.Contains, exp.Replace,
    exp.Count, exp.CountIf, exp.LogicalAnd, exp.LogicalOr, exp.Filter, exp.WindowSpec, exp.RowNumber,
    exp.Rank, exp.DenseRank, exp.PercentRank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue,
    exp.If, exp.IgnoreNulls, exp.AnyValue,
}  # fmt: skip
_ZERO = exp.Literal.number(0)
REPEATED = (exp.Div, exp.Ln, exp.Floor, exp.Ceil)
MAX_NESTING = 5
"""Templates that name an operand twice make the text longer with every level."""

SPARK_NODES = frozenset(_SAME | {exp.Literal, exp.Tuple} | set(MENDS))
"""Every kind of node that is the same in Spark or is mended; a subset of `pushed_query.ALLOWED_NODES`."""


def to_spark(tree: exp.Query, relations: Mapping[str, tuple[Column, ...]]) -> str:
    """Return the Spark text of a tree from `pushed_query.bind`; each relation becomes a view of its name.

    Raises:
        NotPermitted: a construct that Spark lacks, or for which it gives other values.
    """
    schema: dict[str, object] = {
        pushed_query.SCHEMA: {
            name: {column.name: column.type for column in columns} for name, columns in relations.items()
        }
    }
    try:
        typed = _typed(tree, schema)
        for node in list(typed.walk()):
            _check(node)
        # From the leaves up, so that a template takes in what was mended below it.
        for node in reversed(list(typed.walk(bfs=True))):
            if mend := MENDS.get(type(node)):
                mended = mend(node)
                mended.type = node.type
                node.replace(mended)
        for table in typed.find_all(exp.Table):
            table.set("db", None)
    except (SqlglotError, RecursionError):
        raise NotPermitted("the pushed query cannot be said to Spark; write it in simpler parts") from None
    return pushed_query.to_text(typed, DIALECT)


def _typed(tree: exp.Query, schema: dict[str, object]) -> exp.Query:
    """Return the tree with every column resolved and every expression typed as DuckDB types it."""
    plain = tree.transform(_typed_leaf)
    qualified = qualify(plain, schema=schema, dialect=pushed_query.DIALECT, validate_qualify_columns=False)
    typed = annotate_types(qualified, schema=schema, dialect=pushed_query.DIALECT)
    # The annotation does not know the types of some functions: said in others, they are typed again.
    again = annotate_types(typed.transform(_retold), schema=schema, dialect=pushed_query.DIALECT)
    assert isinstance(again, exp.Query)  # noqa: S101 - for the type checker
    return again


def _retold(node: exp.Expr) -> exp.Expr:
    match node:
        case exp.Sub() if kind_of(node.this) == kind_of(node.expression) == "DATE":
            left, right = node.this.transform(_retold), node.expression.transform(_retold)
            return exp.DateDiff(this=left, expression=right, unit=exp.Literal.string("DAY"))
        case exp.Round() if kind_of(node.this) == "DEC" and is_count(node.args.get("decimals", _ZERO)):
            digits = node.args.get("decimals", _ZERO).this
            return exp.cast(exp.paren(node.this.transform(_retold)), f"DECIMAL(38, {digits})")
        case exp.Cast() if kind_of(node) == "DEC" and kind_of(node.this) == "DBL" and _is_whole(node.this):
            # Through BIGINT both engines are exact; they cut the digits of a DOUBLE in different ways.
            node.set("this", exp.cast(exp.paren(node.this), "BIGINT"))
    return node


def _is_whole(node: exp.Expr) -> bool:
    value = node.unnest()
    return isinstance(value, (exp.Floor, exp.Ceil)) or (
        isinstance(value, exp.Round) and value.args.get("decimals", _ZERO) == _ZERO
    )


def _typed_leaf(node: exp.Expr) -> exp.Expr:
    """Give literals and quotients the types that DuckDB gives them and the annotation misses."""
    if type(node) is exp.Literal and not node.is_string and re.fullmatch(r"\d*\.\d*", node.this):
        whole, _, fraction = node.this.partition(".")
        precision = max(len(whole), 1) + len(fraction)
        if precision > 38:
            raise refusal("a number of more than 38 digits")
        if isinstance(node.parent, exp.DataTypeParam):
            return node
        return exp.cast(node.copy(), f"DECIMAL({precision}, {len(fraction)})")
    if type(node) is exp.Div:
        node.set("this", exp.cast(exp.paren(node.this), "DOUBLE"))
        node.set("expression", exp.cast(exp.paren(node.expression), "DOUBLE"))
    return node


def _check(node: exp.Expr) -> None:
    if type(node) not in SPARK_NODES:
        raise refusal(f"`{node.sql_name() if isinstance(node, exp.Func) else node.key.upper()}`")
    if check := _CHECKS.get(type(node)):
        check(node)


def _check_distinct(node: exp.Expr) -> None:
    if node.args.get("on"):
        raise refusal("DISTINCT ON", "use ROW_NUMBER")


def _check_limit(node: exp.Expr) -> None:
    if not is_count(node.expression):
        raise refusal("a LIMIT or OFFSET that is no whole number")


def _check_frame(node: exp.Expr) -> None:
    if node.args.get("exclude") or node.text("kind").upper() not in ("ROWS", "RANGE"):
        raise refusal("a window frame with GROUPS or EXCLUDE")


def _check_tuple(node: exp.Expr) -> None:
    if not isinstance(node.parent, (exp.GroupingSets, exp.Rollup, exp.Cube)):
        raise refusal("a row value", "compare its parts one by one")


def _check_try(node: exp.Expr) -> None:
    if not all(isinstance(part, STRICT) for part in node.this.walk()):
        raise refusal("TRY around more than arithmetic", "write it around each operation")


def _check_nulls(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.AnyValue):
        raise refusal("IGNORE NULLS")


def _check_repeated(node: exp.Expr) -> None:
    if _nesting(node) > MAX_NESTING:
        raise refusal(f"a quotient or rounding inside more than {MAX_NESTING} others")


def _check_numbers(node: exp.Expr) -> None:
    require(node, operands(node), NUMBERS)
    if isinstance(node, exp.Neg) and is_tried(node):
        raise refusal("a negation in TRY", "subtract from 0")


def _check_texts(node: exp.Expr) -> None:
    require(node, operands(node), {"TEXT"})


def _check_count(node: exp.Expr) -> None:
    if node.expressions or (isinstance(node.this, exp.Distinct) and len(node.this.expressions) > 1):
        raise refusal("COUNT of several columns")


def _check_branches(node: exp.Expr) -> None:
    assert isinstance(node, exp.SetOperation)  # noqa: S101 - for the type checker
    for left, right in zip(node.left.selects, node.right.selects, strict=False):
        require_alike([left, right])


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], None]] = {
    **dict.fromkeys((exp.Limit, exp.Offset), _check_limit),
    **dict.fromkeys(REPEATED, _check_repeated),
    **dict.fromkeys((exp.Neg, exp.Abs, exp.Sqrt, exp.Exp), _check_numbers),
    **dict.fromkeys((exp.Lower, exp.Upper, exp.StartsWith, exp.Contains, exp.Replace), _check_texts),
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), _check_branches),
    exp.Distinct: _check_distinct, exp.WindowSpec: _check_frame, exp.Tuple: _check_tuple,
    exp.Try: _check_try, exp.IgnoreNulls: _check_nulls, exp.Count: _check_count,
}  # fmt: skip


def _nesting(node: exp.Expr) -> int:
    """Return how many nodes whose template repeats an operand stand around `node`."""
    depth = 0
    while (outer := node.find_ancestor(*REPEATED)) is not None:
        depth, node = depth + 1, outer
    return depth
