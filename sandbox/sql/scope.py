"""The names that the expressions of a SELECT may use, with what their values are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql.dependencies import NO_MATCHES, NOTHING, Dependencies, Matches, Value, combined

Outputs = tuple[tuple[str, Value], ...]
"""Names and values in order; two outputs may have one name."""


@dataclass(slots=True)
class Scope:
    """The names that the expressions of one SELECT may use; `outer` is that of the SELECT around it."""

    outer: Scope | None
    items: dict[str, dict[str, Value]] = field(default_factory=dict)
    keys: tuple[tuple[exp.Expr, Value], ...] = ()
    outputs: Outputs = ()
    conditions: Dependencies = NOTHING
    """What decides whether the SELECT has a row."""
    matched_outside: Matches = NO_MATCHES
    """What the conditions say of rows of the outer SELECT, if this one has a row."""
    is_correlated: bool = False

    def apply(self, found: Matches, aliases: Iterable[str]) -> None:
        """Mark the items `aliases` with the matches that each of their rows has."""
        for alias in aliases:
            self.items[alias] = {name: found.applied(value) for name, value in self.items[alias].items()}

    def guard(self, aliases: Iterable[str], conditions: Dependencies) -> None:
        """Make the items `aliases` NULL where the conditions fail."""
        for alias in aliases:
            self.items[alias] = {name: value.guarded(conditions) for name, value in self.items[alias].items()}

    def place(self, column: exp.Expr) -> tuple[Scope, str]:
        """Return the scope and the item that a column belongs to."""
        scope = self
        while column.text("table") not in scope.items:
            scope.is_correlated = True
            if scope.outer is None:
                raise AssertionError("a resolved tree names its own items only")
            scope = scope.outer
        return scope, column.text("table")

    def column(self, column: exp.Expr) -> Value:
        """Return the value of a column; without a table, it is an output."""
        if not column.text("table"):
            return named(self.outputs)[column.name]
        scope, alias = self.place(column)
        return scope.items[alias][column.name]


def named(outputs: Outputs) -> dict[str, Value]:
    """Return outputs by name; a name of several stands for all of them."""
    columns: dict[str, Value] = {}
    for name, value in outputs:
        columns[name] = combined((columns[name], value)) if name in columns else value
    return columns
