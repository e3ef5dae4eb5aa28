"""How rows of a joint result lie in shares: what a provider puts in, and what the buyer opens.

Input of a provider, (G, …) with G = `max_groups`, padded:
    tag │ valid │ u │ measures │ supports │ key words
Result, (N·G, …) in a random order:
    shown │ key words │ measures │ for each support: cell shown, any value there
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.sql.keys import row_words
from sandbox.sql.plan import Plan

Words = npt.NDArray[np.uint64]

RELEASED_SIZE = "released-size"
RESULT = "result"


@dataclass(frozen=True, slots=True)
class Layout:
    """Public sizes of a joint job."""

    providers: int
    groups: int
    key_words: int
    measures: int
    supports: int

    @classmethod
    def of(cls, plan: Plan) -> Layout:
        """Return the sizes that follow from a plan."""
        return cls(
            len(plan.parts), plan.max_groups, row_words(plan.keys), len(plan.measures), len(plan.supports)
        )

    @property
    def rows(self) -> int:
        """Rows of the result, before those that are not shown drop out."""
        return self.providers * self.groups

    @property
    def input_shape(self) -> tuple[int, int]:
        """Shape of what one provider puts in."""
        return self.groups, 3 + self.measures + self.supports + self.key_words

    @property
    def result_shape(self) -> tuple[int, int]:
        """Shape of what the buyer opens."""
        return self.rows, 1 + self.key_words + self.measures + 2 * self.supports

    @property
    def joint_measures(self) -> int:
        """Columns that are summed jointly: measures, and every support once for each provider."""
        return self.measures + self.supports * self.providers
