"""The dialect: DuckDB's SELECT over products and collections of several providers; see `docs/sql.md`.

`parse` turns text into a sqlglot tree made of `ALLOWED` nodes and arguments only. Everything else is
refused by name: what this table does not list cannot reach a provider's engine. Names are matched in any
case. Messages hold positions and names of constructs, never text of the query.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from connectors.pushed_query import CAST_TYPES, TIME_UNITS
from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql.refusal import refusal

# The parser writes the text of what it does not know into its log, literals included.
logging.getLogger("sqlglot").disabled = True

DIALECT = "duckdb"
MAX_QUERY_BYTES = 64 * 1024
MAX_TREE_DEPTH = 128
MAX_PARENTHESES = 24
MAX_LIST_TERMS = 1000
MAX_PREFIX_OPERATORS = 8
PLACEHOLDER = re.compile(
    r"n(?P<number>[1-9]\d{0,3})(?:_(?P<scale>\d{1,2})|(?P<double>e))?|t(?P<text>[1-9]\d{0,3})"
)
"""What stands for a literal in a signed query; see `sandbox.sql.placeholders`."""

_TOO_DEEP = "the query is nested too deeply; write IN for a chain of OR, and fewer parentheses"
_NO_SELECT = refusal("statement", "a statement other than SELECT", "send one SELECT")
_BINARY: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is),
    *(exp.NullSafeEQ, exp.NullSafeNEQ, exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod),
)
AGGREGATES: Mapping[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Variance: "var",
    exp.Stddev: "stddev",
    exp.StddevSamp: "stddev",
    exp.Median: "quantile",
    exp.PercentileDisc: "quantile",
}
"""sqlglot's node → the word for the function in terms of use."""

SCALARS: tuple[type[exp.Expr], ...] = (
    *(exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Abs, exp.Sign, exp.Round, exp.Floor, exp.Ceil),
    *(exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Substring),
    *(exp.Left, exp.Right, exp.StartsWith, exp.Contains, exp.Replace, exp.Concat, exp.Year, exp.Quarter),
    *(exp.Month, exp.Week, exp.Day, exp.Hour, exp.Minute, exp.Second, exp.DayOfWeek, exp.DayOfMonth),
    *(exp.DayOfYear, exp.DateTrunc, exp.TimestampTrunc, exp.DateDiff),
)
"""Functions of one row's values; they are computed by the provider of the values."""

RANKINGS: Mapping[type[exp.Expr], str] = {
    exp.RowNumber: "row_number",
    exp.Rank: "rank",
    exp.DenseRank: "dense_rank",
    exp.PercentRank: "percent_rank",
}
"""Window functions without an argument; the others are COUNT, SUM, AVG, MIN and MAX."""

_QUERY = frozenset({"with_", "order", "limit", "offset"})
ALLOWED: Mapping[type[exp.Expr], frozenset[str]] = {
    **dict.fromkeys(_BINARY, frozenset({"this", "expression"})),
    **dict.fromkeys(AGGREGATES, frozenset({"this"})),
    **{kind: frozenset(kind.arg_types) for kind in SCALARS},
    **{kind: frozenset[str]() for kind in RANKINGS},
    **dict.fromkeys(
        (exp.From, exp.Where, exp.Having, exp.Qualify, exp.Not, exp.Paren, exp.Neg, exp.Exists),
        frozenset({"this"}),
    ),
    **dict.fromkeys((exp.Null, exp.Star), frozenset()),
    exp.Order: frozenset({"expressions"}),
    exp.Select: _QUERY | {"expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify"},
    exp.Union: _QUERY | {"this", "expression", "distinct"},
    exp.Subquery: _QUERY | {"this", "alias"},
    exp.With: frozenset({"expressions"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.Join: frozenset({"this", "on", "side", "kind", "using"}),
    exp.Group: frozenset({"expressions", "all"}),
    exp.Distinct: frozenset({"expressions"}),
    exp.Table: frozenset({"this", "db", "alias"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Alias: frozenset({"this", "alias"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Filter: frozenset({"this", "expression"}),
    exp.PercentileDisc: frozenset({"this", "expression"}),
    exp.Window: frozenset({"this", "partition_by", "order", "spec", "over"}),
    exp.WindowSpec: frozenset({"kind", "start", "start_side", "end", "end_side"}),
    exp.Boolean: frozenset({"this"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Placeholder: frozenset({"this"}),
    exp.Like: frozenset({"this", "expression", "negate"}),
    exp.ILike: frozenset({"this", "expression", "negate"}),
    exp.In: frozenset({"this", "expressions", "query"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.If: frozenset({"this", "true", "false"}),
    exp.Div: frozenset({"this", "expression"}),
    exp.DPipe: frozenset({"this", "expression", "safe"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.TryCast: frozenset({"this", "to", "safe"}),
    exp.DataType: frozenset({"this", "expressions", "nested"}),
    exp.DataTypeParam: frozenset({"this"}),
    exp.Interval: frozenset({"this", "unit"}),
    exp.Extract: frozenset({"this", "expression"}),
    exp.Var: frozenset({"this"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
    exp.Offset: frozenset({"expression"}),
}
"""Node → the arguments that it may have. Deny by default: no other node, no other argument."""

_UNSUPPORTED: tuple[tuple[tuple[type[exp.Expr], ...], str, str], ...] = (
    ((exp.Except, exp.Intersect), "set-operation", "use UNION, or [NOT] EXISTS for what both or one have"),
    ((exp.Any, exp.All), "subquery", "use IN, EXISTS, or compare with MIN or MAX of the sub-query"),
    ((exp.Lateral, exp.Unnest, exp.Values), "from", "name products, collections and sub-queries after FROM"),
    ((exp.RegexpLike, exp.Escape), "like", "use LIKE with a pattern in quotes, without ESCAPE"),
    (
        (exp.Parameter, exp.SessionParameter, exp.Placeholder),
        "parameter",
        "write the literal in place of the parameter",
    ),
    ((exp.VariancePop, exp.StddevPop), "aggregate", "use VAR_SAMP or STDDEV_SAMP"),
    ((exp.PercentileCont, exp.Quantile, exp.WithinGroup), "aggregate", "use PERCENTILE_DISC or MEDIAN"),
    (
        (exp.Lag, exp.Lead, exp.Ntile, exp.FirstValue, exp.LastValue, exp.NthValue, exp.CumeDist),
        "window",
        "use ROW_NUMBER, RANK, DENSE_RANK, PERCENT_RANK, SUM, COUNT or AVG",
    ),
    (
        (exp.AggFunc,),
        "aggregate",
        "use COUNT, SUM, AVG, MIN, MAX, VAR_SAMP, STDDEV, MEDIAN or PERCENTILE_DISC",
    ),
    (
        (exp.Func, exp.Anonymous),
        "function",
        "use a function of `docs/sql.md`, or compute on the released result",
    ),
    ((exp.Tuple,), "tuple", "compare column by column, or use EXISTS"),
    ((exp.TableSample,), "sample", "leave the sample out"),
    ((exp.Column, exp.Table), "name", "write `column` or `alias.column`, and `provider.product` after FROM"),
    ((exp.Rollup, exp.Cube, exp.GroupingSets), "group", "send one job for each grouping"),
    ((exp.ByteString, exp.RawString, exp.National), "literal", "write the text in single quotes"),
)
_GENERIC_REMEDY = "leave it out; see `docs/sql.md` for what passes"


def parse(text: str) -> exp.Query:
    """Return the tree of one SELECT or UNION, made of `ALLOWED` nodes only.

    Raises:
        MalformedDocument: the text is not SQL.
        LimitExceeded: it is too long, or nested too deeply.
        JobRefused: it holds a construct that is not supported; one reason per construct.
    """
    _require_plain_text(text)
    try:
        tokens = sqlglot.tokenize(text, read=DIALECT)
    except TokenError:
        raise MalformedDocument("the query ends inside a quote or a comment; close it") from None
    _require_shallow(tokens)
    try:
        trees = [tree for tree in sqlglot.parse(text, read=DIALECT) if tree is not None]
    except ParseError as error:
        place = error.errors[0]
        raise MalformedDocument(
            f"the query is not SQL at line {place.get('line')}, column {place.get('col')}"
        ) from None
    except RecursionError:
        raise LimitExceeded(_TOO_DEEP) from None
    if len(trees) > 1:
        raise JobRefused((refusal("statement", "several statements", "send one SELECT per job"),))
    if not trees or not isinstance(trees[0], exp.Query):
        raise JobRefused((_NO_SELECT,))
    tree = trees[0].transform(_spelt_out)
    _require_allowed(tree)
    if not isinstance(tree, (exp.Select, exp.Union)):
        raise JobRefused((_NO_SELECT,))
    return tree


def read(sql: str) -> exp.Expr:
    """Return the tree of SQL that the planner itself has written."""
    return sqlglot.parse_one(sql, read=DIALECT)


def _spelt_out(node: exp.Expr) -> exp.Expr:
    """Return VAR, which other engines have, as VAR_SAMP, and the standard's quantile as this dialect's."""
    match node:
        case exp.Anonymous() if node.name.lower() == "var" and len(node.expressions) == 1:
            return exp.Variance(this=node.expressions[0])
        case exp.WithinGroup(this=exp.PercentileDisc(this=fraction), expression=exp.Order(expressions=[key])):
            if key.args.get("desc"):
                remedy = "take the other fraction, in rising order"
                raise JobRefused((refusal("aggregate", "a quantile in falling order", remedy),))
            return exp.PercentileDisc(this=key.this, expression=fraction)
    return node


def _require_plain_text(text: str) -> None:
    if "\0" in text:
        raise MalformedDocument("the query holds a NUL character; remove it")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise MalformedDocument("the query is not Unicode text") from None
    if size_bytes > MAX_QUERY_BYTES:
        raise LimitExceeded("the query is longer than 64 KiB; shorten its lists of literals")


def _require_shallow(tokens: list[Token]) -> None:
    depth = run = 0
    prefixes = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        run = run + 1 if token.token_type in prefixes else 0
        if depth > MAX_PARENTHESES or run > MAX_PREFIX_OPERATORS:
            raise LimitExceeded(_TOO_DEEP)


def _require_allowed(tree: exp.Expr) -> None:
    refused: dict[str, tuple[str, str]] = {}
    pending: list[tuple[exp.Expr, int]] = [(tree, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_TREE_DEPTH:
            raise LimitExceeded(_TOO_DEEP)
        if isinstance(node, exp.In) and len(node.expressions) > MAX_LIST_TERMS:
            raise LimitExceeded(
                f"an IN list has more than {MAX_LIST_TERMS} terms; use BETWEEN or several jobs"
            )
        if not _is_allowed(node):
            construct, remedy = _unsupported(node)
            refused[construct] = (_name(node), remedy)
            continue
        for argument, value in node.args.items():
            children = list(_children(value))
            if argument in ALLOWED[type(node)] or (value in (None, False, []) and not children):
                pending.extend((child, depth + 1) for child in children)
                continue
            unknown = [child for child in children if not _is_allowed(child)]
            construct, remedy = _unsupported(unknown[0] if unknown else node)
            refused[construct] = (f"{_name(node)} with `{argument.strip('_')}`", remedy)
    if refused:
        raise JobRefused(
            tuple(
                refusal(construct, wanted, remedy) for construct, (wanted, remedy) in sorted(refused.items())
            )
        )


def _is_allowed(node: exp.Expr) -> bool:
    match node:
        case exp.Placeholder():
            return PLACEHOLDER.fullmatch(node.name) is not None
        case exp.DataType():
            return node.this in CAST_TYPES and not node.args.get("nested")
        case exp.Var():
            return node.name.upper() in TIME_UNITS
    return type(node) in ALLOWED


def _children(value: object) -> Iterator[exp.Expr]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, exp.Expr):
            yield item


def _name(node: exp.Expr) -> str:
    # The name of a function that sqlglot does not know is text of the query.
    return "another function" if isinstance(node, exp.Anonymous) else f"`{node.key.upper()}`"


def _unsupported(node: exp.Expr) -> tuple[str, str]:
    """Return the construct's word and the rewrite that would pass."""
    for kinds, construct, remedy in _UNSUPPORTED:
        if isinstance(node, kinds):
            return construct, remedy
    return node.key, _GENERIC_REMEDY
