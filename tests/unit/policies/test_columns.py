from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, combinations, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.columns import TRANSFER, USES, ColumnUse, check_use, permits
from policies.terms import ColumnTerms
from policies.vocabulary import Function, Reveal, Role
from tests.unit.policies.factories import flights, terms

ROLES: tuple[Role, ...] = get_args(Role)
LEVELS: tuple[Reveal, ...] = get_args(Reveal)
FUNCTIONS: tuple[Function, ...] = get_args(Function)
WORDS = tuple(TRANSFER)

Items = tuple[Any, ...]

REVEALS = st.sets(st.sampled_from(LEVELS)).map(tuple)
LISTED_ROLES = st.sets(st.sampled_from(ROLES)).map(tuple)
LISTED_FUNCTIONS = st.sets(st.sampled_from(FUNCTIONS)).map(tuple)
USED = st.builds(
    ColumnUse,
    st.just("a.b"),
    st.just("c"),
    st.sampled_from(tuple(USES)),
    st.sets(st.sampled_from(WORDS)).map(lambda words: tuple(sorted(words))),
)


def subsets(items: Items) -> Iterator[Items]:
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def column(reveal: Items, roles: Items = (), functions: Items = ()) -> ColumnTerms:
    # Without validation: the table must be right even for combinations that `parse` refuses.
    return ColumnTerms.model_construct(reveal=reveal, roles=roles, functions=functions)


def used(use: str, *after: str) -> ColumnUse:
    return ColumnUse("a.b", "c", use, after)


def expected(reveal: Items, roles: Items, functions: Items, use: str, after: Items) -> bool:
    """The calculus written a second time, as sentences about one use."""
    if use != "output" and roles and use not in roles:
        return False
    if use in ("filter", "join", "order") and use in roles:
        return True
    return any(
        (
            "plain" in reveal,
            "after-join" in reveal and (use == "join" or "join" in after),
            "after-group-by" in reveal and (use == "group" or "group" in after),
            "join-payload" in reveal and "join-payload" in after,
            "after-compare" in reveal and "compare" in after,
            "rank" in reveal and "rank" in after,
            "after-aggregate" in reveal and any(f"aggregate:{name}" in after for name in functions),
        )
    )


def test_the_whole_table_of_levels_roles_functions_uses_and_transformations() -> None:
    afters = [(), *((word,) for word in WORDS), ("aggregate:max", "compare"), ("aggregate:sum", "group")]
    uses = [used(use, *after) for use, after in product(USES, afters)]
    for reveal, roles in product(subsets(LEVELS), subsets(("filter", "join", "group", "order"))):
        for functions in ((), ("sum",), ("avg", "count")):
            terms_of_column = column(reveal, roles, functions)
            for use in uses:
                wanted = expected(reveal, roles, functions, use.use, use.after)
                assert permits(terms_of_column, use) == wanted, (reveal, roles, functions, use)


@given(REVEALS, LISTED_ROLES, LISTED_FUNCTIONS, USED)
def test_any_set_of_transformations(reveal: Items, roles: Items, functions: Items, use: ColumnUse) -> None:
    assert permits(column(reveal, roles, functions), use) == expected(
        reveal, roles, functions, use.use, use.after
    )


@given(REVEALS, LISTED_ROLES, LISTED_FUNCTIONS, USED, st.sampled_from(LEVELS), st.sampled_from(FUNCTIONS))
def test_a_further_grant_never_refuses_more(
    reveal: Items, roles: Items, functions: Items, use: ColumnUse, level: Reveal, function: Function
) -> None:
    more = [
        column((*reveal, level), roles, functions),
        column(reveal, roles, (*functions, function)),
        # Roles are a list of what the column serves as: the first one narrows, every other one widens.
        *(column(reveal, (*roles, role), functions) for role in ROLES if roles),
    ]
    if permits(column(reveal, roles, functions), use):
        assert all(permits(wider, use) for wider in more)


@given(REVEALS, LISTED_ROLES, LISTED_FUNCTIONS, USED, st.sampled_from(WORDS))
def test_a_further_transformation_never_refuses_more(
    reveal: Items, roles: Items, functions: Items, use: ColumnUse, word: str
) -> None:
    granted = column(reveal, roles, functions)
    assert permits(granted, used(use.use, *use.after, word)) >= permits(granted, use)


@pytest.mark.parametrize(
    "use",
    [
        used("peek"),
        used("aggregate:sum"),
        used("output", "aggregate:"),
        used("output", "sum", "aggregate:sum"),
        used("output", "Group"),
        used("filter", "encrypt"),
    ],
)
def test_unknown_words_are_refused_whatever_is_granted(use: ColumnUse) -> None:
    everything = terms(columns={"*": {"reveal": ["plain"]}})
    assert not permits(everything.column("c"), use)
    reason = check_use(everything, use)
    assert reason is not None
    assert reason.clause == "columns.c"
    # Control: with known words alone the same column may be used.
    known = tuple(word for word in use.after if word in TRANSFER)
    assert permits(everything.column("c"), used("output", *known))


def test_each_level_grants_something_that_no_other_does_except_plain_and_never() -> None:
    uses = [used(use, *after) for use, after in product(USES, [(), *((word,) for word in WORDS)])]
    granted = {
        level: {use for use in uses if permits(column((level,), (), FUNCTIONS), use)} for level in LEVELS
    }
    assert granted["plain"] == set(uses)
    assert granted["never"] == set()
    partial = [level for level in LEVELS if level not in ("plain", "never")]
    for level in partial:
        others = set().union(*(granted[other] for other in partial if other != level))
        assert granted[level] - others


SCQL = {
    "PLAINTEXT": column(("plain",)),
    "PLAINTEXT_AFTER_JOIN": column(("after-join",)),
    "PLAINTEXT_AS_JOIN_PAYLOAD": column(("join-payload",)),
    "PLAINTEXT_AFTER_GROUP_BY": column(("after-group-by",)),
    "PLAINTEXT_AFTER_AGGREGATE": column(("after-aggregate",), functions=FUNCTIONS),
    "PLAINTEXT_AFTER_COMPARE": column(("after-compare",)),
    "ENCRYPTED_ONLY": column(("never",)),
}


@pytest.mark.parametrize(
    ("after", "lifted"),
    [
        ((), set()),
        (("join",), {"PLAINTEXT_AFTER_JOIN"}),
        (("join-payload",), {"PLAINTEXT_AS_JOIN_PAYLOAD"}),
        (("group",), {"PLAINTEXT_AFTER_GROUP_BY"}),
        (("aggregate:sum",), {"PLAINTEXT_AFTER_AGGREGATE"}),
        (("aggregate:count",), {"PLAINTEXT_AFTER_AGGREGATE"}),
        (("compare",), {"PLAINTEXT_AFTER_COMPARE"}),
        (("aggregate:max", "group"), {"PLAINTEXT_AFTER_AGGREGATE", "PLAINTEXT_AFTER_GROUP_BY"}),
    ],
)
def test_what_scql_shows_of_one_column(after: Items, lifted: set[str]) -> None:
    """SCQL 0.9.4b1, docs/topics/ccl/intro.rst, "Specific Operators Derivation": the operator lifts its level.

    In the last row SCQL judges step by step, so that MAX over a group key needs the level of the first step;
    here either is enough.
    """
    shown = {level for level, granted in SCQL.items() if permits(granted, used("output", *after))}
    assert shown == lifted | {"PLAINTEXT"}


def test_two_levels_in_one_expression_pass_where_each_column_passes_and_scql_says_unknown() -> None:
    """`ccl_test.go`: LookUpVis(Compare, Join) is Unknown, so refused; here each column is judged alone."""
    declared = terms(
        columns={
            "compared": {"reveal": ["after-compare"]},
            "key": {"reveal": ["after-join"]},
            "hidden": {"reveal": ["never"]},
        }
    )
    # SELECT key < compared … JOIN … USING (key)
    assert check_use(declared, flights("key", "output", "compare", "join")) is None
    assert check_use(declared, flights("compared", "output", "compare")) is None
    # Beside them, what is hidden stays refused: SCQL's ENCRYPTED_ONLY absorbs, with the same effect.
    assert check_use(declared, flights("hidden", "output", "compare")) is not None


@pytest.mark.parametrize(
    ("use", "clause"),
    [
        (flights("carrier", "group"), None),
        (flights("carrier", "output", "group"), None),
        (flights("carrier", "filter"), None),
        (flights("carrier", "join"), "columns.carrier.roles"),
        (flights("carrier", "order"), "columns.carrier.roles"),
        (flights("carrier", "output"), "columns.carrier.reveal"),
        (flights("carrier", "output", "aggregate:count"), "columns.carrier.reveal"),
        (flights("dep_delay", "output", "aggregate:avg"), None),
        (flights("DEP_DELAY", "output", "aggregate:avg"), None),
        (flights("dep_delay", "filter", "aggregate:avg"), None),
        (flights("dep_delay", "output", "aggregate:max"), "columns.dep_delay.functions"),
        (flights("dep_delay", "output"), "columns.dep_delay.reveal"),
        (flights("dep_delay", "group"), "columns.dep_delay.reveal"),
        (flights("dep_delay", "filter"), "columns.dep_delay.reveal"),
        (flights("dep_delay", "filter", "compare"), "columns.dep_delay.reveal"),
        (flights("tailnum", "join"), None),
        (flights("TailNum", "join", "join"), None),
        (flights("tailnum", "output", "join"), "columns.tailnum.reveal"),
        (flights("tailnum", "group"), "columns.tailnum.roles"),
        (flights("tailnum", "filter"), "columns.tailnum.roles"),
        (flights("origin", "output"), None),
        (flights("origin", "output", "aggregate:quantile"), None),
        (flights("unlisted", "filter"), "columns.unlisted.reveal"),
    ],
)
def test_the_designs_columns(use: ColumnUse, clause: str | None) -> None:
    reason = check_use(terms(), use)
    assert (reason.clause if reason else None) == clause


@pytest.mark.parametrize(
    ("fields", "use", "remedy"),
    [
        (
            {"reveal": ["after-aggregate"], "functions": ["sum", "avg"]},
            used("output"),
            "aggregate it with SUM or AVG",
        ),
        ({"reveal": ["after-group-by"]}, used("output"), "group by it"),
        ({"reveal": ["after-compare"]}, used("output"), "show only a comparison with it"),
        ({"reveal": ["after-compare"]}, used("filter"), "filter only by a comparison with it"),
        ({"reveal": ["after-join"]}, used("output"), "join on it"),
        ({"reveal": ["join-payload"]}, used("output"), "show it beside the key of a join"),
        ({"reveal": ["rank"]}, used("order"), "order only by its rank"),
        ({"reveal": ["never"], "roles": ["filter"]}, used("output"), "filter by it"),
        ({"reveal": ["plain"], "roles": ["group"]}, used("filter"), "show it or group by it"),
        ({"reveal": ["never"]}, used("output"), "leave the column out"),
    ],
)
def test_a_reason_says_what_would_pass(fields: dict[str, Any], use: ColumnUse, remedy: str) -> None:
    reason = check_use(terms(columns={"c": fields}), use)
    assert reason is not None
    assert remedy in reason.remedy


def test_a_reason_names_provider_wish_and_limit() -> None:
    reason = check_use(terms(), flights("dep_delay", "output", "aggregate:max"))
    assert reason is not None
    assert (reason.provider, reason.wanted, reason.limit, reason.remedy) == (
        "skyline",
        "output after aggregate:max",
        "avg, count, sum, var",
        "aggregate it with COUNT or SUM or AVG or VAR",
    )


ADVICE = {
    "show it": used("output"),
    "show only a comparison with it": used("output", "compare"),
    "show only its rank": used("output", "rank"),
    "show it beside the key of a join": used("output", "join-payload"),
    "filter by it": used("filter"),
    "filter only by a comparison with it": used("filter", "compare"),
    "join on it": used("join", "join"),
    "group by it": used("group"),
    "order by it": used("order"),
    "order only by its rank": used("order", "rank"),
}


def advised(remedy: str) -> Iterator[ColumnUse]:
    aggregates = re.match(r"aggregate it with ([A-Z]+(?: or [A-Z]+)*)(?: or )?", remedy)
    if aggregates:
        yield from (used("output", f"aggregate:{name.lower()}") for name in aggregates[1].split(" or "))
        remedy = remedy[aggregates.end() :]
    yield from (ADVICE[words] for words in remedy.split(" or ") if words)


@given(REVEALS, LISTED_ROLES, LISTED_FUNCTIONS, USED)
def test_every_advice_passes_and_none_is_kept_back(
    reveal: Items, roles: Items, functions: Items, use: ColumnUse
) -> None:
    granted = column(reveal, roles, functions)
    reason = check_use(terms().model_copy(update={"columns": {"c": granted}}), use)
    assert (reason is None) == permits(granted, use)
    if reason is None:
        return
    if reason.remedy == "leave the column out":
        assert not any(permits(granted, way) for way in ADVICE.values())
    else:
        assert all(permits(granted, way) for way in advised(reason.remedy))
