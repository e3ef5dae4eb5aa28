"""The SQL of one provider's part as it grows: what stands in FROM, the conditions, the outputs asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import grammar
from sandbox.sql.catalogue import ProductFacts
from sandbox.sql.guards import guard
from sandbox.sql.relations import ROW, Names


@dataclass(frozen=True, slots=True)
class Item:
    """What stands in FROM at one provider: a table or sub-query `node`, under an alias that nothing else has.

    `facts` are those of a table; `products` all that it reads. At most `rows` rows; `keys` tell rows apart.
    """

    alias: str
    node: exp.Expr
    provider: str
    columns: Mapping[str, str]
    rows: int
    keys: tuple[frozenset[str], ...]
    products: tuple[ProductFacts, ...]
    facts: ProductFacts | None = None

    @property
    def marks(self) -> Names:
        """The mark of its rows."""
        return frozenset({(self.alias, ROW)})


@dataclass(slots=True)
class Placed:
    """An item, and how it is joined to those before it: `left` on a condition, or by those of the part."""

    item: Item
    side: str = ""
    condition: exp.Expr | None = None


@dataclass(slots=True)
class Sql:
    """The SQL of a part as it grows: FROM, WHERE, and the outputs that were asked for."""

    joined: list[Placed]
    conditions: list[exp.Expr] = field(default_factory=list)
    outputs: dict[str, exp.Expr] = field(default_factory=dict)

    def output(self, expression: exp.Expr) -> str:
        """Return the name of an output of the SQL; equal expressions share one."""
        for name, known in self.outputs.items():
            if known == expression:
                return name
        self.outputs[f"e{len(self.outputs)}"] = expression.copy()
        return f"e{len(self.outputs) - 1}"

    def text(self, spellings: Mapping[tuple[str, str], str]) -> str:
        """Return the SELECT; what could fail on a row is NULL instead, so that no error tells of a row."""
        outputs = self.outputs or {"e0": exp.Literal.number(1)}
        select = exp.select(*(exp.alias_(node.copy(), name, quoted=True) for name, node in outputs.items()))
        for position, each in enumerate(self.joined):
            node = each.item.node.copy()
            if position == 0:
                select = select.from_(node, copy=False)
            elif each.side:
                select = select.join(node, on=each.condition, join_type=each.side, copy=False)
            else:
                select = select.join(node, join_type="cross", copy=False)
        if self.conditions:
            select = select.where(*(node.copy() for node in self.conditions), copy=False)
        return text_of(guard(select), spellings)


def tables_of(products: Sequence[ProductFacts]) -> tuple[tuple[str, str], ...]:
    """Return (product, table) of products, sorted."""
    return tuple(sorted({(facts.product, facts.table) for facts in products}))


def spellings_of(products: Sequence[ProductFacts]) -> dict[tuple[str, str], str]:
    """Return how columns of products are spelt in their source, by (product, name)."""
    return {(facts.product, name.lower()): name for facts in products for name, _ in facts.columns}


def text_of(select: exp.Query, spellings: Mapping[tuple[str, str], str]) -> str:
    """Return the text of a part: tables by their names at the provider, columns as the source spells them."""
    tree = select.copy()
    sources = {table.alias_or_name: table.name for table in tree.find_all(exp.Table)}
    for column in tree.find_all(exp.Column):
        spelt = spellings.get((sources.get(column.table, ""), column.name))
        column.set("this", exp.to_identifier(spelt or column.name, quoted=True))
    for table in tree.find_all(exp.Table):
        table.set("this", exp.to_identifier(table.name.partition(".")[2], quoted=True))
    return tree.sql(grammar.DIALECT, identify=True, comments=False)
