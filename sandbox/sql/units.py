"""Counting protected units in the SQL of a provider's part: what the gate compares with its threshold.

For every product with a unit, the rows behind a cell must be followed to it: the product stands in FROM of
the SELECT that makes the cells, or in a sub-query there that keeps its rows apart. Where that is not so the
query is refused, because nobody could say how many units a cell is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from records.errors import JobRefused, Reason
from sandbox.sql.catalogue import Catalogue, ProductFacts
from sandbox.sql.refusal import PLANNER

ROW_COLUMN = "_row"

_SUMS = (exp.Sum, exp.Avg, exp.Variance, exp.Stddev)
_ARITHMETIC = (
    *(
        exp.Column,
        exp.Literal,
        exp.Placeholder,
        exp.Null,
        exp.Paren,
        exp.Neg,
        exp.Add,
        exp.Sub,
        exp.Mul,
        exp.Div,
    ),
    *(exp.Case, exp.Coalesce, exp.Nullif, exp.Cast),
)


@dataclass(frozen=True, slots=True)
class Counted:
    """The units of one table in FROM: columns that name a unit; none where rows are counted."""

    facts: ProductFacts
    columns: tuple[exp.Expr, ...]

    def count(self, condition: exp.Expr | None = None) -> exp.Expr:
        """Return the SQL that counts distinct units among the rows that meet a condition.

        Rows without a unit add none, but where there are rows there is at least one unit, so that no group
        and no value passes for absent.
        """
        rows: exp.Expr = (
            exp.Count(this=exp.Star()) if condition is None else exp.Count(this=_one_where(condition))
        )
        if not self.columns:
            return rows
        value = self.columns[0] if len(self.columns) == 1 else exp.Tuple(expressions=list(self.columns))
        known = [exp.Not(this=exp.Is(this=each.copy(), expression=exp.Null())) for each in self.columns]
        wanted = exp.and_(*known, *([condition] if condition is not None else []))
        distinct = exp.Filter(
            this=exp.Count(this=exp.Distinct(expressions=[value.copy()])), expression=exp.Where(this=wanted)
        )
        one = exp.Least(this=rows, expressions=[exp.Literal.number(1)], ignore_nulls=True)
        return exp.Greatest(this=distinct, expressions=[one], ignore_nulls=True)


def follow(select: exp.Select, catalogue: Catalogue) -> list[Counted]:
    """Return how units of every protected product are counted in a SELECT; adds columns to its sub-queries.

    Raises:
        JobRefused: a product's units cannot be followed to the rows of the SELECT.
    """
    found: list[Counted] = []
    for item in _items(select):
        found += [
            Counted(facts, columns) for facts, columns in _of_item(item, catalogue, single=_is_single(select))
        ]
    seen = {each.facts.product for each in found}
    require_no_conditions(select, catalogue)
    for table in select.find_all(exp.Table):
        for facts in catalogue.find(table.name).products:
            if facts.unit is not None and facts.product not in seen:
                raise _lost(facts, "in this place", "name the table in FROM of the outermost SELECT")
    return found


def require_no_conditions(select: exp.Select, catalogue: Catalogue) -> None:
    """Return if no sub-query of a condition reads a protected product, which would pass no gate.

    Raises:
        JobRefused: one does.
    """
    for node in _conditions(select):
        for facts in _protected(node, catalogue):
            raise _lost(facts, "in the condition of another SELECT", "join the table in FROM instead")


def require_plain(tree: exp.Query, catalogue: Catalogue) -> None:
    """Return if a query for rows groups no protected product: its groups would pass no gate.

    Raises:
        JobRefused: it does.
    """
    for union in tree.find_all(exp.Union):
        for facts in _protected(union, catalogue) if union.args.get("distinct") else ():
            raise _lost(facts, "under UNION", "use UNION ALL, or SELECT DISTINCT from one table")
    for select in tree.find_all(exp.Select):
        clauses = [
            *select.expressions,
            *(select.args[name] for name in ("qualify",) if select.args.get(name)),
        ]
        grouped = select.args.get("group") is not None or bool(select.args.get("distinct"))
        if grouped or any(node.find(exp.AggFunc, exp.Window) is not None for node in clauses):
            for facts in _protected(select, catalogue):
                raise _lost(facts, "grouped inside a query for rows", "aggregate in the outermost SELECT")


def _protected(tree: exp.Expr, catalogue: Catalogue) -> list[ProductFacts]:
    return [
        facts
        for table in tree.find_all(exp.Table)
        for facts in catalogue.find(table.name).products
        if facts.unit is not None
    ]


def arguments_of(node: exp.Expr) -> list[exp.Expr]:
    """Return the conditions under which a row adds to an aggregate; each must hold for enough units (R15).

    The row has a value; each addend of a sum is not 0; each branch of CASE, COALESCE and NULLIF is taken.

    Raises:
        JobRefused: a sum of an expression that may single out rows in another way.
    """
    argument = node.this
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0]
    if argument is None or isinstance(argument, exp.Star):
        return []
    conditions: list[exp.Expr] = [_known(argument)]
    if isinstance(node, _SUMS):
        _require_plain_sum(argument)
        zero = exp.Literal.number(0)
        conditions += [
            exp.NEQ(this=exp.Paren(this=each.copy()), expression=zero.copy()) for each in _addends(argument)
        ]
    for case in argument.find_all(exp.Case):
        conditions += _branches(case)
    for each in argument.find_all(exp.Coalesce):
        conditions += [
            _known(each.this),
            exp.Is(this=exp.Paren(this=each.this.copy()), expression=exp.Null()),
        ]
    for each in argument.find_all(exp.Nullif):
        equal = exp.EQ(this=_paren(each.this), expression=_paren(each.expression))
        conditions += [_true(equal), exp.Not(this=_true(equal))]
    return list(dict.fromkeys(conditions))


def _branches(case: exp.Case) -> list[exp.Expr]:
    """Return the conditions under which each branch of CASE, and then ELSE, is taken."""
    conditions: list[exp.Expr] = []
    before: list[exp.Expr] = []
    for branch in case.args["ifs"]:
        test = (
            branch.this
            if case.this is None
            else exp.EQ(this=_paren(case.this), expression=_paren(branch.this))
        )
        conditions.append(exp.and_(_true(test), *(exp.Not(this=_true(each)) for each in before)))
        before.append(test)
    return [*conditions, exp.and_(*(exp.Not(this=_true(each)) for each in before))]


def _addends(argument: exp.Expr) -> list[exp.Expr]:
    """Return what a sum adds up, but for columns and literals by themselves."""
    node = argument.unnest()
    if isinstance(node, (exp.Add, exp.Sub)):
        return [*_addends(node.this), *_addends(node.expression)]
    if isinstance(node, exp.Neg):
        return _addends(node.this)
    return [] if isinstance(node, (exp.Column, exp.Literal, exp.Placeholder)) else [node]


def _require_plain_sum(argument: exp.Expr) -> None:
    """Return if every operation outside the conditions of CASE is arithmetic."""
    pending = [argument]
    while pending:
        node = pending.pop()
        if not isinstance(node, _ARITHMETIC) or (
            isinstance(node, exp.Cast) and node.to.this == exp.DType.BOOLEAN
        ):
            wanted = f"`{node.key.upper()}` inside a sum over protected units, which may single out rows"
            remedy = "sum columns, arithmetic of them, or CASE, whose branches are counted"
            raise JobRefused((Reason(PLANNER, "unit", wanted, "sums whose units can be counted", remedy),))
        if isinstance(node, exp.Case):
            values = [branch.args["true"] for branch in node.args["ifs"]]
            pending += [*values, *([node.args["default"]] if node.args.get("default") is not None else [])]
        elif not isinstance(node, (exp.Column, exp.DataType)):
            pending += [child for child in node.iter_expressions() if not isinstance(child, exp.DataType)]


def _paren(value: exp.Expr) -> exp.Paren:
    return exp.Paren(this=value.copy())


def _known(value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=exp.Paren(this=value.copy()), expression=exp.Null()))


def values_of(node: exp.Expr) -> exp.Expr:
    """Return the SQL that counts the values behind an aggregate; at least 1 for a COUNT: it is never NULL."""
    argument = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    counted = exp.Count(this=argument.copy())
    if not isinstance(node, exp.Count):
        return counted
    return exp.Greatest(this=counted, expressions=[exp.Literal.number(1)], ignore_nulls=True)


def _true(condition: exp.Expr) -> exp.Expr:
    return exp.Is(this=exp.Paren(this=condition.copy()), expression=exp.true())


def _of_item(
    item: exp.Expr, catalogue: Catalogue, *, single: bool
) -> list[tuple[ProductFacts, tuple[exp.Expr, ...]]]:
    if isinstance(item, exp.Table):
        found: list[tuple[ProductFacts, tuple[exp.Expr, ...]]] = []
        for facts in catalogue.find(item.name).products:
            if isinstance(facts.unit, tuple):
                columns = tuple(
                    exp.column(name.lower(), table=item.alias, quoted=True) for name in facts.unit
                )
                found.append((facts, columns))
            elif facts.unit == "row" and single:
                found.append((facts, ()))
            elif facts.unit == "row":
                _number_rows(item)
                found.append((facts, (exp.column(ROW_COLUMN, table=item.alias, quoted=True),)))
        return found
    return _of_subquery(item, catalogue)


def _of_subquery(item: exp.Expr, catalogue: Catalogue) -> list[tuple[ProductFacts, tuple[exp.Expr, ...]]]:
    inner = item.this
    protected = _protected(inner, catalogue)
    if not protected:
        return []
    if not isinstance(inner, exp.Select) or inner.args.get("limit") is not None or inner.args.get("distinct"):
        raise _lost(protected[0], "under UNION, DISTINCT or LIMIT", "aggregate in the outermost SELECT")
    group = inner.args.get("group")
    if group is None and any(node.find(exp.AggFunc) is not None for node in inner.expressions):
        raise _lost(protected[0], "under an aggregate of a sub-query", "aggregate in the outermost SELECT")
    result: list[tuple[ProductFacts, tuple[exp.Expr, ...]]] = []
    for counted in follow(inner, catalogue):
        columns = []
        if not counted.columns or (
            group is not None and not all(each in group.expressions for each in counted.columns)
        ):
            raise _lost(counted.facts, "under GROUP BY of a sub-query", "group the sub-query by the unit too")
        for column in counted.columns:
            name = f"_unit{len(inner.expressions)}"
            inner.append("expressions", exp.alias_(column.copy(), name, quoted=True))
            columns.append(exp.column(name, table=item.alias, quoted=True))
        result.append((counted.facts, tuple(columns)))
    return result


def _number_rows(table: exp.Table) -> None:
    """Put a sub-query that numbers its rows in the place of a table."""
    alias = table.alias
    inner = exp.Table(
        this=table.this.copy(), alias=exp.TableAlias(this=exp.to_identifier(f"{alias}_rows", quoted=True))
    )
    number = exp.Window(this=exp.RowNumber(), over="OVER")
    numbered = exp.select(exp.Star(), exp.alias_(number, ROW_COLUMN, quoted=True)).from_(inner, copy=False)
    table.replace(
        exp.Subquery(this=numbered, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    )


def _is_single(select: exp.Select) -> bool:
    return len(_items(select)) == 1


def _items(select: exp.Select) -> list[exp.Expr]:
    origin = select.args.get("from_")
    return [] if origin is None else [origin.this, *(join.this for join in select.args.get("joins") or ())]


def _conditions(select: exp.Select) -> list[exp.Expr]:
    """Return the parts of a SELECT in which a sub-query is no source of its rows."""
    found = [select.args.get(name) for name in ("where", "having", "qualify", "group", "order")]
    found += [join.args.get("on") for join in select.args.get("joins") or ()]
    return [*(node for node in found if node is not None), *select.expressions]


def _one_where(condition: exp.Expr) -> exp.Case:
    return exp.Case(ifs=[exp.If(this=condition.copy(), true=exp.Literal.number(1))])


def _lost(facts: ProductFacts, where: str, remedy: str) -> JobRefused:
    wanted = f"`{facts.product}`, whose units are protected, {where}"
    limit = "cells whose protected units can be counted"
    return JobRefused((Reason(facts.provider, "unit", wanted, limit, remedy),))


def sources_of(counted: Sequence[Counted]) -> list[Counted]:
    """Return what is counted, each once."""
    return list(dict.fromkeys(counted))
