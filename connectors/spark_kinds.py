"""Kinds of types, templates and refusals, for `spark_dialect` and `spark_mends`."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

import sqlglot
from sqlglot import exp

from records.errors import NotPermitted

DIALECT = "spark"
NUMBERS = frozenset({"INT", "DEC", "DBL"})
KINDS = {
    "BOOLEAN": "BOOL", "TINYINT": "INT", "SMALLINT": "INT", "INT": "INT", "BIGINT": "INT", "INT128": "INT",
    "FLOAT": "DBL", "DOUBLE": "DBL", "DECIMAL": "DEC", "DATE": "DATE", "TIMESTAMP": "TS",
    "TIMESTAMPNTZ": "TS", "VARCHAR": "TEXT", "TEXT": "TEXT", "NULL": "NULL",
}  # fmt: skip
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")


def kind_of(node: exp.Expr) -> str | None:
    if type(node) in (exp.Replace, exp.Left, exp.Right):
        return "TEXT"
    if isinstance(node, exp.Null):
        return "NULL"
    return KINDS.get(node.type.this.name) if node.type is not None else None


def require(node: exp.Expr, operands: list[exp.Expr], kinds: Collection[str]) -> None:
    if any(kind_of(operand) not in {*kinds, "NULL"} for operand in operands):
        name = node.sql_name() if isinstance(node, exp.Func) else node.key.upper()
        raise refusal(f"`{name}` of operands of this type", "cast them to its own type")


def require_alike(nodes: list[exp.Expr]) -> None:
    """Return if both engines bring `nodes` to one type: numbers, one kind, or a time and its literal."""
    kinds = {"NUM" if (kind := kind_of(node)) in NUMBERS else kind for node in nodes} - {"NULL"}
    if kinds & {"DATE", "TS"} and kinds <= {"DATE", "TS", "TEXT"}:
        texts = [node for node in nodes if kind_of(node) == "TEXT"]
        if all(node.is_string and ISO_TIME.fullmatch(node.this) for node in texts):
            return
    if len(kinds) > 1 or None in kinds:
        raise refusal("values of different types side by side", "cast them to one type")


def operands(node: exp.Expr) -> list[exp.Expr]:
    """Return the parts of `node`, lists left out."""
    return [value for value in node.args.values() if isinstance(value, exp.Expr)]


def is_count(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit()


def present(node: exp.Expr, key: str) -> list[exp.Expr]:
    return [value] if (value := node.args.get(key)) is not None else []


def filled(template: str, **parts: exp.Expr) -> exp.Expr:
    """Return the Spark expression `template` with its `:names` replaced."""
    return _parsed(template).transform(
        lambda node: exp.paren(parts[node.name]) if isinstance(node, exp.Placeholder) else node
    )


@cache
def _parsed(template: str) -> exp.Expr:
    return sqlglot.parse_one(template, read=DIALECT)


def refusal(what: str, instead: str = "rewrite the query without it") -> NotPermitted:
    return NotPermitted(f"{what} is not pushed to Spark, which would answer otherwise than DuckDB; {instead}")
