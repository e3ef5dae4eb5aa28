"""What a plan costs and opens, from public sizes alone: the numbers of quotes and bills (R13)."""

from __future__ import annotations

from dataclasses import dataclass

from mpc import costs
from mpc.costs import Cost
from mpc.manifest import Manifest, Opening
from mpc.relational import costs as relational
from policies.disclosure import MinUnits
from policies.meet import ReleaseRules
from records.job import OpeningRecord
from sandbox.gate.layout import RELEASED_SIZE, RESULT, Layout
from sandbox.sql.plan import Plan

# The declared model behind a price, not a measurement: a round, a byte, a provider's own query.
MICROSECONDS_PER_ROUND = 1000
BYTES_PER_MICROSECOND = 200
MICROSECONDS_PER_PART = 100_000


@dataclass(frozen=True, slots=True)
class JobCost:
    """What is billed as compute, and what crosses the wire between nodes."""

    compute_ms: int
    wire_bytes: int
    rounds: int


def declared(plan: Plan, rules: ReleaseRules) -> JobCost:
    """Return the declared cost of a plan."""
    layout = Layout.of(plan)
    protocol = gate_cost(layout, rules) if plan.technique == "secret-sharing" else costs.FREE
    # Every provider sends two shares of its block and its flag to each of three parties.
    inputs = 0
    if plan.technique == "secret-sharing":
        words = layout.input_shape[0] * layout.input_shape[1] + 1
        inputs = layout.providers * 3 * 2 * costs.WORD_BYTES * words
    microseconds = (
        protocol.rounds * MICROSECONDS_PER_ROUND
        + (protocol.bytes + inputs) // BYTES_PER_MICROSECOND
        + len(plan.parts) * MICROSECONDS_PER_PART
    )
    return JobCost(-(-microseconds // 1000), protocol.bytes + inputs, protocol.rounds)


def gate_cost(layout: Layout, rules: ReleaseRules) -> Cost:
    """Return what `shares.gate` costs when it releases; a test holds it equal to what the links count."""
    rows = layout.rows
    cost = relational.union_group_by([layout.groups] * layout.providers, layout.joint_measures)
    cost += costs.all_of(layout.providers, 1) + _meets(layout, rules.group_rule) + costs.all_of(3, rows)
    for _ in range(layout.supports):
        cost += costs.is_negative(rows) + _meets(layout, rules.group_rule)
        cost += costs.multiply(rows) + costs.multiply(rows) + costs.multiply(rows)
    values = layout.key_words + layout.measures
    cost += costs.open_to_parties(2)
    cost += costs.multiply(values * rows) if values else costs.FREE
    cost += relational.shuffle(rows, [costs.WORD_BYTES] * layout.result_shape[1])
    return cost + costs.open_to_buyer(rows * layout.result_shape[1])


def most_cells(plan: Plan, max_rows: int) -> int:
    """Return how many cells a result has at most."""
    rows = min(plan.max_groups, max_rows)
    if plan.limit is not None and plan.technique == "local":
        rows = min(rows, plan.limit)
    if plan.kind == "aggregate" and not plan.keys:
        rows = min(rows, 1)
    return rows * len(plan.outputs)


def openings(plan: Plan) -> tuple[OpeningRecord, ...]:
    """Return the manifest of a plan: all that is opened, to whom (R8)."""
    if plan.technique == "local":
        return (OpeningRecord(opening_id=RESULT, receivers="buyer", shape=()),)
    layout = Layout.of(plan)
    return (
        OpeningRecord(opening_id=RELEASED_SIZE, receivers="parties", shape=(2,)),
        OpeningRecord(opening_id=RESULT, receivers="buyer", shape=layout.result_shape),
    )


def manifest(records: tuple[OpeningRecord, ...]) -> Manifest:
    """Return the accepted openings as the engine enforces them."""
    return Manifest(tuple(Opening(item.opening_id, item.receivers, item.shape) for item in records))


def _meets(layout: Layout, rule: MinUnits) -> Cost:
    providers, rows = layout.providers, layout.rows
    if rule.threshold == 0:
        return costs.FREE
    if rule.disjoint:
        compared = costs.is_negative((providers + 1) * rows) + costs.is_negative(providers * rows)
        return compared + costs.multiply(providers * rows) + costs.all_of(providers + 1, rows)
    cost = costs.is_negative(providers * rows) + costs.is_negative(providers * rows)
    cost += costs.all_of(providers - 1, providers * rows) + costs.all_of(providers - 1, providers * rows)
    return (
        cost
        + costs.all_of(providers, rows)
        + costs.multiply(providers * rows)
        + costs.all_of(providers + 1, rows)
    )
