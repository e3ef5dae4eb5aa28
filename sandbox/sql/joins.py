"""Joining relations of several providers, and the order in which that is done.

A join in shares gives the rows of one side, so that the other side's keys must be unique, or be declared to have
few rows each. Of the orders that allow this the one is taken that sorts the fewest bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlglot import exp

from records.errors import JobRefused
from sandbox.sql.parts import ROW, Part, Union
from sandbox.sql.relations import (
    Encoding,
    Names,
    Number,
    Program,
    Relation,
    Truth,
    encoding_of,
    natural_scale,
    refuse,
)
from sandbox.sql.steps import Broadcast, Column, Filter, Group, Join

MOST_COPIES = 64
Pair = tuple[exp.Expr, exp.Expr]


class Joined(Relation):
    """The rows of `right`, each with a row of `left` of equal keys.

    `inner`: rows without a match do not count. `outer`: their columns of `left` are NULL. `mark`: all rows stay,
    and the truth value `alias`.matched says which have a match.
    """

    def __init__(
        self,
        program: Program,
        left: Relation,
        right: Relation,
        keys: Sequence[Pair],
        kind: Literal["inner", "outer", "mark"],
        *,
        most: int = 1,
        alias: str = "",
    ) -> None:
        """`keys` are pairs of expressions over left and right."""
        scope = {**right.scope, **({alias: {"matched": "BOOLEAN"}} if kind == "mark" else left.scope)}
        children = (right,) if kind == "mark" else (right, left)
        super().__init__(program, scope, right.rows * most, children)
        self.left, self.right, self.kind, self.alias = left, right, kind, alias
        self._copies = most
        self._carried: dict[str, None] = {}
        self._matched = program.name()
        self._keys = [_encoded(left, right, *pair) for pair in keys]
        self.equal = [{x.sql(), y.sql()} for x, y in keys]
        if most == 1 and isinstance(left, Part):
            left.require_unique([pair[0] for pair in self._keys])
        if kind == "mark":
            return
        for x, y in keys:
            if isinstance(x, exp.Column) and isinstance(y, exp.Column):
                a, b = frozenset({(x.table, x.name)}), frozenset({(y.table, y.name)})
                self.dependencies += [(b, a), (a, b)] if kind == "inner" else [(b, a)]
        if most == 1 and kind == "outer":
            self.dependencies.append((_names([y for _, y in keys]), left.marks))

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return whether a row has a match."""
        if column.table != self.alias:
            return None
        if truth == "known":
            return self.compute_bit("present")
        return self._matched if truth == "true" else self.compute_bit("not", self._matched)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return whether a row has a match, as 0 or 1."""
        if column.table != self.alias:
            return None
        return self.compute_number("number", (self._matched,), (0, 1), 1)

    def carry(self, child: Relation, name: str) -> None:
        if child is self.left:
            self._carried[name] = None

    def _is_nullable(self, child: Relation) -> bool:
        return self.kind == "outer" and child is self.left

    def _emit(self) -> int:
        left, right = self.left.emit(), self.right.emit()
        keys = tuple((x.name, y.name) for x, y in self._keys)
        table = self.program.add(Join(left, right, keys, tuple(self._carried), self._matched, self._copies))
        return self.program.add(Filter(table, self._matched)) if self.kind == "inner" else table


class Broadcasted(Relation):
    """The rows of `table`, each with the only row of `one`."""

    def __init__(self, program: Program, one: Relation, table: Relation) -> None:
        """`one` has at most one row."""
        super().__init__(program, {**table.scope, **one.scope}, table.rows, (table, one))
        self.one, self.table = one, table
        self._carried: dict[str, None] = {}
        self.dependencies += [(frozenset(), frozenset({mark})) for mark in one.marks]

    def carry(self, child: Relation, name: str) -> None:
        if child is self.one:
            self._carried[name] = None

    def _emit(self) -> int:
        return self.program.add(Broadcast(self.one.emit(), self.table.emit(), tuple(self._carried)))


class Filtered(Relation):
    """The rows of a relation that meet a condition."""

    def __init__(self, program: Program, child: Relation, condition: exp.Expr) -> None:
        """The condition is over the child."""
        super().__init__(program, child.scope, child.rows, (child,))
        self._bit_name = child.bit(condition, "true")

    def most(self, columns: Names) -> int | None:
        """Return what holds in the child."""
        return self.children[0].most(columns)

    def _emit(self) -> int:
        return self.program.add(Filter(self.children[0].emit(), self._bit_name))


class NullExtended(Relation):
    """The rows of a relation, with columns of other aliases that are all NULL: a side of a FULL or LEFT JOIN."""

    def __init__(self, program: Program, child: Relation, scope: dict[str, dict[str, str]]) -> None:
        """`scope` are the aliases whose columns are NULL."""
        super().__init__(program, {**child.scope, **scope}, child.rows, (child,))
        self._missing = scope

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return the child, where no missing column is named."""
        missing = any(column.table in self._missing for column in expression.find_all(exp.Column))
        return None if missing else self.children[0]

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the child's bounds; a missing column is NULL, which is 0."""
        return (0, 0) if self.home(expression) is None else super().bounds(expression, scale)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return nothing but 0."""
        return self._zero(scale if scale is not None else natural_scale(self.type_of(column)))

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return nothing but 0: NULL is neither true nor false, and not known."""
        return self.compute_bit("nothing")

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        if self.home(expression) is not None:
            return super()._comparable(expression, encoding)
        return self._nothing("key", encoding.bits)

    def _key(self, expression: exp.Expr) -> Column:
        return super()._key(expression) if self.home(expression) is not None else self._nothing("key", 1)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        if self.home(expression) is not None:
            return super()._payload(expression, least_words)
        return self._nothing("payload", 64 * least_words).name, least_words

    def _nothing(self, kind: Literal["key", "payload"], bits: int) -> Column:
        return self._compute(Column("", kind, bits), "nothing", ())

    def _emit(self) -> int:
        return self.children[0].emit()


def join_all(program: Program, relations: Sequence[Relation], pairs: Sequence[Pair]) -> Relation:
    """Join relations on pairs of columns that are equal, and filter by the pairs that no join needs.

    Raises:
        JobRefused: a join of many rows with many, or one without a condition.
    """
    best: tuple[int, list[Relation]] | None = None
    singles = [relation for relation in relations if relation.rows == 1]
    others = [relation for relation in relations if relation.rows != 1] or [singles.pop(0)]
    refusal = None
    for start in others:
        cost, rows, joined = 0, start.rows, [start]
        rest = [relation for relation in others if relation is not start]
        while rest:
            way = _cheapest(joined, rows, rest, pairs)
            if way is None:
                break
            following, rows, more = way
            cost += more
            joined.append(following)
            rest.remove(following)
        if rest:
            refusal = refusal or _why_not(joined, rest, pairs)
        elif best is None or cost < best[0]:
            best = cost, joined
    if best is None:
        raise refusal or refuse("join", "a join without a condition", "add a condition with =")
    relation, *following_ones = best[1]
    for following in following_ones:
        relation = _join(program, relation, following, pairs)
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
    if other.is_unique(_names([y for _, y in pairs])):
        return Joined(program, other, kept, flipped, "outer")
    if not kept.is_unique(_names([x for x, _ in pairs])):
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


class Distinct(Relation):
    """One row for each of the different keys of a relation."""

    def __init__(self, program: Program, child: Relation, pairs: Sequence[Pair]) -> None:
        """`pairs` are (expression over the child, what it is compared with)."""
        super().__init__(program, child.scope, child.rows, (child,))
        self._wanted: dict[str, None] = {}

    def carry(self, child: Relation, name: str) -> None:
        self._wanted[name] = None

    def _emit(self) -> int:
        return self.program.add(Group(self.children[0].emit(), tuple(self._wanted)))


def _encoded(left: Relation, right: Relation, x: exp.Expr, y: exp.Expr) -> tuple[Column, Column]:
    kinds = [left.type_of(x), right.type_of(y)]
    if len({kind.partition("(")[0] == "VARCHAR" for kind in kinds}) > 1:
        raise refuse("join", "a join of a text with another type", "cast one of them within its provider")
    scale = max(natural_scale(kind) for kind in kinds)
    encoding = encoding_of(kinds, [left.bounds(x, scale), right.bounds(y, scale)], scale)
    return left.comparable(x, encoding), right.comparable(y, encoding)


def _linking(left: Sequence[Relation], right: Relation, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs between relations already joined and another one, as (of the joined, of the other)."""
    joined = {alias for relation in left for alias in relation.scope}
    found = []
    for x, y in pairs:
        a, b = _aliases(x), _aliases(y)
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
        if relation.is_unique(_names([y for _, y in links])):
            ways.append((rows + relation.rows, rows, relation))
        elif _together_unique(joined, _names([x for x, _ in links]), pairs):
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
    probe = Relation(joined[0].program, {}, 1, joined)
    aliases = {alias for relation in joined for alias in relation.scope}
    for x, y in pairs:
        if _aliases(x) | _aliases(y) <= aliases and isinstance(x, exp.Column) and isinstance(y, exp.Column):
            a, b = _names([x]), _names([y])
            probe.dependencies += [(a, b), (b, a)]
    return probe.is_unique(columns)


def _join(program: Program, relation: Relation, following: Relation, pairs: Sequence[Pair]) -> Relation:
    links = _distinct_links(_linking([relation], following, pairs))
    for left, right, keys in (
        (following, relation, [(y, x) for x, y in links]),
        (relation, following, links),
    ):
        if left.is_unique(_names([x for x, _ in keys])):
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
        if fewer and left.is_unique(_names([x for x, _ in fewer])):
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
    most = relation.most(_names([y for _, y in links]))
    return most if most is not None and most <= MOST_COPIES else None


def _why_not(joined: Sequence[Relation], rest: Sequence[Relation], pairs: Sequence[Pair]) -> JobRefused:
    for relation in rest:
        links = _linking(joined, relation, pairs)
        if links:
            return _many_to_many(links)
    return refuse("join", "tables of several providers without a condition that joins them", "join them by =")


def _many_to_many(pairs: Sequence[Pair]) -> JobRefused:
    columns = " and ".join(
        dict.fromkeys(
            f"`{column.name}`" for pair in pairs for side in pair for column in side.find_all(exp.Column)
        )
    )
    return refuse(
        "join",
        f"a join on {columns}, of which neither side is declared unique",
        "a provider declares the key in `public.keys`, or in `public.most` how many rows share a value; or group one"
        " side by the key first",
    )


def _aliases(expression: exp.Expr) -> set[str]:
    return {column.table for column in expression.find_all(exp.Column)}


def _names(expressions: Sequence[exp.Expr]) -> Names:
    """Return the plain columns among expressions: what is no column determines nothing."""
    return frozenset((each.table, each.name) for each in expressions if isinstance(each, exp.Column))


def row_of(alias: str) -> Names:
    """Return the mark of an alias's rows."""
    return frozenset({(alias, ROW)})
