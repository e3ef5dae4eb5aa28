"""The declared cost of the gate is what its links count: it is what the buyer pays for (R13)."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes

import pytest

from mpc.costs import Cost
from policies.meet import ReleaseRules
from sandbox.gate import costs
from sandbox.joint import costs as joint
from sandbox.joint.inputs import faulty_part
from sandbox.joint.shapes import shapes
from sandbox.joint.sharing import input_bytes, input_frames
from sandbox.sql.plan import Output, Plan
from tests.unit.gate.joint_jobs import (
    ALL,
    COUNT,
    ORIGIN,
    SUM,
    Counted,
    Groups,
    is_withheld,
    joint_plan,
    local_plan,
    rules,
    run_gate,
)

PART: Groups = {"AA": Counted(20, 20, 5, 20, 30), "BB": Counted(20, 1, 1, 0, 0), "CC": Counted(1)}
OUTPUTS = (ALL, (ORIGIN, COUNT), (ORIGIN,))


def whole(of: Plan, release: ReleaseRules) -> Cost:
    """Return what is declared for a plan's program and gate together."""
    return joint.cost(of.steps, shapes(of.steps, of.parts)) + costs.gate_cost(of, release)


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("disjoint", [True, False])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_released_result_costs_what_was_declared(
    count: int, disjoint: bool, outputs: Sequence[Output]
) -> None:
    of, release = joint_plan(count, outputs), rules(10, disjoint=disjoint)
    session = run_gate(of, release, [PART] * count)
    assert not is_withheld(session)
    assert session.cost == whole(of, release)


def test_no_unit_to_protect_costs_less() -> None:
    of, release = joint_plan(2), rules(0)
    session = run_gate(of, release, [PART, PART])
    assert session.cost == whole(of, release)
    assert session.cost.bytes < whole(of, rules(10)).bytes


def test_one_group_for_the_whole_table_costs_what_was_declared() -> None:
    of = joint_plan(2, [COUNT, SUM], max_groups=1)
    one: Groups = {"": PART["AA"]}
    assert run_gate(of, rules(10), [one, one]).cost == whole(of, rules(10))


def test_a_withheld_result_costs_no_more_than_declared() -> None:
    of = joint_plan(2)
    session = run_gate(of, rules(1000), [PART, PART])
    assert is_withheld(session)
    declared = whole(of, rules(1000))
    assert session.cost.bytes < declared.bytes
    assert session.cost.rounds < declared.rounds


def test_the_cost_depends_on_public_sizes_alone() -> None:
    of = joint_plan(2)
    sizes = [run_gate(of, rules(3), [groups, groups]).trace() for groups in (PART, {"ZZ": Counted(9)})]
    assert sizes[0] == sizes[1]


def test_declared_compute_grows_with_every_size() -> None:
    release = rules(10)
    small = costs.declared(joint_plan(2), release)
    for larger in (joint_plan(3), joint_plan(2, max_groups=60)):
        cost = costs.declared(larger, release)
        assert cost.compute_ms >= small.compute_ms
        assert cost.wire_bytes > small.wire_bytes


def test_a_local_plan_sends_nothing() -> None:
    assert costs.declared(local_plan(), rules(10)).wire_bytes == 0


def test_a_result_has_no_more_cells_than_rows_and_rules_allow() -> None:
    assert costs.most_cells(local_plan([ORIGIN, COUNT]), 5000) == 12
    assert costs.most_cells(joint_plan(2, [ORIGIN, COUNT]), 5000) == 24
    assert costs.most_cells(joint_plan(2, [ORIGIN, COUNT], max_rows=5), 5000) == 10
    assert costs.most_cells(joint_plan(2, [ORIGIN, COUNT]), 3) == 6
    assert costs.most_cells(joint_plan(2, [COUNT, SUM], max_groups=1), 5000) == 2


def test_an_input_costs_what_a_provider_sends() -> None:
    of = joint_plan(2)
    plain = faulty_part(of.parts[0])
    sent = sum(len(frame) for frames in input_frames(of.parts[0], plain, token_bytes) for frame in frames)
    assert input_bytes(of.parts[0]) == sent
    assert costs.declared(of, rules(0)).wire_bytes == whole(of, rules(0)).bytes + 2 * sent
