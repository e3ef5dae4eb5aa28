"""The gate at a provider's own node: the same rules as in shares, on its own rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from policies.meet import ReleaseRules
from records.errors import LimitExceeded
from sandbox.gate.layout import Mask, require_counted, supports_of, suppressed_cells
from sandbox.sql.finish import finish
from sandbox.sql.plan import Plan, Support, cells

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlainResult:
    """A finished table with its count of visible and suppressed cells."""

    table: pa.Table
    cells: int
    suppressed: int


def gate(plan: Plan, rules: ReleaseRules, part: pa.Table, literals: Sequence[str] = ()) -> PlainResult | None:
    """Apply the release rules to the one part of a local plan and finish it; None: the result is withheld.

    Raises:
        LimitExceeded: more rows than the plan allows, or a value that does not fit its type.
        MalformedDocument: the plan does not count the units that the rules protect.
    """
    require_counted(plan, rules)
    if part.num_rows > plan.max_rows:
        raise LimitExceeded("a provider has more rows for this query than the plan allows")
    sources = plan.units if rules.min_units else ()
    shown = np.ones(part.num_rows, dtype=bool)
    for columns in sources:
        shown &= _where(rules.group_rule.holds, part, columns)
    part = part.filter(pa.array(shown))
    cell_shown = {support.name: _cell_shown(support, rules, part) for support in plan.supports}
    values = {support.name: _integers(part, support.values) > 0 for support in plan.supports}
    released = {}
    for column in plan.columns:
        array = part[column.name].combine_chunks()
        if column.support is not None:
            visible = cell_shown[column.support] & values[column.support]
            array = pc.if_else(pa.array(visible), array, pa.scalar(None, array.type))
        released[column.name] = array
    table = finish(plan, released, literals)
    suppressed = _suppressed(plan, cell_shown, part.num_rows, table)
    result = PlainResult(table, cells(plan, table.num_rows, suppressed), suppressed)
    if result.cells == 0 or not rules.size_rule.holds(table.num_rows):
        return None
    return result


def _cell_shown(support: Support, rules: ReleaseRules, part: pa.Table) -> Mask:
    shown = np.ones(part.num_rows, dtype=bool)
    for columns in support.units if rules.min_units else ():
        shown &= _where(rules.value_rule.holds, part, columns)
    return shown


def _where(holds: Callable[[Sequence[int]], bool], part: pa.Table, columns: Sequence[str]) -> Mask:
    """Return in which rows a rule holds of the counts, one for each provider; equal counts are asked once."""
    counts = np.stack([_integers(part, name) for name in columns], axis=1)
    different, row_of = np.unique(counts, axis=0, return_inverse=True)
    held = np.array([holds(row) for row in different.tolist()], dtype=bool)
    return held[row_of]


def _suppressed(plan: Plan, cell_shown: dict[str, Mask], rows: int, table: pa.Table) -> int:
    """Return how many cells of the finished table are suppressed.

    Where HAVING or LIMIT dropped rows, of the hidden cells of an output at most as many are left as are null.
    """
    if table.num_rows == rows:
        return suppressed_cells(plan, cell_shown)
    left = 0
    for position, output in enumerate(plan.outputs):
        names = supports_of(plan, output.columns)
        if names:
            visible = np.logical_and.reduce([cell_shown[name] for name in names])
            left += min(int((~visible).sum()), table.column(position).null_count)
    return left


def _integers(part: pa.Table, name: str) -> Integers:
    counts: Integers = part[name].combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    return counts
