"""The disclosure lattice: which use of a column its terms permit.

After SCQL's column control (SecretFlow SCQL 0.9.4b1, docs/topics/ccl/intro.rst), with roles and functions
beside the levels. `COUNT(*)` reads no column and is no column use. This module judges one use of one column
of one product; `sandbox/sql` walks the query and says which uses it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from policies.terms import ColumnTerms, Terms
from policies.vocabulary import Function, Reveal, Role
from records.errors import Reason

AGGREGATE = "aggregate:"


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One use that a query makes of a column: a key of `USES`."""

    column: str
    use: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What a use needs. `reveals`: levels that permit it by themselves. `role`: the role it is.

    Where a column's terms list roles, a use that is a role must be among them. `role_suffices`: listing
    the role permits the use whatever the level, because nothing of the column is shown by it. `function`:
    the aggregate that `after-aggregate` permits when `functions` lists it.
    """

    reveals: frozenset[Reveal]
    role: Role | None = None
    role_suffices: bool = False
    function: Function | None = None


USES: Mapping[str, Needs] = {
    "output": Needs(frozenset({"plain"})),
    "group": Needs(frozenset({"plain", "after-group-by"}), role="group"),
    "filter": Needs(frozenset({"plain"}), role="filter", role_suffices=True),
    "order": Needs(frozenset({"plain"}), role="order", role_suffices=True),
    "join": Needs(frozenset({"plain", "after-join"}), role="join", role_suffices=True),
    **{AGGREGATE + name: Needs(frozenset({"plain"}), function=name) for name in get_args(Function)},
}
"""The transfer table: every use there is. What is not listed is refused."""


def check_use(terms: Terms, use: ColumnUse) -> Reason | None:
    """Return why `terms` refuse `use`, or None if they permit it."""
    column = terms.column(use.column)
    needs = USES.get(use.use)
    if needs is None:
        return terms.reason(
            f"columns.{use.column}",
            wanted=use.use,
            limit=", ".join(USES),
            remedy="use the column in one of these ways",
        )
    field = _refusing_field(column, needs)
    if field is None:
        return None
    granted = granted_uses(column)
    return terms.reason(
        f"columns.{use.column}.{field}",
        wanted=use.use,
        limit=", ".join(getattr(column, field)) or "none",
        remedy=f"this column may be used as {', '.join(granted)}" if granted else "leave the column out",
    )


def granted_uses(column: ColumnTerms) -> tuple[str, ...]:
    """Return every use that `column` permits, in the order of `USES`."""
    return tuple(name for name, needs in USES.items() if _refusing_field(column, needs) is None)


def _refusing_field(column: ColumnTerms, needs: Needs) -> str | None:
    """Return the field of the column's terms that refuses: `roles`, `functions`, `reveal`, or None."""
    if needs.role is not None and column.roles:
        if needs.role not in column.roles:
            return "roles"
        if needs.role_suffices:
            return None
    if needs.reveals.intersection(column.reveal):
        return None
    if needs.function is not None and "after-aggregate" in column.reveal:
        return None if needs.function in column.functions else "functions"
    return "reveal"
