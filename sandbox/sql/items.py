"""What stands in FROM at one provider: tables and sub-queries, with a bound on their rows and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import names, types
from sandbox.sql.catalogue import Catalogue, ProductFacts
from sandbox.sql.computed import Program
from sandbox.sql.part_sql import Item
from sandbox.sql.parts import Part
from sandbox.sql.trees import (
    aggregates_of,
    branches,
    columns_of_tables,
    from_items,
    inner_query,
    joins_of,
    named,
    output_names,
    unions,
)


@dataclass(slots=True)
class Items:
    """Builds parts of what stands in FROM, and gives names to the query's new relations."""

    catalogue: Catalogue
    max_rows: int
    program: Program = field(default_factory=Program)
    aliases: int = 0

    def alias(self) -> str:
        """Return an alias that the query does not have."""
        self.aliases += 1
        return f"_{self.aliases}"

    def providers(self, tree: exp.Expr) -> set[str]:
        """Return the providers of all tables in a tree."""
        return {facts.provider for facts in self.products(tree)}

    def products(self, tree: exp.Expr) -> list[ProductFacts]:
        """Return the products of all tables in a tree."""
        found = {
            facts.product: facts
            for table in tree.find_all(exp.Table)
            for facts in self.catalogue.find(table.name).products
        }
        return [found[name] for name in sorted(found)]

    def part(self, node: exp.Expr) -> Part:
        """Return the rows of a table or sub-query in FROM that is one provider's."""
        if isinstance(node, exp.Table):
            (facts,) = self.catalogue.find(node.name).products
            return Part(self.program, self._table(node, facts))
        return Part(self.program, self._local_item(inner_query(node), node.alias_or_name))

    def rows_of(self, facts: ProductFacts) -> int:
        """Return how many rows of a product enter shares at most: as declared, else as the buyer says."""
        return facts.declared.rows if facts.declared.rows is not None else self.max_rows

    def _types(self, query: exp.Query) -> dict[str, str]:
        return types.of_query(query, columns_of_tables(query, self.catalogue))

    def _table(self, node: exp.Table, facts: ProductFacts) -> Item:
        table = exp.Table(
            this=exp.to_identifier(facts.product, quoted=True),
            alias=exp.TableAlias(this=exp.to_identifier(node.alias_or_name, quoted=True)),
        )
        return Item(
            alias=node.alias_or_name,
            node=table,
            provider=facts.provider,
            columns={name.lower(): kind for name, kind in facts.columns},
            rows=self.rows_of(facts),
            keys=tuple(frozenset(key) for key in facts.declared.keys),
            products=(facts,),
            facts=facts,
        )

    def _local_item(self, query: exp.Select | exp.Union, alias: str) -> Item:
        rows, keys = self._shape(query)
        inner = query.copy()
        for table in inner.find_all(exp.Table):
            table.set(
                "this", exp.to_identifier(self.catalogue.find(table.name).products[0].product, quoted=True)
            )
        return Item(
            alias=alias,
            node=named(inner, alias),
            provider=next(iter(self.providers(query))),
            columns=self._types(query),
            rows=rows,
            keys=keys,
            products=tuple(self.products(query)),
        )

    def _shape(self, query: exp.Select | exp.Union) -> tuple[int, tuple[frozenset[str], ...]]:
        """Return a bound on the rows of one provider's query, and what is unique among its outputs."""
        if isinstance(query, exp.Union):
            rows = sum(self._shape(branch)[0] for branch in branches(query))
            every = frozenset(output_names(branches(query)[0]))
            return rows, (every,) if all(node.args.get("distinct") for node in unions(query)) else ()
        origin = self._local_rows(query)
        outputs = {item.alias: item.unalias() for item in query.expressions}
        group = query.args.get("group")
        rows, keys = origin.rows, list[frozenset[str]]()
        if group is not None:
            named = {name for name, node in outputs.items() if any(node == key for key in group.expressions)}
            if len({outputs[name].sql() for name in named}) == len({key.sql() for key in group.expressions}):
                keys.append(frozenset(named))
        elif aggregates_of(query.expressions):
            rows = 1
        else:
            plain = {
                (node.table, node.name): name
                for name, node in outputs.items()
                if isinstance(node, exp.Column)
            }
            if origin.is_unique(frozenset(plain)):
                keys.append(_fewest(origin, plain))
        if query.args.get("distinct"):
            keys.append(frozenset(outputs))
        limit = names.whole_number(query.args.get("limit"))
        return (rows if limit is None else min(rows, limit)), tuple(keys)

    def _local_rows(self, select: exp.Select) -> Part:
        """Return the FROM and WHERE of one provider's SELECT as a part, for its bounds and keys alone."""
        scratch = Items(self.catalogue, self.max_rows)
        part, *others = (scratch.part(node) for node in from_items(select))
        for join, other in zip(joins_of(select), others, strict=True):
            condition = join.args.get("on") or exp.true()
            if join.side == "LEFT":
                part.join_left(other, condition)
            elif join.side:
                part.join(other)  # the product bounds them
                part.dependencies.clear()
            else:
                part.join(other)
                part.filter(condition)
        where = select.args.get("where")
        if where is not None:
            part.filter(where.this)
        return part


def _fewest(part: Part, columns: Mapping[tuple[str, str], str]) -> frozenset[str]:
    """Return as few output names as are still unique."""
    needed = dict(columns)
    for column in sorted(columns):
        fewer = frozenset(needed) - {column}
        if part.is_unique(fewer):
            del needed[column]
    return frozenset(needed.values())
