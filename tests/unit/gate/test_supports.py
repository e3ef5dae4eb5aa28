"""Cells on several counts, several sources of units, payloads with a count behind them, and no counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from records.errors import MalformedDocument
from sandbox.gate import costs, plain
from sandbox.gate.layout import outputs_by_supports, suppressed_cells
from sandbox.joint import costs as joint
from sandbox.joint.shapes import shapes
from sandbox.sql.plan import Output, Plan
from tests.unit.gate.joint_jobs import (
    ALL,
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

BOTH = Output("b", "BIGINT", ("s", "fee_sum"))
SHOWN, FEW = 20, 2
GROUPS: Groups = {
    f"{delays:02}{fees:02}": Counted(20, delays, 7, fees, 9)
    for delays, fees in product((0, FEW, SHOWN), repeat=2)
}


def with_both(of: Plan) -> Plan:
    """Return the plan with one more output, made of two values."""
    finished = of.finish.replace(" FROM ", ", s + fee_sum AS b FROM ")
    return replace(of, outputs=(*of.outputs, BOTH), finish=finished)


def test_an_output_of_two_values_is_hidden_once_where_either_is() -> None:
    of = with_both(local_plan(max_rows=9))
    result = plain.gate(of, rules(10), rows_of(GROUPS))
    assert result is not None
    # Of nine groups three have few delays, three few fees, and five few of either.
    assert (result.suppressed, result.cells) == (3 + 3 + 5, 9 * 5 - 11)
    joint = with_both(joint_plan(2, max_groups=9))
    session = run_gate(joint, rules(10), [GROUPS, {}])
    assert session.results[0].cells == result.cells
    assert opened(session, joint).suppressed == result.suppressed
    assert opened(session, joint).table.equals(result.table)


def test_the_outputs_of_a_plan_stand_on_these_supports() -> None:
    of = with_both(local_plan())
    assert outputs_by_supports(of) == {("delay",): 1, ("fee",): 1, ("delay", "fee"): 1}
    masks = {"delay": np.array([True, False]), "fee": np.array([False, False])}
    assert suppressed_cells(of, masks) == 1 + 2 + 2


def test_every_source_of_units_must_be_large() -> None:
    groups: Groups = {
        "AA": Counted(20, 20, 1, 20, 1),
        "BB": Counted(20, 20, 1, 3, 1),
        "CC": Counted(20, 1, 1, 20, 1),
    }
    of = joint_plan(1, ALL[:2])
    several = replace(of, units=(("u0",), ("d0",), ("f0",)))
    for plan, shown in ((of, ["AA", "BB", "CC"]), (several, ["AA"])):
        found = opened(run_gate(plan, rules(10), [groups]), plan).table
        assert found.column("origin").to_pylist() == shown
    local = replace(local_plan(ALL[:2]), units=(("n",), ("delays",), ("fees",)))
    result = plain.gate(local, rules(10), rows_of(groups))
    assert result is not None
    assert result.table.column("origin").to_pylist() == ["AA"]


@pytest.mark.parametrize("min_units", [0, 10])
def test_a_support_has_sources_of_its_own(min_units: int) -> None:
    groups: Groups = {
        "AA": Counted(20, 20, 1, 20, 1),
        "BB": Counted(20, 20, 1, 3, 1),
        "CC": Counted(20, 1, 1, 20, 1),
    }
    of = joint_plan(2)
    delay, fee = of.supports
    # The first stands on three counts, one of them by a single provider; the second on one.
    of = replace(of, supports=(replace(delay, units=(*delay.units, ("f0",), ("u0", "u1"))), fee))
    session = run_gate(of, rules(min_units), [groups, {}])
    assert session.cost == joint.cost(of.steps, shapes(of.steps, of.parts)) + costs.gate_cost(
        of, rules(min_units)
    )
    found = {row["origin"]: (row["s"], row["a"]) for row in opened(session, of).table.to_pylist()}
    whole = {"AA": (1, 1 / 20), "BB": (1, 1 / 3), "CC": (1, 1 / 20)}
    hidden = {"AA": (1, 1 / 20), "BB": (None, None), "CC": (None, 1 / 20)}
    assert found == (hidden if min_units else whole)


def test_a_payload_may_be_suppressed_like_a_number() -> None:
    groups: Groups = {"AA": Counted(20, 20, 1), "BB": Counted(20, 2, 1)}
    results = []
    for of in (local_plan(ALL[:3]), joint_plan(1, ALL[:3])):
        origin = replace(of.columns[0], support="delay")
        of = replace(of, columns=(origin, *of.columns[1:]))  # noqa: PLW2901 - the plan of this case
        if of.steps:
            results.append(opened(run_gate(of, rules(10), [groups]), of).table)
        elif (gated := plain.gate(of, rules(10), rows_of(groups))) is not None:
            results.append(gated.table)
    assert results[0].equals(results[1])
    assert results[0].column("origin").to_pylist() == ["AA", None]


def test_rows_that_are_no_aggregates_have_no_unit_rule() -> None:
    few: Groups = {"AA": Counted(1, 1, 1)}
    of = replace(joint_plan(1, ALL[:2]), kind="rows", units=())
    assert opened(run_gate(of, rules(10), [few]), of).table.num_rows == 1
    counted = joint_plan(1, ALL[:2])
    assert is_withheld(run_gate(counted, rules(10), [few]))


@pytest.mark.parametrize("min_units", [0, 10])
def test_a_plan_that_counts_no_units_is_refused_where_there_are_some(min_units: int) -> None:
    of = replace(local_plan(ALL[:2]), units=())
    groups: Groups = {"AA": Counted(1)}
    if min_units:
        with pytest.raises(MalformedDocument):
            plain.gate(of, rules(min_units), rows_of(groups))
        with pytest.raises(MalformedDocument):
            run_gate(replace(joint_plan(1), units=()), rules(min_units), [groups])
    else:
        assert plain.gate(of, rules(min_units), rows_of(groups)) is not None
