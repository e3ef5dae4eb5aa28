"""What each provider of a collection computes before shares: groups, aggregates, counts of units."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import units
from sandbox.sql.catalogue import ProductFacts


@dataclass(slots=True)
class Partial:
    """What each provider computes: keys `k0…`, aggregates `p0…`, units `u` and, of each value, `c0…`."""

    table: exp.Table
    where: exp.Where | None
    keys: list[exp.Expr]
    aggregates: list[exp.Expr] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    conditions: list[exp.Expr] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    protected: bool = False

    def column(self, aggregate: exp.Expr) -> str:
        """Add an aggregate of the rows of one provider, once, and return its name."""
        if aggregate not in self.aggregates:
            self.aggregates.append(aggregate.copy())
        return f"p{self.aggregates.index(aggregate)}"

    def support(self, aggregate: exp.Expr) -> list[str]:
        """Add the counts of units behind an aggregate and return their names."""
        names = []
        for condition in units.arguments_of(aggregate) if self.protected else ():
            if condition not in self.conditions:
                self.conditions.append(condition)
            names.append(f"c{self.conditions.index(condition)}")
        return names

    def select(self, facts: ProductFacts) -> exp.Select:
        """Return the SELECT of one provider, over the name of its product."""
        counted = _counted(facts, self.table.alias)
        items = {f"k{i}": key for i, key in enumerate(self.keys)}
        items |= {f"p{i}": aggregate for i, aggregate in enumerate(self.aggregates)}
        if counted is not None:
            items["u"] = counted.count()
            items |= {f"c{i}": counted.count(condition) for i, condition in enumerate(self.conditions)}
        table = self.table.copy()
        table.set("this", exp.to_identifier(facts.product, quoted=True))
        select = exp.select(*(exp.alias_(node.copy(), name, quoted=True) for name, node in items.items()))
        select = select.from_(table, copy=False)
        select.set("where", self.where.copy() if self.where is not None else None)
        if self.keys:
            select.set("group", exp.Group(expressions=[key.copy() for key in self.keys]))
        return select


def _counted(facts: ProductFacts, alias: str) -> units.Counted | None:
    if facts.unit is None:
        return None
    names = facts.unit if isinstance(facts.unit, tuple) else ()
    return units.Counted(facts, tuple(exp.column(name.lower(), table=alias, quoted=True) for name in names))
