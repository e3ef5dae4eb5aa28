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
from sandbox.gate.layout import RELEASED_SIZE, RESULT, Layout, counts_by_providers, outputs_by_supports
from sandbox.joint import costs as joint
from sandbox.joint.shapes import shapes
from sandbox.joint.sharing import input_bytes
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
    protocol, inputs = costs.FREE, 0
    if plan.technique == "secret-sharing":
        protocol = joint.cost(plan.steps, shapes(plan.steps, plan.parts)) + gate_cost(plan, rules)
        inputs = sum(input_bytes(part) for part in plan.parts)
    microseconds = (
        protocol.rounds * MICROSECONDS_PER_ROUND
        + (protocol.bytes + inputs) // BYTES_PER_MICROSECOND
        + len(plan.parts) * MICROSECONDS_PER_PART
    )
    return JobCost(-(-microseconds // 1000), protocol.bytes + inputs, protocol.rounds)


def gate_cost(plan: Plan, rules: ReleaseRules) -> Cost:
    """Return what `shares.gate` costs behind the program when it releases; a test counts the links."""
    tables = shapes(plan.steps, plan.parts)
    layout = Layout.of(plan)
    rows, supports = layout.rows, layout.supports
    marks = len(plan.parts) + joint.faults(plan.steps, tables) + tables[-1].rows - rows
    cost = costs.bits_to_arithmetic(rows) + costs.bits_to_arithmetic(marks) + costs.equal_zero(1)
    groups = len(plan.units) if rules.min_units else 0
    for providers, found in counts_by_providers(plan, rules.group_rule).items():
        of_cells = [item.support for item in found if item.support is not None]
        cost += _meets(providers, len(found) * rows, rules.group_rule)
        if of_cells:
            cost += costs.is_negative(len(of_cells) * rows) + costs.multiply(len(of_cells) * rows)
    cost += costs.all_of(2 + groups, rows)
    if supports:
        most = max(len(support.units) for support in plan.supports) if rules.min_units else 0
        cost += costs.all_of(1 + most, supports * rows)
        cost += costs.is_negative(supports * rows) + costs.multiply(supports * rows)
    for names in outputs_by_supports(plan):
        cost += costs.all_of(len(names), rows)
    cost += costs.open_to_parties(2)
    payload_words = sum(column.words for column in plan.columns if column.kind == "payload")
    cost += costs.words_to_arithmetic(payload_words * rows) if payload_words else costs.FREE
    cost += costs.multiply(layout.words * rows) if layout.words else costs.FREE
    cost += relational.shuffle(rows, [costs.WORD_BYTES] * layout.result_shape[1])
    return cost + costs.open_to_buyer(rows * layout.result_shape[1])


def most_cells(plan: Plan, max_rows: int) -> int:
    """Return how many cells a result has at most, where no more than `max_rows` rows may be released."""
    rows = plan.max_rows if plan.technique == "local" else Layout.of(plan).rows
    return min(rows, max_rows) * len(plan.outputs)


def openings(plan: Plan) -> tuple[OpeningRecord, ...]:
    """Return the manifest of a plan: all that is opened, to whom (R8)."""
    if plan.technique == "local":
        return (OpeningRecord(opening_id=RESULT, receivers="buyer", shape=()),)
    program = joint.openings(plan.steps, shapes(plan.steps, plan.parts))
    return (
        *(
            OpeningRecord(opening_id=item.id, receivers=item.receivers, shape=item.shape or ())
            for item in program
        ),
        OpeningRecord(opening_id=RELEASED_SIZE, receivers="parties", shape=(2,)),
        OpeningRecord(opening_id=RESULT, receivers="buyer", shape=Layout.of(plan).result_shape),
    )


def manifest(records: tuple[OpeningRecord, ...]) -> Manifest:
    """Return the accepted openings as the engine enforces them."""
    return Manifest(tuple(Opening(item.opening_id, item.receivers, item.shape) for item in records))


def _meets(providers: int, rows: int, rule: MinUnits) -> Cost:
    if providers == 1:
        return costs.is_negative(rows)
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
