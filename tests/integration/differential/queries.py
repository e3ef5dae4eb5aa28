# ruff: noqa: S608 - queries are what these tests make
"""Random queries over a market, in the shapes that analysts write, with what constructs each has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.integration.differential.expressions import (
    COMPARISONS,
    Draft,
    Item,
    aggregate,
    group_key,
    of_family,
    scalar,
    truth,
)
from tests.integration.differential.relations import (
    Relation,
    relation,
    scalar_subquery,
    subquery_condition,
    table,
)
from tests.integration.differential.schemas import Market


@dataclass(frozen=True, slots=True)
class Query:
    """A query. `ordered`: its ORDER BY leaves no two different rows in a tie, and sorts by exact values."""

    sql: str
    constructs: frozenset[str]
    ordered: bool


@dataclass(frozen=True, slots=True)
class _Select:
    """A SELECT without ORDER BY, and its outputs by name."""

    sql: str
    outputs: tuple[Item, ...]


def query(market: Market, seed: int) -> Query:
    """Return a random query over `market`; DuckDB may still refuse it."""
    draft = Draft(market, Random(f"{market.seed}/{seed}"))  # noqa: S311 - queries for tests
    shapes: tuple[tuple[Callable[[Draft], _Select], int], ...] = (
        (_groups, 10),
        (_totals, 6),
        (_rows, 6),
        (_distinct, 2),
        (_united, 4),
        (_derived, 5),
        (_windows, 4),
    )
    shape = draft.random.choices([shape for shape, _ in shapes], [weight for _, weight in shapes])[0]
    select = shape(draft)
    sql, ordered = _sorted(draft, select)
    return Query(sql, frozenset(draft.constructs), ordered)


def _relation(draft: Draft) -> Relation:
    return relation(draft, draft.pick((0, 0, 0, 1, 1, 1, 1, 2, 2, 3)))


def _where(draft: Draft, found: Relation, *, share: float = 0.5) -> str:
    conditions = list(found.conditions)
    if draft.happens(share):
        draft.note("where")
        conditions.append(truth(draft, found.items))
    if draft.happens(0.25):
        condition = subquery_condition(draft, found.items)
        conditions += [condition] if condition else []
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _sample(draft: Draft, items: Sequence[Item], least: int, most: int) -> list[Item]:
    return draft.random.sample(list(items), min(len(items), draft.random.randint(least, most)))


def _named(outputs: Sequence[Item]) -> tuple[str, tuple[Item, ...]]:
    """Return the list after SELECT, and what the outputs are called outside of it."""
    names = [f"o{place}" for place in range(1, len(outputs) + 1)]
    written = ", ".join(f"{item.sql} AS {name}" for item, name in zip(outputs, names, strict=True))
    outside = (
        Item(name, item.family, "", item.domain, item.approximate)
        for item, name in zip(outputs, names, strict=True)
    )
    return written, tuple(outside)


def _rows(draft: Draft) -> _Select:
    draft.note("rows")
    found = _relation(draft)
    if draft.happens(0.1):
        draft.note("star")
        star = draft.pick(("*", f"{found.items[0].owner}.*"))
        first = tuple(item for item in found.items if item.owner == found.items[0].owner)
        outside = tuple(Item(item.name, item.family, "", item.domain) for item in first)
        return _Select(f"SELECT {star} FROM {found.sql}{_where(draft, found)}", outside)
    outputs = _sample(draft, found.items, 1, 5)
    if draft.happens(0.4):
        sql, family = scalar(draft, found.items)
        outputs.append(Item(sql, family, approximate=True))
    if draft.happens(0.1):
        outputs.append(Item(scalar_subquery(draft, found.items), "number", approximate=True))
    written, outside = _named(outputs)
    return _Select(f"SELECT {written} FROM {found.sql}{_where(draft, found)}", outside)


def _distinct(draft: Draft) -> _Select:
    draft.note("distinct")
    found = _relation(draft)
    written, outside = _named(_sample(draft, found.items, 1, 3))
    return _Select(f"SELECT DISTINCT {written} FROM {found.sql}{_where(draft, found)}", outside)


def _totals(draft: Draft) -> _Select:
    draft.note("totals")
    found = _relation(draft)
    return _aggregated(draft, found, [], _where(draft, found))


def _groups(draft: Draft) -> _Select:
    found = _relation(draft)
    return _grouped(draft, found, _where(draft, found))


def _grouped(draft: Draft, found: Relation, where: str) -> _Select:
    draft.note("group by")
    keys = _sample(draft, found.items, 1, 2)
    if draft.happens(0.25):
        sql, family = group_key(draft, found.items)
        keys[-1] = Item(sql, family)
    return _aggregated(draft, found, keys, where)


def _aggregated(draft: Draft, found: Relation, keys: Sequence[Item], where: str) -> _Select:
    measures = [aggregate(draft, found.items) for _ in range(draft.random.randint(1, 3))]
    shown = list(keys)
    if len(keys) > 1 and draft.happens(0.15):
        draft.note("key not shown")
        del shown[0]
    if draft.happens(0.15):
        measures.append(_ratio(draft, found))
    if keys and draft.happens(0.08):
        draft.note("window over groups")
        measures.append(
            Item(f"RANK() OVER (ORDER BY {draft.pick(('COUNT(*)', keys[0].sql))} DESC)", "number")
        )
    written, outside = _named([*shown, *measures])
    sql = f"SELECT {written} FROM {found.sql}{where}"
    if keys:
        places = [str(place) for place in range(1, len(keys) + 1)]
        by_place = len(shown) == len(keys) and draft.happens(0.2)
        every = len(shown) == len(keys) and draft.happens(0.1)
        by = "ALL" if every else ", ".join(places if by_place else [key.sql for key in keys])
        sql += f" GROUP BY {by}"
    if keys and draft.happens(0.25):
        draft.note("having")
        measure = aggregate(draft, found.items)
        bound = {"number": draft.pick(("1", "2", "10")), "boolean": "FALSE", "text": "'a'"}.get(
            measure.family
        )
        if measure.family == "number" and draft.happens(0.3):
            bound = scalar_subquery(draft, ())
        sql += (
            f" HAVING {measure.sql} {draft.pick(COMPARISONS)} {bound}" if bound else " HAVING COUNT(*) >= 2"
        )
    return _Select(sql, outside)


def _ratio(draft: Draft, found: Relation) -> Item:
    draft.note("ratio of aggregates")
    numbers = [item.sql for item in of_family(found.items, "number")] or ["1"]
    part = f"SUM(CASE WHEN {truth(draft, found.items, 0)} THEN {draft.pick(numbers)} ELSE 0 END)"
    return Item(f"100.0 * {part} / NULLIF(COUNT({draft.pick(numbers)}), 0)", "number", approximate=True)


def _united(draft: Draft) -> _Select:
    """A union of two tables' columns of equal families: its rows, or aggregates over them."""
    first, second = relation(draft, draft.pick((0, 0, 0, 1))), table(draft)
    pairs = [(a, b) for a in first.items for b in second.items if a.family == b.family and _fits(a, b)]
    if not pairs:
        return _rows(draft)
    chosen = draft.random.sample(pairs, min(len(pairs), draft.random.randint(1, 3)))
    word = draft.pick(("UNION ALL", "UNION ALL", "UNION"))
    draft.note(word.lower())
    written, outside = _named([a for a, _ in chosen])
    right = ", ".join(b.sql for _, b in chosen)
    sql = (
        f"SELECT {written} FROM {first.sql}{_where(draft, first, share=0.4)} {word}"
        f" SELECT {right} FROM {second.sql}{_where(draft, second, share=0.4)}"
    )
    united = _Select(sql, outside)
    return _around(draft, united) if draft.happens(0.5) else united


def _fits(first: Item, second: Item) -> bool:
    return first.domain is not None and second.domain is not None and first.domain.type == second.domain.type


def _derived(draft: Draft) -> _Select:
    return _around(draft, draft.pick((_rows, _groups, _groups, _distinct, _windows))(draft))


def _around(draft: Draft, inner: _Select) -> _Select:
    """Aggregate, or filter, the outputs of a SELECT: as a derived table, or by WITH."""
    alias = draft.alias("d")
    items = tuple(
        Item(f"{alias}.{item.sql}", item.family, alias, item.domain, item.approximate)
        for item in inner.outputs
    )
    head = ""
    if draft.happens(0.4):
        draft.note("with")
        name = draft.alias("w")
        head, found = f"WITH {name} AS ({inner.sql}) ", Relation(f"{name} AS {alias}", items)
    else:
        draft.note("derived table")
        found = Relation(f"({inner.sql}) AS {alias}", items)
    exact = Relation(found.sql, tuple(item for item in items if not item.approximate) or items)
    where = _where(draft, exact, share=0.4)
    if draft.happens(0.7):
        outer = _grouped(draft, exact, where) if draft.happens(0.6) else _aggregated(draft, exact, [], where)
        return _Select(head + outer.sql, outer.outputs)
    written, outside = _named(items)
    return _Select(f"{head}SELECT {written} FROM {found.sql}{where}", outside)


def _windows(draft: Draft) -> _Select:
    found = relation(draft, draft.pick((0, 0, 1, 1, 2)))
    outputs = _sample(draft, found.items, 2, 4)
    partition = outputs[0].sql
    over = f"PARTITION BY {partition} " if draft.happens(0.7) else ""
    word = draft.pick(
        (
            "row_number",
            "rank",
            "rank",
            "dense_rank",
            "percent_rank",
            "running sum",
            "running count",
            "sum",
            "row_number",
        )
    )
    draft.note(f"window {word}")
    numbers = of_family(outputs, "number")
    value = draft.pick(numbers).sql if numbers else "1"
    # The numbers of equal rows are interchangeable where all outputs decide the order.
    every = ", ".join(item.sql + draft.pick(("", "", " DESC", " NULLS FIRST")) for item in outputs)
    some = draft.pick(outputs).sql + draft.pick(("", " DESC"))
    function, order = {
        "row_number": ("ROW_NUMBER()", every),
        "running sum": (f"SUM({value})", some),
        "running count": ("COUNT(*)", some),
        "sum": (f"SUM({value})", ""),
    }.get(word, (f"{word.upper()}()", some))
    window = f"{function} OVER ({over}{f'ORDER BY {order}' if order else ''})"
    written, outside = _named([*outputs, Item(window, "number", approximate=word == "percent_rank")])
    sql = f"SELECT {written} FROM {found.sql}{_where(draft, found, share=0.4)}"
    if word == "row_number" and draft.happens(0.4):
        draft.note("qualify")
        sql += f" QUALIFY o{len(outside)} <= 2"
    return _Select(sql, outside)


def _sorted(draft: Draft, select: _Select) -> tuple[str, bool]:
    """Sort by all exact outputs, or by some, or not at all; LIMIT only where the order leaves no choice."""
    exact = [item for item in select.outputs if not item.approximate]
    total = len(exact) == len(select.outputs)
    if not exact or draft.happens(0.4):
        return select.sql, False
    draft.note("order by")
    keys = draft.random.sample(exact, len(exact)) if total or draft.happens(0.5) else exact[:1]
    places = {item.sql: str(place) for place, item in enumerate(select.outputs, 1)}
    by_place = "*" not in select.sql and draft.happens(0.2)
    by = [
        (places[item.sql] if by_place else item.sql)
        + draft.pick(("", "", " ASC", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
        for item in keys
    ]
    sql = f"{select.sql} ORDER BY {', '.join(by)}"
    if total and draft.happens(0.5):
        draft.note("limit")
        sql += f" LIMIT {draft.pick((0, 1, 3, 3, 5, 10, 10))}"
        if draft.happens(0.1):
            draft.note("offset")
            sql += f" OFFSET {draft.pick((1, 2))}"
    return sql, total
