"""How rows of a joint result lie in words, as the buyer opens them.

Result, (rows, …) in a random order:
    shown │ words of each column, in the order of the plan │ for each support: cell shown, any value there
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.disclosure import MinUnits
from policies.meet import ReleaseRules
from records.errors import MalformedDocument
from sandbox.joint.shapes import shapes
from sandbox.sql.plan import Plan, ResultColumn

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

RELEASED_SIZE = "released-size"
RESULT = "result"


@dataclass(frozen=True, slots=True)
class Layout:
    """Public sizes of what the buyer opens."""

    rows: int
    words: int
    supports: int

    @classmethod
    def of(cls, plan: Plan) -> Layout:
        """Return the sizes that follow from a joint plan."""
        rows = min(shapes(plan.steps, plan.parts)[-1].rows, plan.max_rows)
        return cls(rows, sum(column.words for column in plan.columns), len(plan.supports))

    @property
    def result_shape(self) -> tuple[int, int]:
        """Shape of what the buyer opens."""
        return self.rows, 1 + self.words + 2 * self.supports


@dataclass(frozen=True, slots=True)
class UnitCount:
    """Columns that count the units of one source, by provider: of a group, or behind a support's cells."""

    support: str | None
    columns: tuple[str, ...]


def words_by_column(plan: Plan) -> Iterator[tuple[ResultColumn, slice]]:
    """Yield the columns of the released table with their places in a row of the result."""
    start = 1
    for column in plan.columns:
        yield column, slice(start, start + column.words)
        start += column.words


def require_counted(plan: Plan, rules: ReleaseRules) -> None:
    """Return if the plan counts the protected units that the rules speak of, in its groups and cells.

    Raises:
        MalformedDocument: it does not.
    """
    if plan.kind == "aggregate" and rules.min_units and not plan.units:
        raise MalformedDocument("a plan over protected units does not count them")
    if any(bool(support.units) != bool(plan.units) for support in plan.supports):
        raise MalformedDocument("a plan counts units in a group and not behind a value, or the reverse")


def counts_by_providers(plan: Plan, rule: MinUnits) -> Mapping[int, Sequence[UnitCount]]:
    """Return what the rule looks at, by number of providers; counts of groups before those of supports."""
    found: dict[int, list[UnitCount]] = {}
    if rule.threshold:
        of_groups = [UnitCount(None, columns) for columns in plan.units]
        of_cells = [UnitCount(item.name, columns) for item in plan.supports for columns in item.units]
        for count in (*of_groups, *of_cells):
            found.setdefault(len(count.columns), []).append(count)
    return found


def outputs_by_supports(plan: Plan) -> Mapping[tuple[str, ...], int]:
    """Return how many outputs stand on these supports: they are hidden where the cell of one of them is."""
    return Counter(filter(None, (supports_of(plan, output.columns) for output in plan.outputs)))


def supports_of(plan: Plan, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the supports behind columns of the released table, sorted."""
    behind = {column.name: column.support for column in plan.columns}
    return tuple(sorted({name for name in map(behind.__getitem__, columns) if name is not None}))


def suppressed_cells(plan: Plan, cell_shown: Mapping[str, Mask]) -> int:
    """Return how many cells of the outputs are hidden, from which cells of each support are shown."""
    hidden = 0
    for names, outputs in outputs_by_supports(plan).items():
        visible = np.logical_and.reduce([cell_shown[name] for name in names])
        hidden += outputs * int((~visible).sum())
    return hidden
