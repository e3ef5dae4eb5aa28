from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import Any, get_args

import pytest

from policies.columns import USES, ColumnUse, check_use, granted_uses
from policies.terms import ColumnTerms
from policies.vocabulary import Function, Reveal, Role
from tests.unit.policies.factories import terms

ROLES: tuple[Role, ...] = get_args(Role)
LEVELS: tuple[Reveal, ...] = get_args(Reveal)


def subsets(items: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def column(**fields: Any) -> ColumnTerms:
    # Without validation: the table must be right even for combinations that `parse` refuses.
    return ColumnTerms.model_construct(**fields)


def expected(reveal: tuple[str, ...], roles: tuple[str, ...], functions: tuple[str, ...]) -> set[str]:
    """The lattice written a second time, use by use, as sentences."""

    def serves(role: str) -> bool:
        return not roles or role in roles

    plain = "plain" in reveal
    permitted = {
        "output": plain,
        "group": serves("group") and (plain or "after-group-by" in reveal),
        "filter": "filter" in roles or (not roles and plain),
        "order": "order" in roles or (not roles and plain),
        "join": "join" in roles or (not roles and (plain or "after-join" in reveal)),
    }
    for function in get_args(Function):
        permitted[f"aggregate:{function}"] = plain or ("after-aggregate" in reveal and function in functions)
    return {use for use, passes in permitted.items() if passes}


def test_the_whole_table_of_levels_roles_functions_and_uses() -> None:
    for reveal in subsets(LEVELS):
        for roles in subsets(ROLES):
            for functions in ((), ("sum",), ("avg", "count")):
                granted = granted_uses(column(reveal=reveal, roles=roles, functions=functions))
                assert set(granted) == expected(reveal, roles, functions), (reveal, roles, functions)


def test_each_use_is_granted_by_something_and_refused_by_something() -> None:
    everything = column(reveal=("plain",), roles=(), functions=())
    assert granted_uses(everything) == tuple(USES)
    assert granted_uses(ColumnTerms()) == ()


@pytest.mark.parametrize(
    ("name", "use", "clause"),
    [
        ("carrier", "group", None),
        ("carrier", "filter", None),
        ("carrier", "join", "columns.carrier.roles"),
        ("carrier", "order", "columns.carrier.roles"),
        ("carrier", "output", "columns.carrier.reveal"),
        ("carrier", "aggregate:count", "columns.carrier.reveal"),
        ("dep_delay", "aggregate:avg", None),
        ("dep_delay", "aggregate:max", "columns.dep_delay.functions"),
        ("dep_delay", "output", "columns.dep_delay.reveal"),
        ("dep_delay", "group", "columns.dep_delay.reveal"),
        ("dep_delay", "filter", "columns.dep_delay.reveal"),
        ("tailnum", "join", None),
        ("tailnum", "group", "columns.tailnum.roles"),
        ("tailnum", "filter", "columns.tailnum.roles"),
        ("tailnum", "output", "columns.tailnum.reveal"),
        ("origin", "output", None),
        ("origin", "aggregate:quantile", None),
        ("unlisted", "filter", "columns.unlisted.reveal"),
        ("origin", "peek", "columns.origin"),
        ("origin", "aggregate:", "columns.origin"),
    ],
)
def test_the_designs_columns(name: str, use: str, clause: str | None) -> None:
    reason = check_use(terms(), ColumnUse(name, use))
    assert (reason.clause if reason else None) == clause


def test_a_reason_says_what_would_pass() -> None:
    reason = check_use(terms(), ColumnUse("dep_delay", "aggregate:max"))
    assert reason is not None
    assert (reason.provider, reason.wanted, reason.limit) == (
        "skyline",
        "aggregate:max",
        "avg, count, sum, var",
    )
    for use in reason.remedy.removeprefix("this column may be used as ").split(", "):
        assert check_use(terms(), ColumnUse("dep_delay", use)) is None
    hidden = check_use(terms(), ColumnUse("unlisted", "output"))
    assert hidden is not None
    assert hidden.remedy == "leave the column out"
