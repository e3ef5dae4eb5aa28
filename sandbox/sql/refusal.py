"""How the planner says no: a reason with the clause `sql.<construct>` and a rewrite that would pass."""

from __future__ import annotations

from records.errors import JobRefused, Reason

PLANNER = "planner"


def refusal(construct: str, wanted: str, remedy: str, limit: str = "not supported by this version") -> Reason:
    """Return the reason for refusing `construct`; no argument may hold text of the query."""
    return Reason(PLANNER, f"sql.{construct}", wanted, limit, remedy)


def refuse(construct: str, wanted: str, remedy: str) -> JobRefused:
    """Return the error that refuses `construct`; no argument may hold a value of the query."""
    return JobRefused((refusal(construct, wanted, remedy),))
