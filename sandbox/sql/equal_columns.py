"""Columns that conditions set equal: which parts join in one engine, and on what the others join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from sqlglot import exp

from sandbox.sql.joins import Pair
from sandbox.sql.parts import Part
from sandbox.sql.relations import Relation, united
from sandbox.sql.trees import aliases_of


class EqualColumns:
    """Columns that conditions set equal."""

    def __init__(self) -> None:
        """No two columns are equal yet."""
        self._classes: list[set[tuple[str, str]]] = []

    def unite(self, left: tuple[str, str], right: tuple[str, str]) -> None:
        """Set two columns equal."""
        touched = [each for each in self._classes if left in each or right in each]
        self._classes = [each for each in self._classes if each not in touched]
        self._classes.append({left, right}.union(*touched))

    def member(self, column: exp.Column, scope: Mapping[str, Mapping[str, str]]) -> tuple[str, str] | None:
        """Return the column itself, or one equal to it, that is in a scope."""
        own = (column.table, column.name)
        if own[0] in scope:
            return own
        equal = next((each for each in self._classes if own in each), set[tuple[str, str]]())
        return next((other for other in sorted(equal) if other[0] in scope), None)

    def within(self, scope: Mapping[str, Mapping[str, str]]) -> list[list[tuple[str, str]]]:
        """Return the columns of a scope that are equal, class by class."""
        return [sorted(each for each in members if each[0] in scope) for members in self._classes]

    def pairs(self, items: Sequence[Relation]) -> list[Pair]:
        """Return the pairs of equal columns of different items."""
        found: list[Pair] = []
        for members in self._classes:
            placed = [
                (i, each) for i, item in enumerate(items) for each in sorted(members) if each[0] in item.scope
            ]
            found += [
                (exp.column(a[1], table=a[0], quoted=True), exp.column(b[1], table=b[0], quoted=True))
                for x, (i, a) in enumerate(placed)
                for j, b in placed[x + 1 :]
                if i != j
            ]
        return found


def merged(items: list[Relation], equal: EqualColumns) -> list[Relation]:
    """Join parts of one provider in its own engine, where columns are equal and rows do not multiply."""
    result: list[Relation] = []
    for item in items:
        target = _mergeable(result, item, equal) if isinstance(item, Part) else None
        if target is None or not isinstance(item, Part):
            result.append(item)
            continue
        target.join(item)
        for members in equal.within(target.scope):
            for left, right in pairwise(members):
                sides = [exp.column(name, table=alias, quoted=True) for alias, name in (left, right)]
                if exp.EQ(this=sides[0], expression=sides[1]) not in target.sql.conditions:
                    target.filter(exp.EQ(this=sides[0].copy(), expression=sides[1].copy()))
    return merged(result, equal) if len(result) < len(items) else result


def _mergeable(relations: Sequence[Relation], part: Part, equal: EqualColumns) -> Part | None:
    """Return the first part that another may be joined to in its engine, None if there is none."""
    parts = [each for each in relations if isinstance(each, Part) and each.provider == part.provider]
    return next((each for each in parts if _may_merge(each, part, equal)), None)


def _may_merge(left: Part, right: Part, equal: EqualColumns) -> bool:
    """Tell whether rows do not multiply when parts are joined on their equal columns."""
    both = [
        (
            frozenset(each for each in members if each[0] in left.scope),
            frozenset(each for each in members if each[0] in right.scope),
        )
        for members in equal.within({**left.scope, **right.scope})
    ]
    linked = [(a, b) for a, b in both if a and b]
    if not linked:
        return False
    return left.is_unique(united(a for a, _ in linked)) or right.is_unique(united(b for _, b in linked))


def pushed_down(items: Sequence[Relation], condition: exp.Expr) -> bool:
    """Give a condition to the part that has all of its columns, if there is one."""
    for item in items:
        if isinstance(item, Part) and aliases_of(condition) <= set(item.scope):
            item.filter(condition)
            return True
    return False
