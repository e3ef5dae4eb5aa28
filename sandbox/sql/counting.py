"""Counting protected units behind the groups of a joint plan, in shares (R9, R15).

A source of units is a table whose rows reach the group one by one, or a collection, whose providers are
counted apart. Where every row below the group is another row of the table, and the row is the unit, rows are
counted; otherwise different units, by a key that its provider gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from sqlglot import exp

from records.errors import JobRefused, Reason
from sandbox.sql import units
from sandbox.sql.blocks import Block
from sandbox.sql.catalogue import ProductFacts
from sandbox.sql.encodings import MOST_BITS, Number
from sandbox.sql.groups import Grouped
from sandbox.sql.ordering import Limited
from sandbox.sql.partials import Partial
from sandbox.sql.parts import Part
from sandbox.sql.plan import Counts, Support
from sandbox.sql.relations import ROW, Relation
from sandbox.sql.steps import Column
from sandbox.sql.unions import Union
from sandbox.sql.windows import Windowed

_NODES: dict[str, type[exp.Expr]] = {
    "sum": exp.Sum,
    "count": exp.Count,
    "distinct": exp.Count,
    "min": exp.Min,
    "max": exp.Max,
    "quantile": exp.Median,
    "median": exp.Median,
}


@dataclass(slots=True)
class Counting:
    """The columns that count units, as they are asked for."""

    grouped: Grouped
    partial: Partial | None
    sources: list[_Source]
    names: list[str]

    def units(self, conditions: Sequence[exp.Expr | None]) -> Counts:
        """Return, for each condition and source, the columns that count the units of rows that meet it."""
        return tuple(self._counted(source, condition) for condition in conditions for source in self.sources)

    def behind(self, column: exp.Column) -> Counts:
        """Return the counts of units behind an aggregate."""
        each = self.grouped.aggregate(column)
        argument = each.argument
        if self.partial is not None:
            names = self.partial.values.get(argument.name, []) if isinstance(argument, exp.Column) else []
            return tuple(self.of_providers(name) for name in names)
        if argument is None:
            return ()
        return self.units(units.arguments_of(_NODES[each.function](this=argument.copy())))

    def of_providers(self, name: str) -> tuple[str, ...]:
        """Return a count that each provider of a collection has made of its own rows."""
        union = cast("Union", self.grouped.children[0])
        budget = MOST_BITS - union.rows.bit_length()
        found = []
        for i, child in enumerate(union.children):
            alias, columns = next(iter(child.scope.items()))
            if name in columns:
                number = child.number(exp.column(name, table=alias, quoted=True), budget)
                nothing = {j: other.nothing().name for j, other in enumerate(union.children) if j != i}
                placed = union.of_child(child, number.name, nothing)
                found.append(self.grouped.sum_of(Number(placed, 1, 0, number.high)).name)
        self.names += found
        return tuple(found)

    def _counted(self, source: _Source, condition: exp.Expr | None) -> tuple[str, ...]:
        rows = self.grouped.children[0]
        holds = rows.bit(exp.true() if condition is None else condition, "true")
        found = []
        for place in source.places:
            met = rows.compute_bit("and", holds, place.known(rows))
            if place.is_row(rows):
                number = rows.number_of(met)
                found.append(self.grouped.sum_of(number).name)
            else:
                found.append(self.grouped.count_distinct(place.key(rows), met))
        self.names += found
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Place:
    """One provider's table below a group."""

    facts: ProductFacts
    alias: str
    part: Part

    def is_row(self, rows: Relation) -> bool:
        """Tell whether each row below the group is another unit."""
        return self.facts.unit == "row" and rows.is_unique(frozenset({(self.alias, ROW)}))

    def key(self, rows: Relation) -> str:
        """Return the key that tells the units of this provider apart."""
        return self._raised(rows, _unit_key(self.part, self.alias))

    def known(self, rows: Relation) -> str:
        """Return whether a row is of this provider, and has a unit."""
        columns = self.facts.unit if isinstance(self.facts.unit, tuple) else ()
        known = [
            exp.Is(this=exp.column(name.lower(), table=self.alias, quoted=True), expression=exp.Null())
            for name in columns
        ]
        test = exp.and_(*(exp.Not(this=each) for each in known)) if known else exp.true()
        return self._raised(rows, Column(self.part.bit(test, "true"), "bit", 1))

    def _raised(self, rows: Relation, column: Column) -> str:
        """Bring a column of the part up to the rows below the group; it is 0 in rows of other providers."""
        name = _raise(rows, self.part, column)
        assert name is not None  # noqa: S101 - the place was found below these rows
        return name


@dataclass(frozen=True, slots=True)
class _Source:
    """The places whose units are counted together: one table, or the tables of a collection."""

    places: tuple[_Place, ...]


def counting(block: Block, protected: Sequence[ProductFacts]) -> Counting | None:
    """Return what counts units behind the groups of a block, None where there is nothing to count.

    Raises:
        JobRefused: a product whose units do not reach the groups one by one.
    """
    if not protected or block.grouped is None:
        return None
    if block.partial is not None:
        return Counting(block.grouped, block.partial, [], [])
    sources = _sources(block.grouped.children[0])
    reached = {place.facts.product for source in sources for place in source.places}
    for facts in protected:
        if facts.product not in reached:
            raise _lost(facts)
    return Counting(block.grouped, None, sources, [])


def counted_units(counted: Counting, block: Block) -> Counts:
    """Return the counts of units of each group, and of what HAVING compares."""
    every = (counted.of_providers("u"),) if counted.partial is not None else counted.units([None])
    return (*every, *(names for column in block.having for names in counted.behind(column)))


def supported(counted: Counting, support: Support, column: exp.Column, groups: Counts) -> Support:
    """Return a support with the counts of units behind an aggregate; of the group, where it is of rows."""
    return replace(support, units=counted.behind(column) or groups)


def _sources(rows: Relation) -> list[_Source]:
    """Return the protected tables whose rows reach `rows` one by one, members of a collection together."""
    found: list[_Source] = []
    pending = [rows]
    while pending:
        each = pending.pop()
        if isinstance(each, (Grouped, Limited, Windowed)) or (isinstance(each, Union) and each.of_query):
            continue
        if isinstance(each, Union) and all(isinstance(child, Part) for child in each.children):
            places = tuple(place for child in each.children for place in _places(cast("Part", child)))
            found += [_Source(places)] if places else []
            continue
        if isinstance(each, Part):
            found += [_Source((place,)) for place in _places(each)]
        pending += each.children
    return list(dict.fromkeys(found))


def _places(part: Part) -> list[_Place]:
    return [
        _Place(item.facts, item.alias, part)
        for item in part.items
        if item.facts is not None and item.facts.unit is not None
    ]


def _unit_key(part: Part, alias: str) -> Column:
    """Return a key that tells apart the protected units of a table of a part; NULL where there is none."""
    item = next(each for each in part.items if each.alias == alias)
    if item.facts is None or not isinstance(item.facts.unit, tuple):
        return part.row_number(item)
    return part.code([exp.column(name.lower(), table=alias, quoted=True) for name in item.facts.unit])


def _raise(relation: Relation, part: Part, column: Column) -> str | None:
    """Return the name under which a part's column reaches a relation, None if the part is not below it."""
    if relation is part:
        return column.name
    if isinstance(relation, Union):
        names = [_raise(child, part, column) for child in relation.children]
        if not any(names):
            return None
        filled = [
            name or child.nothing_like(column) for name, child in zip(names, relation.children, strict=True)
        ]
        return relation.stacked(filled)
    for child in relation.children:
        name = _raise(child, part, column)
        if name is not None:
            relation.carry(child, name)
            return name
    return None


def _lost(facts: ProductFacts) -> JobRefused:
    return JobRefused(
        (
            Reason(
                facts.provider,
                "unit",
                f"`{facts.product}`, whose units are protected, behind UNION, GROUP BY or a sub-query",
                "cells whose protected units can be counted",
                "name the table in FROM of the outermost SELECT, and aggregate there",
            ),
        )
    )
