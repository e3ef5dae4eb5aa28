"""The gate at a provider's own node: the same rules as in shares, on its own partial aggregates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policies.disclosure import MinUnits
from policies.meet import ReleaseRules
from sandbox.gate.shares import outputs_over
from sandbox.sql.finish import finish
from sandbox.sql.partials import require_rows
from sandbox.sql.plan import Output, Plan

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PlainResult:
    """A finished table with its count of visible and suppressed cells."""

    table: pa.Table
    cells: int
    suppressed: int


def gate(plan: Plan, rules: ReleaseRules, part: pa.Table) -> PlainResult | None:
    """Apply the release rules to the one part of a local plan and finish it; None: the result is withheld.

    Raises:
        LimitExceeded: more rows than the plan allows, or a sum that does not fit 64 bits.
    """
    require_rows(plan, part)
    if plan.kind == "rows":
        table = finish(plan, [part[f"k{i}"].combine_chunks() for i in range(len(plan.keys))], {})
        return _released(PlainResult(table, table.num_rows * table.num_columns, 0), rules)
    shown = _holds(rules.group_rule, _counts(part, "u"))
    part = part.filter(pa.array(shown))
    cell_shown = {
        support.name: _cell_shown(rules.group_rule, _counts(part, support.name)) for support in plan.supports
    }
    measures = {}
    for measure in plan.measures:
        column = part[measure.name].combine_chunks()
        hidden = ~cell_shown.get(measure.support, np.ones(part.num_rows, dtype=bool))
        measures[measure.name] = pa.array(column.to_pylist(), column.type, mask=hidden)
    keys = [part[f"k{index}"].combine_chunks() for index in range(len(plan.keys))]
    table, kept = _finished(plan, keys, measures)
    suppressed = sum(
        int((~visible[kept]).sum()) * outputs_over(plan, name) for name, visible in cell_shown.items()
    )
    cells = table.num_rows * table.num_columns - suppressed
    return _released(PlainResult(table, cells, suppressed), rules)


def _finished(
    plan: Plan, keys: list[pa.Array], measures: dict[str, pa.Array]
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Finish the table; return with it which groups are left: LIMIT drops cells that are not counted."""
    groups = len(keys[0]) if keys else len(next(iter(measures.values())))
    numbered = Output("group", "BIGINT", (f"k{len(keys)}",))
    table = finish(
        replace(plan, outputs=(*plan.outputs, numbered)), [*keys, pa.array(np.arange(groups))], measures
    )
    kept: npt.NDArray[np.int64] = table.column(len(plan.outputs)).to_numpy()
    return table.remove_column(len(plan.outputs)), kept


def _released(result: PlainResult, rules: ReleaseRules) -> PlainResult | None:
    if result.cells == 0 or not rules.size_rule.holds(result.table.num_rows):
        return None
    return result


def _holds(rule: MinUnits, counts: npt.NDArray[np.int64]) -> Mask:
    # Of one provider alone: without it, the cell is empty.
    return counts >= rule.threshold


def _cell_shown(rule: MinUnits, counts: npt.NDArray[np.int64]) -> Mask:
    shown: Mask = (counts == 0) | (counts >= rule.threshold)
    return shown


def _counts(part: pa.Table, name: str) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = (
        part[name].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    )
    return counts
