"""What a value of a query is made of: the abstract values that `sandbox.sql.disclosure` computes with.

Every value has the columns that it is made of, each with the transformations that it has passed
(`policies.columns.TRANSFER`), and the conditions that act on it. Two kinds of conditions are told apart:

- guards: where the condition fails, the value is NULL: `CASE WHEN g THEN v END` (which is what FILTER is),
  NULLIF, the side of an outer join that found no match, a correlated sub-query without a row;
- choices: the condition chooses between values: `CASE WHEN c THEN v ELSE w END`, COALESCE.

Aggregates pass over NULL, so that a guard under an aggregate decides which rows count and nothing more: it
is a filter, and its `filter` or `join` use covers it. COUNT, SUM and AVG over a choice are made of the counts
and sums of its branches, which FILTER would give one by one: there, too, the condition is a filter. MIN, MAX,
the quantiles, DISTINCT and the others would show which branch one row took: there the choice stays. A value
that is shown row by row shows its conditions, and keeps guards and choices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

ONE_VALUE = -1
"""The table of what is one value for the whole query: an aggregate over all rows of a sub-query."""

LINEAR = frozenset({"count", "sum", "avg"})


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """A column of a product, read in one place of the query, and what its values have passed since.

    `table` is the number of that place, so that two readings of one product are told apart: what had to match
    in the one says nothing of the other.
    """

    table: int
    product: str
    column: str
    after: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        """Whose column it is."""
        return self.product.partition(".")[0]

    def passed(self, *words: str) -> Dependency:
        """Return it after the transformations `words`."""
        return replace(self, after=tuple(sorted({*self.after, *words})))


Dependencies = frozenset[Dependency]
NOTHING: Dependencies = frozenset()


@dataclass(frozen=True, slots=True)
class Value:
    """An abstract value.

    `is_column`: each value of it is a value of a provider's column, unchanged, of the very row (or of every
    row of the group) that the other columns of `parts` with the same table come from. Only such a value can
    be the key of a join: a key made by an expression may match whatever the buyer likes.
    """

    parts: Dependencies = NOTHING
    guards: Dependencies = NOTHING
    choices: Dependencies = NOTHING
    is_column: bool = False

    @property
    def all(self) -> Dependencies:
        """Everything that is shown when the value is."""
        return self.parts | self.guards | self.choices

    def passed(self, *words: str) -> Value:
        """Return it after the transformations `words`."""
        return self.mapped(lambda dependency: dependency.passed(*words))

    def mapped(self, change: Callable[[Dependency], Dependency]) -> Value:
        """Return it with `change` made to each of its dependencies."""
        return replace(
            self,
            parts=frozenset(map(change, self.parts)),
            guards=frozenset(map(change, self.guards)),
            choices=frozenset(map(change, self.choices)),
        )

    def guarded(self, conditions: Dependencies) -> Value:
        """Return what is NULL where `conditions` fail."""
        return replace(self, guards=self.guards | conditions)

    def chosen(self, conditions: Dependencies) -> Value:
        """Return one of several values that `conditions` choose from: which of them is NULL chooses too."""
        return Value(self.parts, NOTHING, self.guards | self.choices | conditions)

    def aggregated(self, function: str, *, distinct: bool, by_row: bool) -> Value:
        """Return the aggregate; `by_row` if it is a window's, which is shown beside each row."""
        kept = self.choices if distinct or function not in LINEAR else NOTHING
        if by_row:
            kept = self.guards | self.choices
        return Value(self.parts, NOTHING, kept).passed(f"aggregate:{function}")

    def read_at(self, table: int) -> Value:
        """Return it as read in another place, where no match of its own rows says anything of it."""
        return replace(self.mapped(lambda dependency: replace(dependency, table=table)), is_column=False)


def combined(values: Iterable[Value]) -> Value:
    """Return what an expression of `values` gives that is NULL where one of them is NULL."""
    read = tuple(values)
    return Value(
        frozenset().union(*(value.parts for value in read)),
        frozenset().union(*(value.guards for value in read)),
        frozenset().union(*(value.choices for value in read)),
    )


def united(first: Value, second: Value) -> Value:
    """Return a column of a UNION."""
    return replace(combined((first, second)), is_column=first.is_column and second.is_column)


def spans_tables(dependencies: Dependencies) -> bool:
    """Tell whether columns of two products are put beside each other, read in different places.

    Two products in one place are those of a collection, whose rows stand below each other.
    """
    placed = {(each.table, each.product) for each in dependencies if each.table != ONE_VALUE}
    return any(
        table != other_table and product != other_product
        for table, product in placed
        for other_table, other_product in placed
    )


@dataclass(frozen=True, slots=True)
class Matches:
    """Keys whose rows had to match a row of another provider."""

    keys: frozenset[tuple[int, str, str]] = frozenset()

    def __or__(self, other: Matches) -> Matches:
        return Matches(self.keys | other.keys)

    def applied(self, value: Value) -> Value:
        """Return a value of a SELECT whose rows are the matched ones alone."""
        return value.mapped(self._after_match) if self.keys else value

    def _after_match(self, dependency: Dependency) -> Dependency:
        place = (dependency.table, dependency.product)
        columns = {column for *of, column in self.keys if (*of,) == place}
        if not columns:
            return dependency
        words = ["join"] * (dependency.column in columns) + ["join-payload"] * bool(
            columns - {dependency.column}
        )
        return dependency.passed(*words)


NO_MATCHES = Matches()


def matches(key: Value, other: Value) -> Matches:
    """Return what it says of the rows of `key` that they matched `other`.

    Nothing, unless both are columns, and rows of other providers only stand behind `other`: a row may always
    match one of its own table.
    """
    if not (key.is_column and other.is_column):
        return NO_MATCHES
    providers = {dependency.provider for dependency in other.parts}
    return Matches(
        frozenset(
            (part.table, part.product, part.column)
            for part in key.parts
            if providers and part.provider not in providers
        )
    )
