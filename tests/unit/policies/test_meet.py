from __future__ import annotations

from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.meet import ReleaseRules, meet, release_rules
from policies.vocabulary import Differencing, Grade, LeakId, Technique
from records.errors import MalformedDocument
from tests.unit.policies.factories import terms

RULES = st.builds(
    ReleaseRules,
    grade=st.sampled_from(get_args(Grade)),
    min_units=st.sampled_from([0, 3, 5, 10]),
    units_disjoint=st.booleans(),
    max_rows=st.integers(1, 9),
    differencing=st.sampled_from(get_args(Differencing)),
    techniques=st.frozensets(st.sampled_from(get_args(Technique))),
    leaks=st.frozensets(st.sampled_from(get_args(LeakId)), max_size=3),
)


def stricter_in_every_knob(one: ReleaseRules, other: ReleaseRules) -> bool:
    """The order of the lattice knob by knob, written without the meet."""
    grades, differencing = get_args(Grade), get_args(Differencing)
    return (
        grades.index(one.grade) >= grades.index(other.grade)
        and one.min_units >= other.min_units
        and one.units_disjoint <= other.units_disjoint
        and one.max_rows <= other.max_rows
        and differencing.index(one.differencing) >= differencing.index(other.differencing)
        and one.techniques <= other.techniques
        and one.leaks <= other.leaks
    )


@given(RULES, RULES, RULES)
def test_the_meet_is_associative_commutative_and_idempotent(
    a: ReleaseRules, b: ReleaseRules, c: ReleaseRules
) -> None:
    assert (a & b) & c == a & (b & c)
    assert a & b == b & a
    assert a & a == a


@given(RULES, RULES, RULES)
def test_the_meet_is_the_greatest_lower_bound(a: ReleaseRules, b: ReleaseRules, c: ReleaseRules) -> None:
    assert stricter_in_every_knob(a & b, a)
    assert stricter_in_every_knob(a & b, b)
    if stricter_in_every_knob(c, a) and stricter_in_every_knob(c, b):
        assert stricter_in_every_knob(c, a & b)
    assert a.is_as_strict_as(b) == stricter_in_every_knob(a, b)


@given(RULES, RULES, RULES)
def test_the_meet_is_monotone(a: ReleaseRules, b: ReleaseRules, c: ReleaseRules) -> None:
    tighter = a & c
    assert stricter_in_every_knob(tighter & b, a & b)


@given(RULES, RULES, st.lists(st.integers(0, 25), max_size=5), st.integers(0, 12))
def test_what_the_meet_releases_each_provider_would_release(
    a: ReleaseRules, b: ReleaseRules, units: list[int], rows: int
) -> None:
    both = a & b
    for own in (a, b):
        assert not both.group_rule.holds(units) or own.group_rule.holds(units)
        assert not both.value_rule.holds(units) or own.value_rule.holds(units)
        assert not both.size_rule.holds(rows) or own.size_rule.holds(rows)


def test_the_strictest_of_three_terms_wins_in_any_order() -> None:
    three = (
        terms(release={"min_units": 20, "max_rows": 900}, techniques=["local", "secret-sharing"]),
        terms(grade="important", leaks=["row-count", "group-count"]),
        terms(unit="tailnum", release={"min_units": 5, "max_rows": 100}),
    )
    for order in permutations(three):
        rules = meet(order)
        assert (rules.grade, rules.min_units, rules.max_rows) == ("important", 20, 100)
        assert rules.techniques == {"local", "secret-sharing"}
        assert rules.leaks == {"row-count"}
        assert not rules.units_disjoint


def test_terms_without_a_unit_are_neutral_for_unit_rules() -> None:
    weather = terms(unit={"none": "weather"}, release={"min_units": 1})
    assert release_rules(weather).min_units == 0
    flights = meet([weather, terms()])
    assert (flights.min_units, flights.units_disjoint) == (10, True)


def test_a_job_without_products_has_no_rules() -> None:
    with pytest.raises(MalformedDocument, match="at least one product"):
        meet([])
