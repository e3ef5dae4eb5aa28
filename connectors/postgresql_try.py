"""DuckDB's TRY, said to PostgreSQL, which has none: NULL in place of an error.

`TRY(e)` becomes `CASE WHEN failed THEN NULL ELSE exact END`. `exact` is e computed in NUMERIC, where no step
is an error; `failed` says that some step has a value that its type in DuckDB does not hold, or divides an
integer by zero. An empty DuckDB tells these types. Both sides of AND and OR count, as where DuckDB computes
them; where its optimiser knows that one side decides, DuckDB may say so instead of NULL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb
from sqlglot import exp

from connectors import locked_database, pushed_query
from connectors.column_types import folded
from connectors.connector import Column
from connectors.locked_database import Limits
from connectors.postgresql_arithmetic import bracketed
from records.errors import NotPermitted

_RANGES = {name: 1 << bits for name, bits in {"SMALLINT": 15, "INTEGER": 31, "BIGINT": 63}.items()}
_DIGITS = {"SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}
_MOST_DIGITS = 38
# DuckDB makes a product or sum as wide as it can get, except that it stays within 18 digits or 38.
_CUT_WIDTHS = (18, _MOST_DIGITS)
_TIMES = ("DATE", "TIMESTAMP")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_MOST_INTERVAL = 4000
_MAY_FAIL = (
    *(exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs, exp.Cast, exp.TryCast, exp.Try),
    *(exp.Pow, exp.Exp, exp.Sqrt, exp.Ln, exp.Log, exp.AggFunc, exp.Window, exp.Query),
)
_STRICT = (
    *(exp.Paren, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between),
    *(exp.Greatest, exp.Least, exp.Round, exp.Floor, exp.Ceil, exp.Div),
)
"""What fails where one of its parts does."""

_OF_ONE_TYPE = (
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Greatest, exp.Least),
    *(exp.Case, exp.Coalesce, exp.Nullif),
)


def expand(tree: exp.Query, relations: Mapping[str, Sequence[Column]]) -> None:
    """Put in place of each TRY of a tree, qualified over `relations`, what means the same without it.

    Raises:
        NotPermitted: it stands around something that cannot be said to PostgreSQL without errors.
    """
    tries = list(tree.find_all(exp.Try))
    if tries:
        with locked_database.open_database(Limits(memory_mib=64, threads=1)) as oracle:
            reader = _Reader(oracle, _column_types(tree, relations))
            for node in tries:
                node.replace(reader.null_for_error(node.this))


class _Reader:
    """Reads an expression as (its exact value, the conditions under which DuckDB fails)."""

    def __init__(self, oracle: duckdb.DuckDBPyConnection, columns: Mapping[tuple[str, str], str]) -> None:
        self._oracle = oracle
        self._columns = columns
        self._types: dict[str, str] = {}

    def null_for_error(self, node: exp.Expr) -> exp.Expr:
        value, failures = self._read(node)
        for each in node.find_all(*_OF_ONE_TYPE):
            self._require_room(each)
        if not failures:
            return exp.Paren(this=value)
        if self._type(node) in _RANGES:
            value = exp.cast(value, "BIGINT")
        return exp.case().when(exp.or_(*failures), exp.null()).else_(value)

    def _read(self, node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
        if node.find(*_MAY_FAIL) is None:
            return node.copy(), []
        match node:
            case exp.Add() | exp.Sub() if isinstance(node.expression, exp.Interval):
                return self._moved(node)
            case exp.Add() | exp.Sub() | exp.Mul() | exp.IntDiv() | exp.Mod():
                return self._operation(node)
            case exp.Neg() | exp.Abs():
                return self._sign(node)
            case exp.Cast() if type(node) is exp.Cast:
                return self._cast(node)
            case exp.Case() if node.this is None:
                return self._case(node)
        if type(node) not in _STRICT:
            raise _refusal("something other than arithmetic, casts of numbers, comparisons and CASE")
        copy = node.copy()
        failures = []
        for old, part in zip(list(copy.iter_expressions()), list(node.iter_expressions()), strict=True):
            value, failed = self._read(part)
            old.replace(bracketed(value))
            failures += failed
        return copy, failures

    def _operation(self, node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
        if isinstance(node, exp.Sub) and self._type(node.this) == self._type(node.expression) == "DATE":
            (until, failures), (since, more) = self._read(node.this), self._read(node.expression)
            return exp.Paren(this=exp.Sub(this=until, expression=since)), [*failures, *more]
        kind = self._require_number(node)
        left, right = (self._require_number(side) for side in (node.this, node.expression))
        (first, failed), (second, failed_too) = self._read(node.this), self._read(node.expression)
        values = [_numeric(first, left), _numeric(second, right)]
        failures = [*failed, *failed_too]
        if isinstance(node, (exp.IntDiv, exp.Mod)):
            if kind not in _RANGES:
                raise _refusal("`//` or `%` of a number that is no integer")
            failures.append(exp.EQ(this=bracketed(values[1]), expression=exp.Literal.number(0)))
            divisor = exp.Nullif(this=values[1], expression=exp.Literal.number(0))
            quotient = exp.Anonymous(this="DIV", expressions=[values[0], divisor])
            # The rest of the least integer by -1 is an error too, as its quotient.
            failures.append(_outside(quotient, kind))
            rest = exp.Paren(this=exp.Mod(this=values[0].copy(), expression=divisor.copy()))
            return rest if isinstance(node, exp.Mod) else quotient.copy(), failures
        exact = exp.Paren(this=type(node)(this=values[0], expression=values[1]))
        if kind in _RANGES:
            return exact, [*failures, _outside(exact, kind)]
        if _width(kind)[0] in _CUT_WIDTHS:
            # The sides of a sum take its scale before they are added.
            checked = [exact] if isinstance(node, exp.Mul) else [*values, exact]
            failures += [_outside(value, kind) for value in checked]
        return exact, failures

    def _moved(self, node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
        """A date or time moved by an interval: within the range of both engines for any four-digit year."""
        amount = node.expression.this
        if not (
            isinstance(amount, exp.Literal) and amount.name.isdecimal() and int(amount.name) <= _MOST_INTERVAL
        ):
            raise _refusal(f"an INTERVAL of more than {_MOST_INTERVAL} or not of one number")
        value, failures = self._read(node.this)
        return type(node)(this=bracketed(value), expression=node.expression.copy()), failures

    def _sign(self, node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
        kind = self._require_number(node)
        value, failures = self._read(node.this)
        exact = exp.Paren(this=type(node)(this=bracketed(_numeric(value, kind))))
        return exact, [*failures, _outside(exact, kind)] if kind in _RANGES else failures

    def _cast(self, node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
        source, kind = self._type(node.this), self._type(node)
        value, failures = self._read(node.this)
        is_number = _is_number(source)
        if kind in _TIMES and (isinstance(node.this, exp.Literal) or source in _TIMES):
            return exp.cast(bracketed(value), node.args["to"].copy()), failures
        if is_number and kind in ("DOUBLE", "VARCHAR"):
            whole = exp.cast(value, "BIGINT") if source in _RANGES else value
            return exp.cast(bracketed(whole), node.args["to"].copy()), failures
        if is_number and kind in _RANGES:
            exact: exp.Expr = exp.Round(this=_numeric(value, source))
            return exact, [*failures, _outside(exact, kind)]
        if is_number and _DECIMAL.fullmatch(kind):
            scale = exp.Literal.number(_width(kind)[1])
            exact = exp.Round(this=_numeric(value, source), decimals=scale)
            return exact, [*failures, _outside(exact, kind)]
        raise _refusal("a cast that is not between integers and decimals")

    def _case(self, node: exp.Case) -> tuple[exp.Expr, list[exp.Expr]]:
        """Only the branch that is taken can fail, and the conditions before it."""
        branches = [(branch.this, branch.args["true"]) for branch in node.args["ifs"]]
        default = node.args.get("default") or exp.null()
        value, failures = self._read(default)
        chosen = exp.case().else_(value)
        whens = []
        for condition, result in reversed(branches):
            met, unmet_failures = self._read(condition)
            taken, taken_failures = self._read(result)
            whens.append((met, taken))
            choice = exp.case().when(met.copy(), _any(taken_failures)).else_(_any(failures))
            failures = [*unmet_failures, *([choice] if taken_failures or failures else [])]
        for met, taken in reversed(whens):
            chosen = chosen.when(met, taken)
        return chosen, failures

    def _require_room(self, node: exp.Expr) -> None:
        """Refuse values that DuckDB brings to one DECIMAL that may not hold them all."""
        parts = list(node.iter_expressions())
        if isinstance(node, exp.Case):
            parts = [branch.args["true"] for branch in node.args["ifs"]]
            parts += [node.args["default"]] if node.args.get("default") else []
        widths = [_width(kind) for kind in map(self._type, parts) if _is_number(kind)]
        whole = max((width - scale for width, scale in widths), default=0)
        if whole + max((scale for _, scale in widths), default=0) > _MOST_DIGITS:
            raise _refusal(f"decimals that need more than {_MOST_DIGITS} digits together")

    def _require_number(self, node: exp.Expr) -> str:
        kind = self._type(node)
        if not _is_number(kind):
            raise _refusal("arithmetic that is not between integers and decimals")
        return kind

    def _type(self, node: exp.Expr) -> str:
        """Return the type that DuckDB gives the expression."""
        try:
            empty = node.copy().transform(self._emptied)
            text = pushed_query.to_text(exp.select(exp.func("typeof", empty)), pushed_query.DIALECT)
            if text not in self._types:
                self._types[text] = self._oracle.execute(text).fetchall()[0][0]
        except duckdb.Error:
            raise _refusal("an expression of this kind") from None
        return self._types[text]

    def _emptied(self, node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        kind = self._columns.get((node.table, node.name))
        if kind is None:
            raise _refusal("the column of a sub-query")
        return exp.cast(exp.null(), kind, dialect=pushed_query.DIALECT)


def _column_types(tree: exp.Query, relations: Mapping[str, Sequence[Column]]) -> dict[tuple[str, str], str]:
    """Return the types of columns by alias and folded name; an alias that means two things is left out."""
    meanings: dict[str, set[str]] = {}
    for table in tree.find_all(exp.Table):
        meanings.setdefault(table.alias_or_name, set()).add(table.name if table.args.get("db") else "")
    for named in tree.find_all(exp.Subquery, exp.CTE, exp.Lateral):
        meanings.setdefault(named.alias, set()).add("")
    return {
        (alias, folded(column.name)): column.type
        for alias, names in meanings.items()
        if len(names) == 1 and "" not in names
        for column in relations[next(iter(names))]
    }


def _numeric(value: exp.Expr, kind: str) -> exp.Expr:
    if kind not in _RANGES:
        return bracketed(value)
    # As a name: this cast is PostgreSQL's, and is not to be mended as one of DuckDB's dialect.
    return exp.Cast(this=bracketed(value), to=exp.DataType(this=exp.DType.USERDEFINED, kind="NUMERIC"))


def _is_number(kind: str) -> bool:
    return kind in _RANGES or _DECIMAL.fullmatch(kind) is not None


def _width(kind: str) -> tuple[int, int]:
    """Return digits and scale of an integer or DECIMAL."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else (_DIGITS[kind], 0)


def _outside(value: exp.Expr, kind: str) -> exp.Expr:
    if kind in _RANGES:
        most = _RANGES[kind]
        low, high = exp.Literal.number(-most), exp.Literal.number(most - 1)
        return exp.Not(this=exp.Between(this=bracketed(value), low=low, high=high))
    width, scale = _width(kind)
    limit = exp.Literal.number("1" + "0" * (width - scale))
    return exp.GTE(this=exp.Abs(this=value.copy()), expression=limit)


def _any(conditions: Sequence[exp.Expr]) -> exp.Expr:
    return exp.or_(*conditions) if conditions else exp.false()


def _refusal(what: str) -> NotPermitted:
    return NotPermitted(f"TRY does not go to PostgreSQL around {what}")
