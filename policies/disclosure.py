"""The rules a result must satisfy before anything is opened: each once, with parameters and plain predicate.

`sandbox/gate` applies them, on plain counts or with `mpc` operators on shares, and a test holds both equal.
A rule on a cell suppresses that cell; a rule on the whole result withholds it. Reasons name the provider
and the rule and go to providers; the buyer sees `WITHHELD`, which is the same whatever the rule (R12).

What the rules here do not stop: two providers who subtract their parts together, and the difference between
results of several jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from records.errors import Reason

WITHHELD = Reason(
    provider="the providers",
    clause="release",
    wanted="a release of this result",
    limit="the result was withheld by the providers' release rules",
    remedy="ask for coarser groups or fewer columns; a use is consumed, no use-right fee is charged",
)
"""The one reason a buyer sees for a withheld result."""


@dataclass(frozen=True, slots=True)
class MinUnits:
    """A group over a union of providers is visible only if it is large, also without any one provider (R9).

    With u_p the number of distinct units of provider p in the group, the group counts C = Σ_p u_p where
    `disjoint` (every row is a unit of its own), and C = max_p u_p otherwise, because one unit may stand at
    several providers. Visible iff C ≥ `threshold` and, for each p, the same count over the others is zero
    or ≥ `threshold`.

    Protects a unit whose presence in a small group, or its values there, would show; the second half
    protects it from a provider who subtracts its own rows from a cell that the buyer hands back.
    `threshold` 0 means that no unit is protected: every group is visible. A provider without a unit counts 0.
    """

    threshold: int
    disjoint: bool

    def count(self, units_by_provider: Sequence[int]) -> int:
        """Return C."""
        return sum(units_by_provider) if self.disjoint else max(units_by_provider, default=0)

    def holds(self, units_by_provider: Sequence[int]) -> bool:
        """Tell whether the group with these counts, one per provider, is visible."""
        if self.count(units_by_provider) < self.threshold:
            return False
        return all(count == 0 or count >= self.threshold for count in self._without_each(units_by_provider))

    def reason(self, provider: str) -> Reason:
        """Return, for `provider`, why groups were suppressed."""
        return Reason(
            provider,
            "release.min_units",
            "a group of few units, or of few without one provider",
            f"at least {self.threshold} units",
            "group more coarsely or filter less",
        )

    def _without_each(self, units: Sequence[int]) -> list[int]:
        if self.disjoint:
            total = sum(units)
            return [total - count for count in units]
        # Without the largest, the second largest counts; without any other the count stays C.
        return sorted(units, reverse=True)[1:2]


@dataclass(frozen=True, slots=True)
class ValueCount:
    """The value of an aggregate over a nullable column is shown only if enough units have a value there.

    The counts are, per provider, the units of the group with a value in the column (rows, where the row is
    the unit; a count of rows says nothing of persons where a person is the unit). None at all is no
    disclosure of a value: the aggregate is NULL of itself, and COUNT is 0. Otherwise `MinUnits` applies.

    Protects the few values behind the average of a large group in which almost all values are missing.
    The group stays; the cell is null and counted as suppressed, never 0.
    """

    units: MinUnits

    def holds(self, values_by_provider: Sequence[int]) -> bool:
        """Tell whether the cell may be shown."""
        return not any(values_by_provider) or self.units.holds(values_by_provider)

    def reason(self, provider: str, column: str) -> Reason:
        """Return, for `provider`, why cells over `column` were suppressed."""
        return Reason(
            provider,
            "release.min_units",
            f"an aggregate over few values of `{column}`",
            f"at least {self.units.threshold} units with a value",
            "group more coarsely or leave the column out",
        )


@dataclass(frozen=True, slots=True)
class MaxRows:
    """A result of more than `limit` rows is withheld as a whole.

    Counted are the rows that would be released, after suppression. Protects against reading a product out
    group by group in one job; it does not limit several jobs together.
    """

    limit: int

    def holds(self, rows: int) -> bool:
        """Tell whether a result of `rows` rows may be released."""
        return rows <= self.limit

    def reason(self, provider: str) -> Reason:
        """Return, for `provider`, why the result was withheld."""
        return Reason(
            provider,
            "release.max_rows",
            "a result of more rows",
            f"at most {self.limit} rows",
            "group more coarsely or filter more",
        )
