"""The tables of `docs/sql.md`, made of the grammar, the disclosure walk and the refusals in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from sqlglot import exp

from policies.columns import AGGREGATE, TRANSFER, USES, ColumnUse
from policies.public import MAX_BYTES, MAX_MOST, MAX_ROWS
from sandbox import derivation
from sandbox.sql import disclosure, grammar, joins, names, parts, placeholders, planner
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source

SQL = Path(__file__).parents[2] / "sandbox" / "sql"
ANY_OTHER = {"AGGFUNC": "another aggregate", "FUNC": "another function", "ANONYMOUS": "an unknown function"}
REFUSERS = {"refusal", "refuse", "refused", "_refused"}
Row = tuple[str, ...]
Refusal = tuple[str, str, str]

CONSTRUCTS: dict[str, str] = {
    "shown": "SELECT x FROM a.t",
    "in an expression that is shown": "SELECT x + 1 AS e FROM a.t",
    "in a comparison that is shown": "SELECT x > 10 AS e FROM a.t",
    "in an aggregate": "SELECT SUM(x) AS e FROM a.t",
    "in a window's aggregate": "SELECT SUM(x) OVER (PARTITION BY y) AS e FROM a.t",
    "counted by COUNT(DISTINCT)": "SELECT COUNT(DISTINCT x) AS e FROM a.t",
    "in WHERE": "SELECT COUNT(*) AS e FROM a.t WHERE x > 10",
    "in a condition of CASE or FILTER": "SELECT SUM(y) FILTER (WHERE x > 10) AS e FROM a.t",
    "in HAVING, inside an aggregate": "SELECT y FROM a.t GROUP BY y HAVING MAX(x) > 10",
    "a key of GROUP BY that is shown": "SELECT x, COUNT(*) AS e FROM a.t GROUP BY x",
    "a key of GROUP BY that is not shown": "SELECT COUNT(*) AS e FROM a.t GROUP BY x",
    "in DISTINCT or UNION": "SELECT DISTINCT x FROM a.t",
    "the key of an inner join": "SELECT COUNT(*) AS e FROM a.t JOIN b.u ON t.x = u.z",
    "the same, shown": "SELECT x FROM a.t JOIN b.u ON t.x = u.z",
    "shown beside the key of an inner join": "SELECT x FROM a.t JOIN b.u ON t.y = u.z",
    "shown beside the key of an outer join": "SELECT x FROM a.t LEFT JOIN b.u ON t.y = u.z",
    "sought with IN": "SELECT COUNT(*) AS e FROM a.t WHERE x IN (SELECT z FROM b.u)",
    "the key of NOT EXISTS": "SELECT COUNT(*) AS e FROM a.t WHERE NOT EXISTS (SELECT * FROM b.u WHERE z = x)",
    "in ORDER BY with LIMIT, and shown": "SELECT x FROM a.t ORDER BY x LIMIT 5",
    "in ORDER BY with LIMIT, and not shown": "SELECT y FROM a.t ORDER BY x LIMIT 5",
    "ranked": "SELECT RANK() OVER (ORDER BY x) AS e FROM a.t",
}
"""Where column `x` of `a.t` may stand → a query with it there."""

_CATALOGUE = Catalogue(
    tuple(
        Source(product, (ProductFacts(product, product[0], columns, None),))
        for product, columns in (("a.t", (("x", "BIGINT"), ("y", "BIGINT"))), ("b.u", (("z", "BIGINT"),)))
    )
)


def grants() -> list[Row]:
    """Return (where `x` stands, its use, what grants it): one row for each use."""
    found: list[Row] = []
    for where, query in CONSTRUCTS.items():
        uses = disclosure.column_uses(names.resolve(query, _CATALOGUE))
        found += [(where, f"`{query}`", _use(use), _granted(use)) for use in uses if use.column == "x"]
    return found


def refusals() -> list[Refusal]:
    """Return (clause, what is refused, what passes) of every refusal that the code of `sandbox/sql` makes."""
    found = {
        (f"`sql.{construct}`", " or ".join(_kind(kind.key.upper()) for kind in kinds), remedy)
        for kinds, construct, remedy in grammar._UNSUPPORTED
    }
    for path in SQL.glob("*.py"):
        found |= set(_refusals_in(ast.parse(path.read_text())))
    other = (
        "`sql.<name>`",
        "another statement, clause or node of the parser, by its name",
        grammar._GENERIC_REMEDY,
    )
    return [*sorted(found), other]


def clauses() -> set[str]:
    """Return the clauses that the code of `sandbox/sql` can refuse by."""
    return {clause for clause, _, _ in refusals()}


def functions() -> list[Row]:
    """Return the functions of the grammar, by kind."""
    kinds = (
        ("aggregates", grammar.AGGREGATES),
        ("rank windows", grammar.RANKINGS),
        ("of one row's values", grammar.SCALARS),
    )
    return [(kind, ", ".join(sorted(map(_name, nodes)))) for kind, nodes in kinds]


def limits() -> list[Row]:
    """Return what a query may come to at most."""
    return [
        ("text of a query", f"{grammar.MAX_QUERY_BYTES // 1024} KiB"),
        ("parentheses inside each other", f"{grammar.MAX_PARENTHESES}"),
        ("terms of an IN list", f"{grammar.MAX_LIST_TERMS:,}"),
        ("different literals", f"{placeholders.MAX_PLACEHOLDERS:,}"),
        ("digits of a number", f"{placeholders.MAX_DIGITS}"),
        ("outputs", f"{names.MAX_OUTPUTS}"),
        ("LIMIT, OFFSET, `max_groups`", f"{planner.MAX_ROWS:,}"),
        ("rows of a table in `public.rows`", f"{MAX_ROWS:,}"),
        ("rows that share a value, in `public.most`", f"{MAX_MOST}; a join uses at most {joins.MOST_COPIES}"),
        (
            "bytes of a text in `public.bytes`",
            f"{MAX_BYTES}; {parts.DEFAULT_TEXT_BYTES} where nothing is declared",
        ),
        ("rows of any table in shares", f"{derivation.MAX_SHARED_ROWS:,}"),
        ("declared computing", f"{derivation.MAX_COMPUTE_MS // 1000:,} s"),
    ]


def _name(node: type[exp.Expr]) -> str:
    return f"`{cast('type[exp.Func]', node).sql_names()[0]}`"


def _kind(key: str) -> str:
    return ANY_OTHER.get(key, f"`{key}`")


def _use(use: ColumnUse) -> str:
    return " ".join([f"`{use.use}`", *(["after"] if use.after else []), *(f"`{word}`" for word in use.after)])


def _granted(use: ColumnUse) -> str:
    kind = USES[use.use]
    ways = ["`plain`", *([f"`{kind.reveal}`"] if kind.reveal else [])]
    for word in use.after:
        passed = TRANSFER[word]
        ways.append(
            f"`{passed.reveal}`" + (f" with `functions: [{passed.function}]`" if AGGREGATE in word else "")
        )
    if kind.role_suffices:
        ways.append(f"`roles: [{kind.role}]`")
    return ", ".join(dict.fromkeys(ways))


def _refusals_in(module: ast.Module) -> Iterator[Refusal]:
    for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.Module)):
        assigned = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or _called(node) not in REFUSERS or len(node.args) < 3:
                continue
            said = [
                _text(assigned.get(each.id, each) if isinstance(each, ast.Name) else each)
                for each in node.args
            ]
            if isinstance(node.args[0], ast.Constant) and all(said[:3]):
                yield f"`sql.{said[0]}`", said[1], said[2]


def _called(node: ast.Call) -> str:
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def _text(node: ast.expr) -> str:
    """Return a text of the code; what is put into it stands as `…`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
