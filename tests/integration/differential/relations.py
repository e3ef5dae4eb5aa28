# ruff: noqa: S608 - queries are what these tests make
"""Random relations: tables, collections and joins of them in FROM, and sub-queries in conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.sql.catalogue import family
from tests.integration.differential.expressions import COMPARISONS, Draft, Item, number, of_family, truth
from tests.integration.differential.schemas import KEY_NAMES

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_INNER = ("JOIN", "JOIN", "JOIN", "INNER JOIN")
_KINDS: tuple[str, ...] = (*_INNER, "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
_LIKELY_KINDS: dict[tuple[bool, bool], tuple[str, ...]] = {
    (True, True): _KINDS,
    (False, True): (*_INNER, "LEFT JOIN", "LEFT JOIN"),
    (True, False): (*_INNER, "RIGHT JOIN", "RIGHT JOIN"),
    (False, False): _INNER,
}
"""By whether one row of the left side, and of the right side, has a value."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What stands after FROM, the columns that it brings into scope, and conditions that belong in WHERE."""

    sql: str
    items: tuple[Item, ...]
    conditions: tuple[str, ...] = ()


def quoted(name: str) -> str:
    """Return the name of a column as it must be written."""
    return name if _PLAIN_NAME.fullmatch(name) and name != "rank" else f'"{name}"'


def table(draft: Draft, source: str | None = None) -> Relation:
    """Return a product or collection under an alias."""
    name = source or draft.pick(draft.market.sources)
    draft.note("collection" if name in draft.market.collections else "product")
    alias = draft.alias()
    prefix = f"{alias}." if draft.happens(0.9) else ""
    items = tuple(
        Item(
            prefix + _spelt(draft, quoted(field.name)),
            family(field.type),
            alias,
            field.domain,
            most=_most([member.most(field.name) for member in draft.market.members(name)]),
        )
        for field in draft.market.members(name)[0].fields
    )
    return Relation(f"{name} {draft.pick(('', 'AS '))}{alias}", items)


def _most(members: Sequence[int | None]) -> int | None:
    known = [most for most in members if most is not None]
    return sum(known) if len(known) == len(members) else None


def _spelt(draft: Draft, name: str) -> str:
    return draft.pick((name.upper(), name.lower())) if name.isascii() and draft.happens(0.1) else name


def relation(draft: Draft, joins: int) -> Relation:
    """Return a table joined with `joins` others by columns of common domains, as far as there are such."""
    whole = table(draft)
    done = 0
    for _ in range(joins):
        other = _partner(draft, whole)
        if other is not None:
            whole, done = _joined(draft, whole, other), done + 1
    if done > 1:
        draft.note(f"join of {done + 1}")
    return whole


def subquery_condition(draft: Draft, items: Sequence[Item]) -> str | None:
    """Return a condition with a sub-query over a table that shares a domain with `items`, if one does."""
    outer = [item for item in items if item.domain is not None]
    inner = table(draft)
    pairs = _pairs(outer, inner.items)
    if not pairs:
        return None
    left, right = draft.pick(pairs)
    extra = f" AND {truth(draft, inner.items, 1)}" if draft.happens(0.4) else ""
    match draft.pick(
        ("in", "in", "not in", "exists", "exists", "not exists", "scalar", "scalar", "correlated")
    ):
        case "in":
            draft.note("in sub-query")
            more = [pair for pair in pairs if pair[1] != right and pair[0] != left]
            if more and draft.happens(0.3):
                draft.note("in by two columns")
                also, theirs = draft.pick(more)
                return f"({left.sql}, {also.sql}) IN (SELECT {right.sql}, {theirs.sql} FROM {inner.sql})"
            return f"{left.sql} IN (SELECT {right.sql} FROM {inner.sql}{extra.replace(' AND', ' WHERE', 1)})"
        case "not in":
            draft.note("not in sub-query")
            known = f" WHERE {right.sql} IS NOT NULL" if draft.happens(0.6) else ""
            return f"{left.sql} NOT IN (SELECT {right.sql} FROM {inner.sql}{known})"
        case "exists" | "not exists" as word:
            draft.note(word)
            what = draft.pick(("*", "1", right.sql))
            alike = [pair for pair in pairs if pair[1] != right]
            if alike and draft.happens(0.2):
                draft.note("exists with inequality")
                extra += " AND {1.sql} <> {0.sql}".format(*draft.pick(alike))
            return f"{word.upper()} (SELECT {what} FROM {inner.sql} WHERE {right.sql} = {left.sql}{extra})"
        case "scalar":
            draft.note("scalar sub-query")
            value, bound = _extreme(draft, inner)
            where = extra.replace(" AND", " WHERE", 1)
            return f"{number(draft, items, 0)} {value} (SELECT {bound} FROM {inner.sql}{where})"
    draft.note("correlated sub-query")
    value, bound = _extreme(draft, inner)
    return (
        f"{number(draft, items, 0)} {value}"
        f" (SELECT {bound} FROM {inner.sql} WHERE {right.sql} = {left.sql}{extra})"
    )


def scalar_subquery(draft: Draft, items: Sequence[Item]) -> str:
    """Return a sub-query of one number: of a whole table, or of its rows that match `items`."""
    inner = table(draft)
    _, bound = _extreme(draft, inner)
    pairs = _pairs(items, inner.items)
    if not pairs or draft.happens(0.5):
        draft.note("scalar sub-query")
        return f"(SELECT {bound} FROM {inner.sql})"
    draft.note("correlated sub-query")
    left, right = draft.pick(pairs)
    return f"(SELECT {bound} FROM {inner.sql} WHERE {right.sql} = {left.sql})"


def _extreme(draft: Draft, inner: Relation) -> tuple[str, str]:
    """Return an operator and one aggregate of the sub-query's numbers."""
    value = number(draft, of_family(inner.items, "number"), 0)
    function = draft.pick(("AVG", "SUM", "MIN", "MAX", "COUNT"))
    return draft.pick(COMPARISONS), f"{function}({value})"


def _pairs(left: Sequence[Item], right: Sequence[Item]) -> list[tuple[Item, Item]]:
    return [(a, b) for a in left for b in right if a.domain is not None and a.domain == b.domain]


def _partner(draft: Draft, whole: Relation) -> Relation | None:
    """Return a table that shares a domain with `whole`; rather one of which the domain is a key."""
    for _ in range(6):
        source = draft.pick(draft.market.sources)
        members = draft.market.members(source)
        if not any(member.keys for member in members) and draft.happens(0.6):
            continue
        other = table(draft, source)
        if _pairs(whole.items, other.items):
            return other
    return None


def _joined(draft: Draft, whole: Relation, other: Relation) -> Relation:
    pairs = _pairs(whole.items, other.items)
    bounded = [pair for pair in pairs if pair[1].most is not None]
    unique = [pair for pair in bounded if pair[1].most == 1]
    if unique and draft.happens(0.6):
        pairs = unique
    elif bounded and draft.happens(0.9):
        pairs = bounded
    left, right = draft.pick(pairs)
    chosen = [(left, right)]
    if draft.happens(0.2):
        more = [pair for pair in pairs if pair[1] != right and pair[0] != left]
        chosen += [draft.pick(more)] if more else []
    if len(chosen) > 1:
        draft.note("join by two columns")
    equalities = [f"{a.sql} = {b.sql}" if draft.happens(0.7) else f"{b.sql} = {a.sql}" for a, b in chosen]
    items = (*whole.items, *other.items)
    if draft.happens(0.1):
        draft.note("comma join")
        return Relation(f"{whole.sql}, {other.sql}", items, (*whole.conditions, *equalities))
    kinds = _KINDS
    if draft.happens(0.9):  # an outer join over several providers wants one row to match
        alone = len({item.owner for item in whole.items}) == 1
        kinds = _LIKELY_KINDS[alone and left.most == 1, right.most == 1]
    kind = draft.pick(kinds)
    draft.note(f"{kind.partition(' ')[0].lower().replace('join', 'inner')} join")
    names = [a.name for a, _ in chosen]
    if _are_common(whole, chosen, names) and draft.happens(0.5):
        draft.note("using")
        return Relation(f"{whole.sql} {kind} {other.sql} USING ({', '.join(names)})", items, whole.conditions)
    on = " AND ".join(equalities)
    if kind == "LEFT JOIN" and draft.happens(0.15):
        draft.note("anti join by is null")
        conditions = (*whole.conditions, f"{right.sql} IS NULL")
        return Relation(f"{whole.sql} {kind} {other.sql} ON {on}", items, conditions)
    if draft.happens(0.2):
        draft.note("condition in on")
        on += f" AND {truth(draft, draft.pick((whole.items, other.items, items)), 0)}"
    return Relation(f"{whole.sql} {kind} {other.sql} ON {on}", items, whole.conditions)


def _are_common(whole: Relation, chosen: Sequence[tuple[Item, Item]], names: Sequence[str]) -> bool:
    """Tell whether USING can name the pairs: one name on both sides, and on the left only once."""
    on_left = [item.name for item in whole.items]
    return "," not in whole.sql and all(
        b.name == name and on_left.count(name) == 1 and name in KEY_NAMES
        for (_, b), name in zip(chosen, names, strict=True)
    )
