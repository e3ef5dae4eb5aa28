from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.disclosure import WITHHELD, MaxRows, MinUnits, ValueCount

UNITS = st.lists(st.integers(0, 30), max_size=6)


def by_definition(units: tuple[int, ...], *, threshold: int, disjoint: bool) -> bool:
    def count(some: list[int]) -> int:
        return sum(some) if disjoint else max([0, *some])

    without = [count([u for q, u in enumerate(units) if q != p]) for p in range(len(units))]
    return count(list(units)) >= threshold and all(c == 0 or c >= threshold for c in without)


@pytest.mark.parametrize("disjoint", [True, False])
def test_min_units_equals_its_definition_on_every_small_cell(disjoint: bool) -> None:
    for providers in range(5):
        for units in product(range(7), repeat=providers):
            for threshold in (0, 3, 5):
                rule = MinUnits(threshold, disjoint)
                assert rule.holds(units) == by_definition(units, threshold=threshold, disjoint=disjoint)


@pytest.mark.parametrize(
    ("units", "rows", "persons"),
    [
        ((10,), True, True),
        ((9,), False, False),
        ((10, 0, 0), True, True),
        ((5, 5), False, False),
        ((6, 6, 6), True, False),
        ((12, 9), False, False),
        ((12, 10), True, True),
        ((12, 5, 5), True, False),
        ((100, 100, 1), True, True),
        ((0, 0), False, False),
        ((), False, False),
    ],
)
def test_min_units_fires_and_does_not_fire(units: tuple[int, ...], rows: bool, persons: bool) -> None:
    assert MinUnits(10, disjoint=True).holds(units) == rows
    assert MinUnits(10, disjoint=False).holds(units) == persons


def smallest_group_seen_by_a_provider(units: tuple[int, ...]) -> int:
    """What is left of a visible cell for a provider that subtracts its own rows; the cell's total if none."""
    return min(rest for rest in (sum(units) - own for own in (0, *units)) if rest)


def test_a_colluding_provider_cannot_subtract_its_part() -> None:
    attacked = (40, 2)
    assert sum(attacked) >= 10  # control: with the total alone the cell is shown, and 2 rows are left
    assert smallest_group_seen_by_a_provider(attacked) == 2
    assert not MinUnits(10, disjoint=True).holds(attacked)
    for units in product(range(0, 45, 4), repeat=3):
        if MinUnits(10, disjoint=True).holds(units):
            assert smallest_group_seen_by_a_provider(units) >= 10


def test_one_person_at_two_providers_is_not_counted_twice() -> None:
    persons = {"aero": set(range(6)), "skyline": set(range(6)), "third": set(range(6))}
    units = [len(found) for found in persons.values()]
    assert len(set.union(*persons.values())) < 10
    assert MinUnits(10, disjoint=True).holds(units)  # control: as disjoint units they would pass
    assert not MinUnits(10, disjoint=False).holds(units)


@given(UNITS, st.integers(3, 12), st.integers(0, 5), st.booleans())
def test_a_higher_threshold_never_shows_more(
    units: list[int], threshold: int, raise_by: int, disjoint: bool
) -> None:
    if MinUnits(threshold + raise_by, disjoint).holds(units):
        assert MinUnits(threshold, disjoint).holds(units)


@given(UNITS, st.integers(0, 12))
def test_overlapping_units_never_show_more_than_disjoint_ones(units: list[int], threshold: int) -> None:
    if MinUnits(threshold, disjoint=False).holds(units):
        assert MinUnits(threshold, disjoint=True).holds(units)


def test_without_a_protected_unit_every_group_is_visible() -> None:
    assert all(MinUnits(0, disjoint=True).holds(units) for units in ((), (0,), (1, 0), (0, 1, 1)))


def test_the_average_of_few_values_in_a_large_group_is_suppressed() -> None:
    rule = ValueCount(MinUnits(10, disjoint=True))
    group, values = (500, 300), (1, 0)
    assert rule.units.holds(group)  # control: the group itself is visible, and its average is one value
    assert not rule.holds(values)
    assert not rule.holds((30, 2))
    assert rule.holds((30, 10))
    assert rule.holds((0, 0))
    assert rule.holds((10, 0))


def test_max_rows_fires_one_row_above_its_limit() -> None:
    assert MaxRows(5000).holds(5000)
    assert not MaxRows(5000).holds(5001)


def test_reasons_go_to_the_provider_and_name_rule_and_limit() -> None:
    rule = MinUnits(10, disjoint=True)
    assert (rule.reason("alice").clause, rule.reason("alice").limit) == (
        "release.min_units",
        "at least 10 units",
    )
    assert "`age`" in ValueCount(rule).reason("alice", "age").wanted
    assert MaxRows(7).reason("alice").limit == "at most 7 rows"


def test_the_buyers_reason_tells_neither_rule_nor_provider() -> None:
    assert WITHHELD.limit == "the result was withheld by the providers' release rules"
    assert not any(word in str(WITHHELD) for word in ("min_units", "max_rows", "alice", "10"))
