"""The dialect: DuckDB's, of which this version answers one SELECT over one product or collection.

    SELECT  columns, or group columns and COUNT, SUM, AVG, MIN, MAX, VAR_SAMP, STDDEV of plain columns; AS
    FROM    provider.product or a collection; an alias
    WHERE   = <> < <= > >=, AND OR NOT, IN (literals), BETWEEN, IS [NOT] NULL, LIKE, + - * / // %
    GROUP BY, ORDER BY  columns, aliases, ordinals;  LIMIT n

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

from records.errors import JobRefused, LimitExceeded, MalformedDocument
from sandbox.sql.refusal import refusal

# The parser writes the text of what it does not know into its log, literals included.
logging.getLogger("sqlglot").disabled = True

DIALECT = "duckdb"
MAX_QUERY_BYTES = 64 * 1024
MAX_TREE_DEPTH = 128
MAX_PARENTHESES = 24
MAX_PREFIX_OPERATORS = 8
PLACEHOLDER = re.compile(r"[nt]([1-9]\d{0,3})")
"""What stands for a literal in a signed query; see `sandbox.sql.placeholders`."""

_TOO_DEEP = "the query is nested too deeply; write IN for a chain of OR, and fewer parentheses"
_NO_SELECT = refusal("statement", "a statement other than SELECT", "send one SELECT")
_OPERATORS: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is),
    *(exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod),
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
}
"""sqlglot's node → the word for the function in terms of use."""

ALLOWED: Mapping[type[exp.Expr], frozenset[str]] = {
    **dict.fromkeys(_OPERATORS, frozenset({"this", "expression"})),
    **dict.fromkeys(AGGREGATES, frozenset({"this"})),
    **dict.fromkeys((exp.From, exp.Where, exp.Not, exp.Paren, exp.Neg, exp.TableAlias), frozenset({"this"})),
    **dict.fromkeys((exp.Null, exp.Star), frozenset()),
    **dict.fromkeys((exp.Group, exp.Order), frozenset({"expressions"})),
    exp.Select: frozenset({"expressions", "from_", "where", "group", "order", "limit"}),
    exp.Table: frozenset({"this", "db", "alias"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Column: frozenset({"this", "table"}),
    exp.Alias: frozenset({"this", "alias"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Boolean: frozenset({"this"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Placeholder: frozenset({"this"}),
    exp.Like: frozenset({"this", "expression", "negate"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Div: frozenset({"this", "expression"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.DataType: frozenset({"this"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
}
"""Node → the arguments that it may have. Deny by default: no other node, no other argument."""

_UNSUPPORTED: tuple[tuple[tuple[type[exp.Expr], ...], str, str], ...] = (
    ((exp.Join,), "join", "query one product or collection per job"),
    (
        (exp.Subquery, exp.Select, exp.Exists, exp.Any, exp.All),
        "subquery",
        "send the inner query as a job of its own",
    ),
    ((exp.With, exp.CTE), "with", "write one SELECT without WITH"),
    ((exp.SetOperation,), "union", "query a collection, or send one job per SELECT"),
    ((exp.Having,), "having", "leave HAVING out and filter the released rows"),
    ((exp.Distinct,), "distinct", "group by the columns instead of DISTINCT"),
    ((exp.Window, exp.WindowSpec, exp.Qualify), "window", "use GROUP BY instead of OVER"),
    ((exp.Offset,), "offset", "use LIMIT and skip released rows"),
    ((exp.Case, exp.If), "case", "send one job per branch, with the condition in WHERE"),
    ((exp.Filter,), "filter", "move the condition to WHERE"),
    ((exp.ILike, exp.RegexpLike, exp.Escape), "like", "use LIKE with a pattern in quotes, without ESCAPE"),
    ((exp.Placeholder, exp.Parameter), "parameter", "write the literal in place of the parameter"),
    ((exp.VariancePop, exp.StddevPop), "aggregate", "use VAR_SAMP or STDDEV_SAMP"),
    ((exp.AggFunc,), "aggregate", "use COUNT, SUM, AVG, MIN, MAX, VAR_SAMP or STDDEV of a column"),
    ((exp.Func, exp.Anonymous), "function", "use plain columns; release them and compute on the result"),
    ((exp.Interval,), "interval", "write the date or timestamp that results"),
    ((exp.TableSample,), "sample", "leave the sample out"),
    ((exp.Star,), "star", "list the columns"),
    ((exp.Column, exp.Table), "name", "write `column` or `alias.column`, and `provider.product` after FROM"),
    ((exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets), "group", "list plain columns after GROUP BY"),
    ((exp.ByteString, exp.RawString, exp.National), "literal", "write the text in single quotes"),
)
_GENERIC_REMEDY = "leave it out; SELECT, WHERE, GROUP BY, ORDER BY and LIMIT over plain columns pass"


def parse(text: str) -> exp.Select:
    """Return the tree of one SELECT, made of `ALLOWED` nodes only.

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
    if not isinstance(tree, exp.Select):
        raise JobRefused((_NO_SELECT,))
    return tree


def _spelt_out(node: exp.Expr) -> exp.Expr:
    """Return VAR, which other engines have, as the VAR_SAMP of this dialect."""
    if isinstance(node, exp.Anonymous) and node.name.lower() == "var" and len(node.expressions) == 1:
        return exp.Variance(this=node.expressions[0])
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
        if not _is_allowed(node) or (isinstance(node, exp.Select) and node is not tree):
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
    if isinstance(node, exp.Placeholder):
        return PLACEHOLDER.fullmatch(node.name) is not None
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
