"""The release rules are one thing three times: as predicates, on plain counts, and on shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.meet import ReleaseRules
from sandbox.gate import plain
from tests.unit.gate.joint_jobs import (
    AVERAGE,
    COUNT,
    SUM,
    Counted,
    Groups,
    is_withheld,
    joint_plan,
    local_plan,
    opened,
    rows_of,
    rules,
    run_gate,
)

NAMES = ("AA", "BB", "CC", "DD", "EE", "FF")
TOTAL = (COUNT, SUM, AVERAGE)

Row = tuple[Any, ...]
Expected = tuple[dict[str, Row], int]
"""{key: (n, s, a)} of the groups shown, and how many cells of theirs are suppressed."""


@st.composite
def group(draw: st.DrawFn) -> Counted:
    rows = draw(st.integers(1, 12))
    delays, fees = draw(st.integers(0, rows)), draw(st.integers(0, rows))
    sums = st.integers(-(2**40), 2**40)
    return Counted(
        rows, delays, draw(sums) if delays else 0, fees, draw(st.integers(-999, 999)) if fees else 0
    )


PARTS = st.integers(2, 4).flatmap(
    lambda count: st.lists(
        st.dictionaries(st.sampled_from(NAMES), group(), max_size=6), min_size=count, max_size=count
    )
)
RULES = st.builds(
    lambda min_units, disjoint: rules(min_units, disjoint=disjoint),
    st.sampled_from([0, 1, 3, 5, 10]),
    st.booleans(),
)
ONE_LARGE = [{"AA": Counted(12)}, {"AA": Counted(1)}]
TWO_SMALL = [{"AA": Counted(6)}, {"AA": Counted(6)}]
TWO_LARGE = [{"AA": Counted(10)}, {"AA": Counted(10)}]
FEW_VALUES = [{"AA": Counted(12, 2, 7, 12, 30)}, {"AA": Counted(12, 0, 0, 12, 30)}]
ONE_ALONE: list[Groups] = [{"AA": Counted(10, 10, 3, 9, 9)}, {}]


def expected(parts: Sequence[Groups], release: ReleaseRules) -> Expected:
    """Apply the rule objects of `policies.disclosure` to the counts of the union."""
    shown: dict[str, Row] = {}
    suppressed = 0
    for name in sorted({key for each in parts for key in each}):
        groups = [each.get(name, Counted(0)) for each in parts]
        if not release.group_rule.holds([each.rows for each in groups]):
            continue
        delays, fees = [each.delays for each in groups], [each.fees for each in groups]
        sum_shown = release.value_rule.holds(delays)
        average_shown = release.value_rule.holds(fees)
        suppressed += (not sum_shown) + (not average_shown)
        shown[name] = (
            sum(each.rows for each in groups),
            sum(each.delay_sum for each in groups) if sum_shown and any(delays) else None,
            sum(each.fee_sum for each in groups) / sum(fees) if average_shown and any(fees) else None,
        )
    return shown, suppressed


def by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
    return {row["origin"]: (row["n"], row["s"], row["a"]) for row in rows}


class TestRulesAgree:
    @settings(max_examples=25, deadline=None)
    @given(PARTS, RULES)
    @example(ONE_LARGE, rules(10))
    @example(ONE_LARGE, rules(10, disjoint=False))
    @example(TWO_SMALL, rules(10))
    @example(TWO_SMALL, rules(10, disjoint=False))
    @example(TWO_LARGE, rules(10))
    @example(FEW_VALUES, rules(10))
    def test_shares_show_what_the_rules_show(self, parts: Sequence[Groups], release: ReleaseRules) -> None:
        of = joint_plan(len(parts))
        session = run_gate(of, release, parts)
        shown, suppressed = expected(parts, release)
        assert is_withheld(session) == (not shown)
        if not is_withheld(session):
            result = opened(session, of)
            assert by_name(result.table.to_pylist()) == shown
            assert result.suppressed == suppressed
            assert session.results[0].rows == len(shown)
            assert session.results[0].cells == 4 * len(shown) - suppressed

    @settings(deadline=None)
    @given(st.dictionaries(st.sampled_from(NAMES), group(), max_size=6), RULES)
    def test_one_provider_shows_what_the_rules_show(self, groups: Groups, release: ReleaseRules) -> None:
        of = local_plan()
        result = plain.gate(of, release, rows_of(groups))
        shown, suppressed = expected([groups], release)
        assert (result is None) == (not shown)
        if result is not None:
            found = by_name(result.table.to_pylist())
            assert {name: row[:2] for name, row in found.items()} == {
                name: row[:2] for name, row in shown.items()
            }
            assert {name: row[2] for name, row in found.items()} == pytest.approx(
                {name: row[2] for name, row in shown.items()}
            )
            assert (result.suppressed, result.cells) == (suppressed, 4 * len(shown) - suppressed)

    @settings(max_examples=10, deadline=None)
    @given(
        st.dictionaries(st.sampled_from(NAMES), group(), max_size=6),
        st.integers(2, 4),
        st.integers(0, 3),
        RULES,
    )
    def test_a_provider_among_empty_ones_is_as_if_alone(
        self, groups: Groups, count: int, place: int, release: ReleaseRules
    ) -> None:
        parts: list[Groups] = [groups if index == place % count else {} for index in range(count)]
        of = joint_plan(count)
        session = run_gate(of, release, parts)
        alone = plain.gate(local_plan(), release, rows_of(groups))
        assert is_withheld(session) == (alone is None)
        if alone is not None:
            joint = opened(session, of)
            assert (session.results[0].cells, joint.suppressed) == (alone.cells, alone.suppressed)
            assert joint.table.select(["origin", "n", "s"]).to_pylist() == (
                alone.table.select(["origin", "n", "s"]).to_pylist()
            )

    @pytest.mark.parametrize(
        ("parts", "disjoint", "visible"),
        [
            (ONE_LARGE, True, False),  # 13 units, but the second provider, less its own, would see 12 or 1
            (TWO_SMALL, True, False),  # 12 units, 6 without either
            (TWO_LARGE, True, True),
            (ONE_LARGE, False, False),  # the largest count is 12, without the first it is 1
            (TWO_SMALL, False, False),
            (TWO_LARGE, False, True),
            (ONE_ALONE, True, True),  # empty without the first: nothing to subtract
            (ONE_ALONE, False, True),
        ],
    )
    def test_a_group_is_large_without_any_one_provider(
        self, parts: Sequence[Groups], disjoint: bool, visible: bool
    ) -> None:
        release = rules(10, disjoint=disjoint)
        assert bool(expected(parts, release)[0]) is visible
        assert is_withheld(run_gate(joint_plan(2), release, parts)) is not visible

    @pytest.mark.parametrize(("max_rows", "withheld"), [(3, False), (2, True)])
    def test_too_many_rows_withhold_everywhere(self, max_rows: int, withheld: bool) -> None:
        groups: Groups = {name: Counted(20, 20, 1, 20, 1) for name in NAMES[:3]}
        release = rules(10, max_rows=max_rows)
        assert release.size_rule.holds(3) is not withheld
        assert is_withheld(run_gate(joint_plan(2), release, [groups, groups])) is withheld
        assert (plain.gate(local_plan(), release, rows_of(groups)) is None) is withheld

    def test_suppressed_groups_do_not_count_as_rows(self) -> None:
        large: Groups = {"AA": Counted(20, 20, 1, 20, 1), "BB": Counted(1), "CC": Counted(2)}
        release = rules(10, max_rows=1)
        assert not is_withheld(run_gate(joint_plan(2), release, [large, large]))

    def test_more_joint_groups_than_asked_for_withhold(self) -> None:
        first: Groups = {name: Counted(20, 20, 1, 20, 1) for name in NAMES[:2]}
        second: Groups = {name: Counted(20, 20, 1, 20, 1) for name in NAMES[2:4]}
        assert is_withheld(run_gate(joint_plan(2, max_groups=3, max_rows=3), rules(10), [first, second]))
        assert not is_withheld(run_gate(joint_plan(2, max_groups=4, max_rows=4), rules(10), [first, second]))

    def test_the_whole_table_is_one_group(self) -> None:
        parts: list[Groups] = [{"": Counted(20, 20, 5, 15, 30)}, {"": Counted(20, 20, 7, 15, 60)}]
        of = joint_plan(2, TOTAL, max_groups=1)
        result = opened(run_gate(of, rules(10), parts), of)
        assert result.table.to_pylist() == [{"n": 40, "s": 12, "a": 3.0}]
        assert is_withheld(run_gate(of, rules(50), parts))

    def test_a_result_of_suppressed_cells_alone_is_withheld(self) -> None:
        few: Groups = {"": Counted(20, 0, 0, 2, 5)}
        assert is_withheld(run_gate(joint_plan(2, [AVERAGE], max_groups=1), rules(10), [few, few]))
        local = local_plan([AVERAGE])
        assert plain.gate(local, rules(10), rows_of(few)) is None
        enough: Groups = {"": Counted(20, 0, 0, 10, 5)}
        assert not is_withheld(run_gate(joint_plan(2, [AVERAGE], max_groups=1), rules(10), [enough, enough]))

    def test_cells_of_rows_that_a_limit_drops_are_not_counted(self) -> None:
        # AA has a fee and few delays, all others have neither.
        groups: Groups = {name: Counted(20, 2, 1, 2, 1) for name in NAMES[1:]}
        of = local_plan(ending=" ORDER BY n DESC LIMIT 1")
        result = plain.gate(of, rules(10), rows_of({**groups, "AA": Counted(30, 2, 1, 30, 90)}))
        assert result is not None
        assert result.table.to_pylist() == [{"origin": "AA", "n": 30, "s": None, "a": 3.0}]
        assert (result.cells, result.suppressed) == (3, 1)
