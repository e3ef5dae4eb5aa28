"""The meet of several providers' terms: for every knob the strictest value, as a lattice.

`a & b` is associative, commutative, idempotent and monotone; a result that satisfies the meet satisfies
every provider's own rules. Clauses that only one provider can judge (buyers, purposes, columns, parties,
validity, budgets) are no part of it: each node refuses for itself, and one refusal is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import get_args

from policies.disclosure import MaxRows, MinUnits, ValueCount
from policies.terms import Terms
from policies.vocabulary import Differencing, Grade, LeakId, Technique
from records.errors import MalformedDocument

_GRADES: tuple[Grade, ...] = get_args(Grade)
_DIFFERENCING: tuple[Differencing, ...] = get_args(Differencing)


@dataclass(frozen=True, slots=True)
class ReleaseRules:
    """What a joint result must satisfy, and how it may be computed.

    `min_units` is 0 where no provider names a unit. `units_disjoint` holds where every named unit is the
    row: rows of different providers are different, persons may not be (R9).
    """

    grade: Grade
    min_units: int
    units_disjoint: bool
    max_rows: int
    differencing: Differencing
    techniques: frozenset[Technique]
    leaks: frozenset[LeakId]

    def __and__(self, other: ReleaseRules) -> ReleaseRules:
        """Return the meet: at least as strict as both."""
        return ReleaseRules(
            grade=max(self.grade, other.grade, key=_GRADES.index),
            min_units=max(self.min_units, other.min_units),
            units_disjoint=self.units_disjoint and other.units_disjoint,
            max_rows=min(self.max_rows, other.max_rows),
            differencing=max(self.differencing, other.differencing, key=_DIFFERENCING.index),
            techniques=self.techniques & other.techniques,
            leaks=self.leaks & other.leaks,
        )

    def is_as_strict_as(self, other: ReleaseRules) -> bool:
        """Tell whether whatever passes here passes `other` too."""
        return self & other == self

    @property
    def group_rule(self) -> MinUnits:
        """The rule for every group."""
        return MinUnits(self.min_units, self.units_disjoint)

    @property
    def value_rule(self) -> ValueCount:
        """The rule for every aggregate over a nullable column."""
        return ValueCount(self.group_rule)

    @property
    def size_rule(self) -> MaxRows:
        """The rule for the whole result."""
        return MaxRows(self.max_rows)


def release_rules(terms: Terms) -> ReleaseRules:
    """Return the release rules of one product."""
    return ReleaseRules(
        grade=terms.grade,
        min_units=terms.release.min_units if terms.names_unit else 0,
        units_disjoint=not terms.unit_columns,
        max_rows=terms.release.max_rows,
        differencing=terms.release.differencing,
        techniques=frozenset(terms.techniques),
        leaks=frozenset(terms.leaks),
    )


def meet(terms: Sequence[Terms]) -> ReleaseRules:
    """Return the meet of the release rules of all products of a job.

    Raises:
        MalformedDocument: no product.
    """
    if not terms:
        raise MalformedDocument("a job uses at least one product")
    return reduce(and_, map(release_rules, terms))
