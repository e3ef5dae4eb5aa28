"""The gate on shares: no count, mask or value is opened on the way.

Run by all three compute parties on the last table of a plan's program. They learn two numbers, the rows and
cells that are released (which the bill tells anyway), and nothing else; the buyer opens what is shown. The
rules are those of `policies.disclosure`, and a test holds both equal on random inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mpc.comparison import at_least, equal_zero
from mpc.conversion import all_of, any_of, bits_to_arithmetic, negate, words_to_arithmetic
from mpc.multiplication import constant, multiply
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import Party
from mpc.relational.bit_columns import packed_bits
from mpc.relational.shuffle import shuffle
from mpc.sharing import Arithmetic, Boolean, concatenate, decode, stack
from policies.disclosure import MinUnits
from policies.meet import ReleaseRules
from sandbox.gate.layout import (
    RELEASED_SIZE,
    RESULT,
    Layout,
    counts_by_providers,
    outputs_by_supports,
    require_counted,
)
from sandbox.joint.run import JointInput, Ran, run
from sandbox.joint.shapes import shapes
from sandbox.joint.tables import SharedTable
from sandbox.sql.plan import Plan


@dataclass(frozen=True, slots=True)
class Gated:
    """What the gate came to: cells released, and this party's two shares of the result; None if withheld."""

    rows: int
    cells: int
    shares: tuple[bytes, bytes] | None


@dataclass(frozen=True, slots=True)
class _Shown:
    """Shares of 0 and 1: the rows that are shown (n,), cells by support (s, n), and those with a value."""

    rows: Arithmetic
    cells: Arithmetic
    values: Arithmetic


def gate(party: Party, plan: Plan, rules: ReleaseRules, inputs: Sequence[JointInput]) -> Gated:
    """Run the plan's program on the inputs of its parts, in order, and apply the release rules to its result.

    Then open the size, and prepare the result for the buyer.

    Raises:
        EvidenceError: an opening that the manifest lacks; two holders of a share that differ.
        MalformedDocument: the plan does not count the units that the rules protect.
    """
    require_counted(plan, rules)
    ran = run(party, plan.steps, shapes(plan.steps, plan.parts), inputs)
    shown = _shown(party, plan, rules.group_rule, ran)
    rows, cells = _open_size(party, plan, shown)
    if cells == 0 or rows > min(rules.max_rows, plan.max_rows):
        return Gated(0, 0, None)
    columns = _masked(party, plan, ran.table, shown)
    result = stack(list(shuffle(party, columns)), axis=1)
    shares = open_to_buyer(party, result, RESULT)
    party.finish()
    return Gated(rows, cells, shares)


def meets(party: Party, rule: MinUnits, counts: Arithmetic) -> Arithmetic:
    """Return 1 for each group (M,) whose counts by provider (N, M) satisfy `rule`, as `rule.holds` does."""
    providers, groups = counts.shape
    if rule.threshold == 0:
        return constant(party, 1, (groups,))
    if providers == 1:  # without the one provider the group is empty
        return at_least(party, counts[0], rule.threshold)
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


def _shown(party: Party, plan: Plan, rule: MinUnits, ran: Ran) -> _Shown:
    """Return what is shown: rows that count and are large enough, if there was no fault, and their cells."""
    table, rows = ran.table, Layout.of(plan).rows
    counted = bits_to_arithmetic(party, packed_bits(table.valid[:rows]), rows)
    conditions = [counted, _repeated(_sound(party, ran.faults, table.valid[rows:]), rows)]
    supports = len(plan.supports)
    allowed: dict[str, list[Arithmetic]] = {support.name: [] for support in plan.supports}
    for found in counts_by_providers(plan, rule).values():
        counts = _counts(table, [item.columns for item in found], rows)
        large = meets(party, rule, counts)
        of_cells = [item.support for item in found if item.support is not None]
        groups = large.size - len(of_cells) * rows
        conditions += [large[start : start + rows] for start in range(0, groups, rows)]
        if of_cells:
            present = at_least(party, counts[:, groups:].sum(axis=0), 1)
            cells = _empty_or(party, present, large[groups:])
            for place, support in enumerate(of_cells):
                allowed[support].append(cells[place * rows : (place + 1) * rows])
    shown = all_of(party, stack(conditions))
    if not supports:
        none = constant(party, 0, (0, rows))
        return _Shown(shown, none, none)
    one = constant(party, 1, (rows,))
    most = max(len(each) for each in allowed.values())
    filled = [
        concatenate([each[k] if k < len(each) else one for each in allowed.values()]) for k in range(most)
    ]
    cells_shown = all_of(party, stack([_repeated(shown, supports), *filled]))
    values = concatenate([table.number(support.values)[:rows] for support in plan.supports])
    valued = multiply(party, cells_shown, at_least(party, values, 1))
    return _Shown(shown, cells_shown.reshape(supports, rows), valued.reshape(supports, rows))


def _sound(party: Party, faults: Boolean, beyond: Boolean) -> Arithmetic:
    """Return 1 (1,) if there is no fault, and no row counts beyond those that may be released."""
    marks = concatenate([faults, beyond])
    faulty = bits_to_arithmetic(party, packed_bits(marks), marks.size).reshape(1, marks.size)
    return equal_zero(party, faulty.sum(axis=1))


def _counts(table: SharedTable, sources: Sequence[tuple[str, ...]], rows: int) -> Arithmetic:
    """Return counts by provider (N, k·rows), one group of columns behind the other."""
    providers = zip(*sources, strict=True)
    return stack([concatenate([table.number(name)[:rows] for name in names]) for names in providers])


def _open_size(party: Party, plan: Plan, shown: _Shown) -> tuple[int, int]:
    rows = shown.rows.reshape(1, shown.rows.size).sum(axis=1)
    place = {support.name: index for index, support in enumerate(plan.supports)}
    by_supports = outputs_by_supports(plan)
    cells = rows * (len(plan.outputs) - sum(by_supports.values()))
    for names, outputs in by_supports.items():
        visible = all_of(party, stack([shown.cells[place[name]] for name in names]))
        cells = cells + visible.reshape(1, visible.size).sum(axis=1) * outputs
    opened = decode(open_to_parties(party, concatenate([rows, cells]), RELEASED_SIZE))
    return int(opened[0]), int(opened[1])


def _masked(party: Party, plan: Plan, table: SharedTable, shown: _Shown) -> list[Arithmetic]:
    """Return the columns of the result, zero wherever nothing is shown: one product for all."""
    rows = shown.rows.size
    place = {support.name: index for index, support in enumerate(plan.supports)}
    payloads = [column.name for column in plan.columns if column.kind == "payload"]
    words = cast("list[Boolean]", [part[:rows] for part in table.columns(payloads)])
    opened = iter(words_to_arithmetic(party, concatenate(words)).reshape(len(words), rows) if words else ())
    values, masks = [], []
    for column in plan.columns:
        if column.kind == "number":
            values.append(table.number(column.name)[:rows])
        else:
            values += [next(opened) for _ in range(column.words)]
        masks += [shown.rows if column.support is None else shown.cells[place[column.support]]] * column.words
    masked = multiply(party, stack(masks), stack(values)) if values else None
    columns = [] if masked is None else [masked[index] for index in range(len(values))]
    bits = [each[index] for index in range(len(plan.supports)) for each in (shown.cells, shown.values)]
    return [shown.rows, *columns, *bits]


def _repeated(column: Arithmetic, times: int) -> Arithmetic:
    return column.map(lambda words: np.tile(words, times))
