"""The gate on shares: no count, mask or value is opened on the way.

Run by all three compute parties on the providers' padded blocks. They learn two numbers, the rows and cells
that are released (which the bill tells anyway), and nothing else; the buyer opens what is shown. The rules
are those of `policies.disclosure`, and a test holds both equal on random inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpc.comparison import at_least
from mpc.conversion import all_of, any_of, negate
from mpc.multiplication import constant, multiply
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import Party
from mpc.relational.groupby import GroupBlock, union_group_by
from mpc.relational.shuffle import shuffle
from mpc.sharing import Arithmetic, concatenate, decode, stack
from policies.disclosure import MinUnits
from policies.meet import ReleaseRules
from sandbox.gate.layout import RELEASED_SIZE, RESULT, Layout
from sandbox.sql.plan import Plan


@dataclass(frozen=True, slots=True)
class JointInput:
    """One provider's block in shares: `table` as `Layout.input_shape`, and `faulty` (1,).

    `faulty` is 1 where the provider could not put its groups in (too many, a text too long, a sum too large):
    the whole result is then withheld, and nobody learns whose fault it was.
    """

    table: Arithmetic
    faulty: Arithmetic


@dataclass(frozen=True, slots=True)
class Gated:
    """What the gate came to: cells released, and this party's two shares of the result; None if withheld."""

    rows: int
    cells: int
    shares: tuple[bytes, bytes] | None


def gate(party: Party, plan: Plan, rules: ReleaseRules, inputs: Sequence[JointInput]) -> Gated:
    """Group jointly, apply the release rules, open the size, and prepare the result for the buyer.

    Raises:
        EvidenceError: an opening that the manifest lacks; two holders of a share that differ.
    """
    layout = Layout.of(plan)
    groups = union_group_by(party, [_block(item.table, index, layout) for index, item in enumerate(inputs)])
    keys = concatenate([item.table[:, -layout.key_words :] for item in inputs]) if layout.key_words else None
    sound = negate(party, any_of(party, stack([item.faulty for item in inputs])))
    shown = all_of(
        party,
        stack(
            [
                groups.first,
                meets(party, rules.group_rule, groups.units_by_provider),
                sound.map(lambda words: np.broadcast_to(words, (layout.rows,)).copy()),
            ]
        ),
    )
    supports = [
        _support(party, rules.group_rule, groups.measures, shown, index, layout)
        for index in range(layout.supports)
    ]
    rows, cells = _open_size(party, plan, shown, [support[0] for support in supports])
    if cells == 0 or rows > min(rules.max_rows, plan.max_groups):
        return Gated(0, 0, None)
    columns = _masked(party, plan, shown, keys, groups.measures, supports)
    result = stack(list(shuffle(party, columns)), axis=1)
    shares = open_to_buyer(party, result, RESULT)
    party.finish()
    return Gated(rows, cells, shares)


def meets(party: Party, rule: MinUnits, counts: Arithmetic) -> Arithmetic:
    """Return 1 for each group (M,) whose counts by provider (N, M) satisfy `rule`, as `rule.holds` does."""
    providers, groups = counts.shape
    if rule.threshold == 0:
        return constant(party, 1, (groups,))
    if rule.disjoint:
        total = counts.sum(axis=0).reshape(1, groups)
        rest = total.map(lambda words: np.repeat(words, providers, axis=0)) - counts
        large = at_least(party, concatenate([total, rest]), rule.threshold)
        present = at_least(party, rest, 1)
        return all_of(party, concatenate([large[:1], _empty_or(party, present, large[1:])]))
    # One unit may stand at several providers: the largest single count decides.
    large = at_least(party, counts, rule.threshold)
    present = at_least(party, counts, 1)
    others = [[q for q in range(providers) if q != p] for p in range(providers)]
    large_elsewhere = any_of(party, stack([large[[row[k] for row in others]] for k in range(providers - 1)]))
    present_elsewhere = any_of(
        party, stack([present[[row[k] for row in others]] for k in range(providers - 1)])
    )
    everywhere = any_of(party, large).reshape(1, groups)
    return all_of(party, concatenate([everywhere, _empty_or(party, present_elsewhere, large_elsewhere)]))


def _empty_or(party: Party, present: Arithmetic, large: Arithmetic) -> Arithmetic:
    return negate(party, present) + multiply(party, present, large)


def _block(table: Arithmetic, owner: int, layout: Layout) -> GroupBlock:
    def column(index: int) -> Arithmetic:
        return table[:, index]

    measures = [column(3 + index) for index in range(layout.measures)]
    for index in range(layout.supports):
        support = column(3 + layout.measures + index)
        # Each provider's count in a column of its own: summed over a group, they stay apart.
        measures += [support * int(provider == owner) for provider in range(layout.providers)]
    return GroupBlock(column(0), column(1), column(2), tuple(measures))


def _support(
    party: Party,
    rule: MinUnits,
    measures: Sequence[Arithmetic],
    shown: Arithmetic,
    index: int,
    layout: Layout,
) -> tuple[Arithmetic, Arithmetic]:
    """Return (cell shown, any value there) for the aggregates over one column; `ValueCount` in shares."""
    start = layout.measures + index * layout.providers
    counts = stack(measures[start : start + layout.providers])
    any_value = at_least(party, counts.sum(axis=0), 1)
    allowed = _empty_or(party, any_value, meets(party, rule, counts))
    cell = multiply(party, shown, allowed)
    return cell, multiply(party, cell, any_value)


def _open_size(
    party: Party, plan: Plan, shown: Arithmetic, support_shown: Sequence[Arithmetic]
) -> tuple[int, int]:
    rows = shown.reshape(shown.size, 1).sum(axis=0)
    cells = rows * len(plan.outputs)
    for support, visible in zip(plan.supports, support_shown, strict=True):
        hidden = (shown - visible).reshape(shown.size, 1).sum(axis=0)
        cells = cells - hidden * outputs_over(plan, support.name)
    opened = decode(open_to_parties(party, concatenate([rows, cells]), RELEASED_SIZE))
    return int(opened[0]), int(opened[1])


def outputs_over(plan: Plan, support: str) -> int:
    """Return how many outputs are hidden where the cells of `support` are."""
    behind = {measure.name: measure.support for measure in plan.measures}
    return sum(any(behind.get(source) == support for source in output.sources) for output in plan.outputs)


def _masked(
    party: Party,
    plan: Plan,
    shown: Arithmetic,
    keys: Arithmetic | None,
    measures: Sequence[Arithmetic],
    supports: Sequence[tuple[Arithmetic, Arithmetic]],
) -> list[Arithmetic]:
    """Return the columns of the result, zero wherever nothing is shown: one product for all."""
    cell_of = {support.name: visible for support, (visible, _) in zip(plan.supports, supports, strict=True)}
    values = [keys[:, index] for index in range(keys.shape[1])] if keys is not None else []
    masks = [shown] * len(values)
    for index, measure in enumerate(plan.measures):
        values.append(measures[index])
        masks.append(cell_of.get(measure.support, shown))
    masked = multiply(party, stack(masks), stack(values)) if values else None
    columns = [] if masked is None else [masked[index] for index in range(len(values))]
    return [shown, *columns, *(bit for pair in supports for bit in pair)]
