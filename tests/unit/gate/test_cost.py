"""The declared cost of the gate is what its links count: it is what the buyer pays for (R13)."""

from __future__ import annotations

import pytest

from sandbox.gate import costs
from sandbox.gate.layout import Layout
from tests.unit.gate.joint_jobs import Group, Groups, is_withheld, joint_plan, local_plan, rules, run_gate

PART: Groups = {"AA": Group(20, 20, 5, 20, 30), "BB": Group(20, 1, 1, 0, 0), "CC": Group(1)}
QUERIES = (
    "SELECT origin, COUNT(*) AS n, SUM(delay) AS s, AVG(fee) AS a FROM {} GROUP BY origin",
    "SELECT origin, COUNT(*) AS n FROM {} GROUP BY origin",
    "SELECT origin FROM {} GROUP BY origin",
    "SELECT origin, delay, COUNT(*) AS n, SUM(delay) AS s, AVG(fee) AS a FROM {} GROUP BY origin, delay",
)


@pytest.mark.parametrize("query", QUERIES[:3])
@pytest.mark.parametrize("disjoint", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_released_result_costs_what_was_declared(count: int, disjoint: bool, query: str) -> None:
    of, release = joint_plan(count, query), rules(10, disjoint=disjoint)
    session = run_gate(of, release, [PART] * count)
    assert not is_withheld(session)
    assert session.cost == costs.gate_cost(Layout.of(of), release)


def test_no_unit_to_protect_costs_less() -> None:
    of, release = joint_plan(2), rules(0)
    session = run_gate(of, release, [PART, PART])
    assert session.cost == costs.gate_cost(Layout.of(of), release)
    assert session.cost.bytes < costs.gate_cost(Layout.of(of), rules(10)).bytes


def test_one_group_for_the_whole_table_costs_what_was_declared() -> None:
    of = joint_plan(2, "SELECT COUNT(*) AS n, SUM(delay) AS s FROM {}", 1)
    whole: Groups = {"": PART["AA"]}
    assert run_gate(of, rules(10), [whole, whole]).cost == costs.gate_cost(Layout.of(of), rules(10))


def test_a_withheld_result_costs_no_more_than_declared() -> None:
    of = joint_plan(2)
    session = run_gate(of, rules(1000), [PART, PART])
    assert is_withheld(session)
    declared = costs.gate_cost(Layout.of(of), rules(1000))
    assert session.cost.bytes < declared.bytes
    assert session.cost.rounds < declared.rounds


def test_the_cost_depends_on_public_sizes_alone() -> None:
    of = joint_plan(2)
    sizes = [run_gate(of, rules(3), [groups, groups]).trace() for groups in (PART, {"ZZ": Group(9)})]
    assert sizes[0] == sizes[1]


def test_declared_compute_grows_with_every_size() -> None:
    release = rules(10)
    small = costs.declared(joint_plan(2), release)
    for larger in (joint_plan(3), joint_plan(2, max_groups=60), joint_plan(2, QUERIES[3])):
        cost = costs.declared(larger, release)
        assert cost.compute_ms >= small.compute_ms
        assert cost.wire_bytes > small.wire_bytes


def test_a_local_plan_sends_nothing() -> None:
    assert costs.declared(local_plan(), rules(10)).wire_bytes == 0


@pytest.mark.parametrize(
    ("query", "cells"),
    [
        ("SELECT origin, COUNT(*) AS n FROM {} GROUP BY origin", 12),
        ("SELECT origin, COUNT(*) AS n FROM {} GROUP BY origin LIMIT 2", 4),
        ("SELECT COUNT(*) AS n, SUM(delay) AS s FROM {}", 2),
    ],
)
def test_most_cells_of_a_local_plan(query: str, cells: int) -> None:
    assert costs.most_cells(local_plan(query), 5000) == cells


def test_a_limit_of_a_joint_plan_saves_no_cells() -> None:
    # The buyer opens all rows that are shown, and cuts them itself.
    query = "SELECT origin, COUNT(*) AS n FROM {} GROUP BY origin LIMIT 2"
    assert costs.most_cells(joint_plan(2, query), 5000) == 12
    assert costs.most_cells(joint_plan(2, query), 3) == 6
