"""What a query pushed to a source may say.

One SELECT (with sub-queries, joins, set operations and named sub-queries at its head) over given tables, made
of nodes, functions and types from closed lists: a construct that is not listed is refused, so that a new
feature of the parser or the engine is refused until someone has judged it. The text that runs is written
anew from the checked tree, so that parser and engine cannot read the same text differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.tokenizer_core import TokenType

from connectors.column_types import folded
from records.errors import MalformedDocument, NotPermitted, UnknownObject

SCHEMA = "main"
"""Relations are written with their schema, so that no named sub-query can shadow one."""

MAX_QUERY_BYTES = 1 << 18
DIALECT = "duckdb"

_CLAUSES = {
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Order, exp.Ordered,
    exp.Limit, exp.Offset, exp.Distinct, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Except,
    exp.Intersect, exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star,
    exp.GroupingSets, exp.Rollup, exp.Cube, exp.Lateral,
}  # fmt: skip
_OPERATORS = {
    exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ,
    exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between,
    exp.Like, exp.ILike, exp.Escape, exp.Exists, exp.Case, exp.If, exp.Neg, exp.Add, exp.Sub, exp.Mul,
    exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.Cast, exp.TryCast, exp.Try, exp.DataType, exp.DataTypeParam,
    exp.Interval, exp.Var,
}  # fmt: skip
_SCALAR_FUNCTIONS = {
    exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Abs, exp.Sign, exp.Round, exp.Floor, exp.Ceil,
    exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.IsNan, exp.Lower, exp.Upper, exp.Trim, exp.Length,
    exp.Substring, exp.Left, exp.Right, exp.StartsWith, exp.Contains, exp.Replace, exp.Concat, exp.RegexpLike,
    exp.Extract, exp.Year, exp.Quarter, exp.Month, exp.Week, exp.Day, exp.Hour, exp.Minute, exp.Second,
    exp.DayOfWeek, exp.DayOfMonth, exp.DayOfYear, exp.DateTrunc, exp.TimestampTrunc, exp.DateDiff,
}  # fmt: skip
_AGGREGATES = {
    exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.Quantile, exp.PercentileCont,
    exp.PercentileDisc, exp.WithinGroup, exp.Variance, exp.VariancePop, exp.Stddev, exp.StddevSamp,
    exp.StddevPop, exp.Corr, exp.CovarSamp, exp.CovarPop, exp.LogicalAnd, exp.LogicalOr, exp.Filter,
    exp.AnyValue, exp.IgnoreNulls, exp.First,
}  # fmt: skip
_WINDOW_FUNCTIONS = {
    exp.Window, exp.WindowSpec, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Lag, exp.Lead,
    exp.FirstValue, exp.LastValue, exp.PercentRank,
}  # fmt: skip
ALLOWED_NODES = frozenset[type[exp.Expr]](
    _CLAUSES | _OPERATORS | _SCALAR_FUNCTIONS | _AGGREGATES | _WINDOW_FUNCTIONS
)
CAST_TYPES = frozenset(
    {
        exp.DType.BOOLEAN, exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT,
        exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL, exp.DType.DATE, exp.DType.TIMESTAMP,
        exp.DType.TIMESTAMPNTZ, exp.DType.VARCHAR, exp.DType.TEXT,
    }
)  # fmt: skip
TIME_UNITS = frozenset(
    {
        "YEAR", "YEARS", "QUARTER", "QUARTERS", "MONTH", "MONTHS", "WEEK", "WEEKS", "DAY", "DAYS", "HOUR",
        "HOURS", "MINUTE", "MINUTES", "SECOND", "SECONDS", "EPOCH", "DOW", "DAYOFWEEK", "ISODOW", "DOY",
        "DAYOFYEAR",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Relation:
    """What a table of a query is in the engine: the relation `name` in `SCHEMA`, with `columns`."""

    name: str
    columns: tuple[str, ...]


def rewrite(sql: str, relations: Mapping[str, Relation]) -> str:
    """Check `sql` as `bind` does, and return the text in DuckDB's dialect that runs in its place.

    Raises:
        MalformedDocument, NotPermitted, UnknownObject: see `bind`.
    """
    return to_text(bind(sql, relations), DIALECT)


def bind(sql: str, relations: Mapping[str, Relation]) -> exp.Query:
    """Check `sql`, a query over the tables named in `relations`, and return its tree over the relations.

    Every table of the tree is either a named sub-query or a relation, which is written with `SCHEMA`.

    Raises:
        MalformedDocument: not one SELECT that parses, or longer than 2^18 bytes.
        NotPermitted: a construct, function, type or table outside the closed lists.
        UnknownObject: a column that no relation has.
    """
    try:
        tree = _parse(sql)
        for node in tree.walk():
            _check_node(node)
        tables = {folded(table): relation for table, relation in relations.items()}
        _bind_tables(tree, tables)
        _check_columns(tree, [name for relation in relations.values() for name in relation.columns])
    except (SqlglotError, RecursionError, UnicodeError):
        # The parser's own text quotes the query with its literals.
        raise MalformedDocument("the pushed query does not parse as one SELECT of DuckDB's dialect") from None
    return tree


def to_text(tree: exp.Query, dialect: str) -> str:
    """Return the text of a checked tree: identifiers quoted, literals escaped, comments gone.

    Raises:
        NotPermitted: the tree cannot be said in this dialect.
    """
    try:
        return tree.sql(dialect, identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except (SqlglotError, RecursionError, UnicodeError):
        raise NotPermitted(
            "a construct of the pushed query cannot be said to this engine; rewrite it"
        ) from None


def _parse(sql: str) -> exp.Query:
    if len(sql.encode()) > MAX_QUERY_BYTES:
        raise MalformedDocument(f"the pushed query is longer than {MAX_QUERY_BYTES} bytes")
    if "\0" in sql:
        raise MalformedDocument("the pushed query holds a NUL; leave it out")
    tokens = sqlglot.tokenize(sql, read=DIALECT)
    # Judged on tokens, because the parser writes a query of another kind into the log as it meets it.
    if not tokens or tokens[0].token_type not in (TokenType.SELECT, TokenType.WITH):
        raise NotPermitted("a pushed query is one SELECT")
    if any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise NotPermitted("a pushed query is one SELECT without semicolons")
    tree = sqlglot.parse_one(sql, read=DIALECT)
    if isinstance(tree, (exp.Select, exp.Union, exp.Except, exp.Intersect)):
        return tree
    raise NotPermitted("a pushed query is one SELECT")


def _check_node(node: exp.Expr) -> None:
    if type(node) not in ALLOWED_NODES:
        raise NotPermitted(f"{_construct(node)} is not among what may be pushed to a source")
    match node:
        case exp.DataType() if node.this not in CAST_TYPES:
            raise NotPermitted(
                "a cast goes to BOOLEAN, an integer, DOUBLE, DECIMAL, DATE, TIMESTAMP or VARCHAR"
            )
        case exp.Var() if node.name.upper() not in TIME_UNITS:
            raise NotPermitted("a keyword or unit of time is not among what may be pushed to a source")
        case exp.Column() if node.args.get("db") or node.args.get("catalog"):
            raise NotPermitted("a column is written `column` or `table.column`")
        case exp.Join() if node.args.get("method"):
            raise NotPermitted(
                "NATURAL, ASOF and POSITIONAL joins are not pushed to a source; name the columns"
            )
        case exp.IgnoreNulls() if type(node.this) is not exp.AnyValue:
            raise NotPermitted("IGNORE NULLS is not among what may be pushed to a source")
        case exp.Lateral() if type(node.this) is not exp.Subquery:
            raise NotPermitted("LATERAL stands before a sub-query alone")
        case exp.With() if node.args.get("recursive") or node.parent is not node.root():
            raise NotPermitted("named sub-queries stand at the head of the query and are not recursive")


def _construct(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return "a function of the query"
    return f"`{node.sql_name() if isinstance(node, exp.Func) else node.key.upper()}`"


def _bind_tables(tree: exp.Query, tables: Mapping[str, Relation]) -> None:
    """Point every reference to a table at its relation; a named sub-query sees only those before it."""
    visible = set(tables)
    for named in tree.find_all(exp.CTE):
        name = folded(named.alias)
        if name in visible:
            raise NotPermitted("a named sub-query has the name of a table or of another one; rename it")
        _bind(named.this.find_all(exp.Table), tables, visible)
        visible.add(name)
    _bind((node for node in tree.find_all(exp.Table) if node.find_ancestor(exp.CTE) is None), tables, visible)


def _bind(references: Iterable[exp.Table], tables: Mapping[str, Relation], visible: Collection[str]) -> None:
    for reference in list(references):
        name = folded(reference.name)
        unusual = [
            key for key, value in reference.args.items() if value and key not in ("this", "alias", "joins")
        ]
        if unusual or type(reference.this) is not exp.Identifier or name not in visible:
            raise NotPermitted("a pushed query reads its own tables and nothing else")
        if name in tables:
            if not reference.alias:
                reference.set("alias", exp.TableAlias(this=exp.to_identifier(reference.name, quoted=True)))
            reference.set("this", exp.to_identifier(tables[name].name, quoted=True))
            reference.set("db", exp.to_identifier(SCHEMA, quoted=True))


def _check_columns(tree: exp.Query, columns: Collection[str]) -> None:
    # DuckDB reads a name without a column as a variable of the session, a row number or the whole row.
    known = {folded(name) for name in columns}
    known |= {folded(node.alias) for node in tree.find_all(exp.Alias)}
    known |= {folded(name) for node in tree.find_all(exp.TableAlias) for name in node.alias_column_names}
    for node in tree.find_all(exp.Column):
        if not isinstance(node.this, exp.Star) and folded(node.name) not in known:
            raise UnknownObject("the query names a column that the source does not have; see its schema")
