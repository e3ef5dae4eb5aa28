"""The order in which relations of several providers are joined.

Of the orders in which every join has a side with unique keys, or with keys of few rows each, the one is taken
that sorts the fewest rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from records.errors import JobRefused
from sandbox.sql.computed import Program
from sandbox.sql.joins import (
    MOST_COPIES,
    Broadcasted,
    Distinct,
    Filtered,
    Joined,
    NullExtended,
    Pair,
    columns_among,
)
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Dependencies, Names, Relation, closed, united
from sandbox.sql.trees import aliases_of
from sandbox.sql.unions import Union


def join_all(
    program: Program,
    relations: Sequence[Relation],
    pairs: Sequence[Pair],
    conditions: Sequence[exp.Expr] = (),
) -> Relation:
    """Join relations on pairs of columns that are equal, and filter by the pairs that no join needs.

    `conditions` are others over several relations: what they are says why there is no join.

    Raises:
        JobRefused: a join of many rows with many, or one without a condition.
    """
    singles = [relation for relation in relations if relation.rows == 1]
    others = [relation for relation in relations if relation.rows != 1] or [singles.pop(0)]
    relation, *following = _best_order(others, pairs, conditions)
    for each in following:
        relation = _join(program, relation, each, pairs)
    for one in singles:
        relation = Broadcasted(program, one, relation)
    for x, y in pairs:
        if not _is_implied(relation, x, y):
            relation = Filtered(program, relation, exp.EQ(this=x.copy(), expression=y.copy()))
    return relation


def join_outer(
    program: Program, kept: Relation, other: Relation, pairs: Sequence[Pair], alias: str
) -> Relation:
    """Return `kept` LEFT JOIN `other`; pairs are over (kept, other). `alias` names the marks it needs.

    Raises:
        JobRefused: neither side has unique keys.
    """
    flipped = [(y, x) for x, y in pairs]
    if other.is_unique(columns_among([y for _, y in pairs])):
        return Joined(program, other, kept, flipped, "outer")
    if not kept.is_unique(columns_among([x for x, _ in pairs])):
        most = _most(other, pairs)
        if most is None:
            raise _many_to_many(pairs)
        return Joined(program, other, kept, flipped, "outer", most=most)
    inner = Joined(program, kept, other, pairs, "inner")
    return Union(program, [inner, unmatched(program, kept, other, pairs, alias)], alias)


def unmatched(
    program: Program, kept: Relation, other: Relation, pairs: Sequence[Pair], alias: str
) -> Relation:
    """Return the rows of `kept` without a match, the columns of `other` NULL."""
    flipped = [(y, x) for x, y in pairs]
    marked = Joined(program, Distinct(program, other, flipped), kept, flipped, "mark", alias=alias)
    missing = exp.Not(this=exp.column("matched", table=alias))
    return NullExtended(program, Filtered(program, marked, missing), other.scope)


def _best_order(
    relations: Sequence[Relation], pairs: Sequence[Pair], conditions: Sequence[exp.Expr]
) -> list[Relation]:
    """Return relations in the order that sorts the fewest rows.

    Raises:
        JobRefused: they cannot be joined in any order.
    """
    best: tuple[int, list[Relation]] | None = None
    refusal: JobRefused | None = None
    for start in relations:
        rest = [each for each in relations if each is not start]
        found = _greedy_order(start, rest, pairs, conditions)
        if isinstance(found, JobRefused):
            refusal = refusal or found
        elif best is None or found[0] < best[0]:
            best = found
    if best is None:
        raise refusal or refuse("join", "a join without a condition", "add a condition with =")
    return best[1]


def _greedy_order(
    start: Relation, rest: list[Relation], pairs: Sequence[Pair], conditions: Sequence[exp.Expr]
) -> tuple[int, list[Relation]] | JobRefused:
    """Return how many rows are sorted and the order with the cheapest next join, or why there is none."""
    cost, rows, joined = 0, start.rows, [start]
    while rest:
        way = _cheapest(joined, rows, rest, pairs)
        if way is None:
            return _why_not(joined, rest, pairs, conditions)
        following, rows, more = way
        cost += more
        joined.append(following)
        rest.remove(following)
    return cost, joined


def _linking(left: Sequence[Relation], right: Relation, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs between relations already joined and another one, as (of the joined, of the other)."""
    joined = {alias for relation in left for alias in relation.scope}
    found = []
    for x, y in pairs:
        a, b = aliases_of(x), aliases_of(y)
        if a <= joined and b <= set(right.scope):
            found.append((x, y))
        elif b <= joined and a <= set(right.scope):
            found.append((y, x))
    return found


def _cheapest(
    joined: Sequence[Relation], rows: int, rest: Sequence[Relation], pairs: Sequence[Pair]
) -> tuple[Relation, int, int] | None:
    """Return the next relation, the rows after it, and the rows sorted for it."""
    ways = []
    for relation in rest:
        links = _linking(joined, relation, pairs)
        if not links:
            continue
        if relation.is_unique(columns_among([y for _, y in links])):
            ways.append((rows + relation.rows, rows, relation))
        elif _together_unique(joined, columns_among([x for x, _ in links]), pairs):
            ways.append((rows + relation.rows, relation.rows, relation))
        else:
            most = _most(relation, links)
            if most is not None:
                ways.append((most * (rows + relation.rows), rows * most, relation))
    if not ways:
        return None
    cost, after, relation = min(ways, key=lambda way: way[0])
    return relation, after, cost


def _together_unique(joined: Sequence[Relation], columns: Names, pairs: Sequence[Pair]) -> bool:
    """Tell whether columns are unique among relations that were joined by the pairs."""
    dependencies: Dependencies = [each for relation in joined for each in relation.dependencies]
    aliases = {alias for relation in joined for alias in relation.scope}
    for x, y in pairs:
        if (
            aliases_of(x) | aliases_of(y) <= aliases
            and isinstance(x, exp.Column)
            and isinstance(y, exp.Column)
        ):
            a, b = columns_among([x]), columns_among([y])
            dependencies += [(a, b), (b, a)]
    return united(relation.marks for relation in joined) <= closed(columns, dependencies)


def _join(program: Program, relation: Relation, following: Relation, pairs: Sequence[Pair]) -> Relation:
    links = _distinct_links(_linking([relation], following, pairs))
    for left, right, keys in (
        (following, relation, [(y, x) for x, y in links]),
        (relation, following, links),
    ):
        if left.is_unique(columns_among([x for x, _ in keys])):
            return Joined(program, left, right, _needed(left, keys), "inner")
    most = _most(following, links)
    if most is None:
        raise _many_to_many(links)
    return Joined(program, following, relation, [(y, x) for x, y in links], "inner", most=most)


def _distinct_links(links: Sequence[Pair]) -> list[Pair]:
    """Return links with each column of the other side once."""
    return list({y.sql(): (x, y) for x, y in reversed(links)}.values())[::-1]


def _needed(left: Relation, keys: list[Pair]) -> list[Pair]:
    """Return as few of the keys as are still unique; the others are compared after the join."""
    needed = list(keys)
    for pair in reversed(keys):
        fewer = [each for each in needed if each is not pair]
        if fewer and left.is_unique(columns_among([x for x, _ in fewer])):
            needed = fewer
    return needed


def _is_implied(relation: Relation, x: exp.Expr, y: exp.Expr) -> bool:
    """Tell whether a pair was a key of one of the joins below."""
    pending: list[Relation] = [relation]
    pair = {x.sql(), y.sql()}
    equal: list[set[str]] = []
    while pending:
        each = pending.pop()
        pending += each.children
        if isinstance(each, Joined) and each.kind == "inner":
            equal += each.equal
    found = {x.sql()}
    before = 0
    while len(found) != before:
        before = len(found)
        for both in equal:
            if both & found:
                found |= both
    return pair <= found


def _most(relation: Relation, links: Sequence[Pair]) -> int | None:
    most = relation.most(columns_among([y for _, y in links]))
    return most if most is not None and most <= MOST_COPIES else None


def _why_not(
    joined: Sequence[Relation],
    rest: Sequence[Relation],
    pairs: Sequence[Pair],
    conditions: Sequence[exp.Expr],
) -> JobRefused:
    for relation in rest:
        links = _linking(joined, relation, pairs)
        if links:
            return _many_to_many(links)
    if any(_is_between_expressions(each) for each in conditions):
        return refuse(
            "join",
            "tables of several providers joined on an expression",
            "make the expression a column of a sub-query, and join on it",
        )
    return refuse("join", "tables of several providers without a condition that joins them", "join them by =")


def _is_between_expressions(condition: exp.Expr) -> bool:
    """Tell whether a condition sets expressions of different relations equal that are not both columns."""
    if not isinstance(condition, exp.EQ):
        return False
    if isinstance(condition.this, exp.Column) and isinstance(condition.expression, exp.Column):
        return False
    left, right = aliases_of(condition.this), aliases_of(condition.expression)
    return bool(left and right) and not left & right


def _many_to_many(pairs: Sequence[Pair]) -> JobRefused:
    columns = " and ".join(
        dict.fromkeys(
            f"`{column.name}`" for pair in pairs for side in pair for column in side.find_all(exp.Column)
        )
    )
    return refuse(
        "join",
        f"a join on {columns}, of which neither side is declared unique",
        "a provider declares the key in `public.keys`, or in `public.most` how many rows share a value;"
        " or group one side by the key first",
    )
