"""The disclosure calculus: which use of a column its terms permit, after what has been done to the column.

`sandbox/sql` walks a query and lists, for each output, filter, join, group and order, every column that it
depends on, with the transformations passed on the way (`TRANSFER`). This module judges each of them by the
terms of the column's own provider. `COUNT(*)` reads no column and is no column use.

The levels are those of SCQL's column control (SecretFlow SCQL 0.9.4b1, docs/topics/ccl/intro.rst). There an
expression has one level: parameters of two levels make it UNKNOWN, and UNKNOWN is refused. Here an
expression has no level. It passes if each column in it passes by itself, and a filter is a use of the
columns it reads, which lowers no other. That is sound: what is shown depends on the listed columns alone,
each of their providers has granted the way by which it is shown, and no grant says anything of columns
beside it. It also allows several grants per column, of which any one suffices. What several jobs show
together is not judged here, nor there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from policies.terms import ColumnTerms, Terms
from policies.vocabulary import Function, Reveal, Role
from records.errors import Reason

AGGREGATE = "aggregate:"


@dataclass(frozen=True, slots=True, order=True)
class ColumnUse:
    """One use that a query makes of a column of `product`.

    `use` is where information about it goes, a key of `USES`. `after` are the transformations that the value
    has passed on its way there, keys of `TRANSFER`, sorted; their order is of no consequence.
    """

    product: str
    column: str
    use: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """What a use is and what permits it, besides `plain`, which permits every use.

    `role`: the role it is; where a column's terms list roles, it must be among them. `role_suffices`:
    listing the role permits the use whatever the level, because no value of the column is shown by it.
    `reveal`: the level that could never be used otherwise.
    """

    meaning: str
    role: Role | None = None
    role_suffices: bool = False
    reveal: Reveal | None = None


@dataclass(frozen=True, slots=True)
class Transformation:
    """What is left of a value, and the level that grants it; a `function` must be listed as well."""

    meaning: str
    reveal: Reveal
    function: Function | None = None


USES: Mapping[str, Use] = {
    "output": Use("a value made from it is shown to the buyer"),
    "filter": Use("it decides which rows count: WHERE, HAVING, CASE, FILTER", "filter", role_suffices=True),
    "join": Use(
        "it is matched with a column of another table", "join", role_suffices=True, reveal="after-join"
    ),
    "group": Use(
        "it forms groups: GROUP BY, DISTINCT, UNION, PARTITION BY", "group", reveal="after-group-by"
    ),
    "order": Use("it chooses or places rows: ORDER BY with LIMIT, windows", "order", role_suffices=True),
}
"""Every use there is. What is not listed is refused."""

TRANSFER: Mapping[str, Transformation] = {
    "join": Transformation("it is the key of an inner join or semi-join", "after-join"),
    "join-payload": Transformation("its row had to match a row of another provider", "join-payload"),
    "group": Transformation("one value is left for each group of it", "after-group-by"),
    "compare": Transformation("only the truth of a comparison is left", "after-compare"),
    "rank": Transformation("only a rank is left", "rank"),
    **{
        AGGREGATE + name: Transformation(f"it is inside {name.upper()}", "after-aggregate", name)
        for name in get_args(Function)
    },
}
"""The transfer table: every transformation there is, with the level that grants what it leaves."""

_WAYS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "show it": ("output", ()),
    "show only a comparison with it": ("output", ("compare",)),
    "show only its rank": ("output", ("rank",)),
    "show it beside the key of a join": ("output", ("join-payload",)),
    "filter by it": ("filter", ()),
    "filter only by a comparison with it": ("filter", ("compare",)),
    "join on it": ("join", ("join",)),
    "group by it": ("group", ("group",)),
    "order by it": ("order", ()),
    "order only by its rank": ("order", ("rank",)),
}
"""What a reason may advise, in words: use and transformations. Aggregates are advised in one sentence."""


def check_use(terms: Terms, use: ColumnUse) -> Reason | None:
    """Return why `terms`, those of the product that `use` names, refuse it, or None if they permit it.

    An unknown use or transformation is refused, whatever the terms say.
    """
    column = terms.column(use.column)
    clause, wanted = f"columns.{use.column}", " after ".join([use.use, *use.after])
    if not _is_known(use):
        words = ", ".join([*USES, *TRANSFER])
        return terms.reason(clause, wanted=wanted, limit=words, remedy="use the column in one of these ways")
    field = _refusing_field(column, use)
    if field is None:
        return None
    return terms.reason(
        f"{clause}.{field}",
        wanted=wanted,
        limit=", ".join(getattr(column, field)) or "none",
        remedy=" or ".join(_permitted_ways(column, use)) or "leave the column out",
    )


def permits(column: ColumnTerms, use: ColumnUse) -> bool:
    """Tell whether the terms of the column that `use` names permit it."""
    return _is_known(use) and _refusing_field(column, use) is None


def _is_known(use: ColumnUse) -> bool:
    return use.use in USES and TRANSFER.keys() >= set(use.after)


def _refusing_field(column: ColumnTerms, use: ColumnUse) -> str | None:
    """Return the field of the column's terms that refuses: `roles`, `functions`, `reveal`, or None."""
    kind = USES[use.use]
    if kind.role is not None and column.roles:
        if kind.role not in column.roles:
            return "roles"
        if kind.role_suffices:
            return None
    if "plain" in column.reveal or kind.reveal in column.reveal:
        return None
    granted = [TRANSFER[word] for word in use.after if TRANSFER[word].reveal in column.reveal]
    if any(passed.function is None or passed.function in column.functions for passed in granted):
        return None
    return "functions" if granted else "reveal"


def _permitted_ways(column: ColumnTerms, refused: ColumnUse) -> Iterator[str]:
    """Yield what `column` permits in place of `refused`, in words, what is most like it first."""
    aggregates = [name for name in get_args(Function) if _passes(column, "output", (AGGREGATE + name,))]
    if aggregates and not _passes(column, "output", ()):
        yield f"aggregate it with {' or '.join(name.upper() for name in aggregates)}"
    ways = sorted(_WAYS.items(), key=lambda way: way[1][0] != refused.use)
    for words, (use, after) in ways:
        # A way with a transformation is no advice where the way without it passes too.
        shorter = after and (use, ()) in _WAYS.values() and _passes(column, use, ())
        if _passes(column, use, after) and not shorter:
            yield words


def _passes(column: ColumnTerms, use: str, after: tuple[str, ...]) -> bool:
    return permits(column, ColumnUse("", "", use, after))
