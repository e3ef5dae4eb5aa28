"""What stands in FROM: tables, collections and sub-queries as relations, joined on the conditions of WHERE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import names, parts, types
from sandbox.sql.catalogue import Catalogue, ProductFacts
from sandbox.sql.equal_columns import EqualColumns, merged, pushed_down
from sandbox.sql.joins import Filtered, Pair, join_all, join_outer, unmatched
from sandbox.sql.parts import Item, Part, Union, conjuncts
from sandbox.sql.relations import Program, Relation, refuse
from sandbox.sql.trees import (
    aggregates_of,
    aliases_of,
    branches,
    from_clause,
    has_query,
    output_names,
    unions,
)


@dataclass(slots=True)
class Sources:
    """Builds the rows of FROM and WHERE; sub-queries of several providers are a subclass's."""

    catalogue: Catalogue
    max_rows: int
    program: Program = field(default_factory=Program)
    aliases: int = 0

    def derived(self, query: exp.Query, alias: str) -> Relation:
        """Return the rows of a sub-query over several providers under its alias."""
        raise NotImplementedError

    def filtered(self, relation: Relation, condition: exp.Expr) -> Relation:
        """Keep the rows that meet a condition, which may have sub-queries."""
        raise NotImplementedError

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

    def from_item(self, node: exp.Expr) -> Relation:
        """Return the rows of a table or sub-query in FROM."""
        if isinstance(node, exp.Table):
            source = self.catalogue.find(node.name)
            members = [Part(self.program, self._table(node, facts)) for facts in source.products]
            return members[0] if len(members) == 1 else Union(self.program, members, node.alias_or_name)
        inner = node.unnest()
        if not isinstance(inner, (exp.Select, exp.Union)):
            raise refuse(
                "from", "another thing than a table or sub-query after FROM", "write a SELECT in parentheses"
            )
        if len(self.providers(inner)) == 1:
            return Part(self.program, self._local_item(inner, node.alias_or_name))
        return self.derived(inner, node.alias_or_name)

    def rows_of(self, facts: ProductFacts) -> int:
        """Return how many rows of a product enter shares at most: as declared, else as the buyer says."""
        return facts.declared.rows if facts.declared.rows is not None else self.max_rows

    def rows(self, select: exp.Select) -> Relation:
        """Return the rows that FROM and WHERE of a SELECT give."""
        first, *joins = from_clause(select)
        items, conditions = [self.from_item(first.this)], list[exp.Expr]()
        for join in joins:
            if join.kind in ("SEMI", "ANTI"):
                raise refuse("join", "SEMI or ANTI JOIN", "use [NOT] EXISTS or [NOT] IN")
            other, on = self.from_item(join.this), join.args.get("on")
            if not join.side:
                items.append(other)
                conditions += conjuncts(on) if on is not None else []
                continue
            kept = self._closed(items, conditions)
            items, conditions = [self._outer(kept, other, on, join.side)], []
        where = select.args.get("where")
        return self._closed(items, [*conditions, *(conjuncts(where.this) if where is not None else ())])

    def _types(self, query: exp.Query) -> dict[str, str]:
        return types.of_query(
            query,
            {
                table.name: {name.lower(): kind for name, kind in self.catalogue.find(table.name).columns}
                for table in query.find_all(exp.Table)
            },
        )

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

    def _local_item(self, query: exp.Query, alias: str) -> Item:
        rows, keys = self._shape(query)
        inner = query.copy()
        for table in inner.find_all(exp.Table):
            table.set(
                "this", exp.to_identifier(self.catalogue.find(table.name).products[0].product, quoted=True)
            )
        return Item(
            alias=alias,
            node=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))),
            provider=next(iter(self.providers(query))),
            columns=self._types(query),
            rows=rows,
            keys=keys,
            products=tuple(self.products(query)),
        )

    def _shape(self, query: exp.Query) -> tuple[int, tuple[frozenset[str], ...]]:
        """Return a bound on the rows of one provider's query, and what is unique among its outputs."""
        if isinstance(query, exp.Union):
            rows = sum(self._shape(branch)[0] for branch in branches(query))
            every = frozenset(output_names(branches(query)[0]))
            return rows, (every,) if all(node.args.get("distinct") for node in unions(query)) else ()
        select = query
        assert isinstance(select, exp.Select)  # noqa: S101 - a resolved query is one of both
        origin = self._local_rows(select)
        outputs = {item.alias: item.unalias() for item in select.expressions}
        group = select.args.get("group")
        rows, keys = origin.rows, list[frozenset[str]]()
        if group is not None:
            named = {name for name, node in outputs.items() if any(node == key for key in group.expressions)}
            if len({outputs[name].sql() for name in named}) == len({key.sql() for key in group.expressions}):
                keys.append(frozenset(named))
        elif aggregates_of(select.expressions):
            rows = 1
        else:
            plain = {
                (node.table, node.name): name
                for name, node in outputs.items()
                if isinstance(node, exp.Column)
            }
            if origin.is_unique(frozenset(plain)):
                keys.append(_fewest(origin, plain))
        if select.args.get("distinct"):
            keys.append(frozenset(outputs))
        limit = names.whole_number(select.args.get("limit"))
        return (rows if limit is None else min(rows, limit)), tuple(keys)

    def _local_rows(self, select: exp.Select) -> Part:
        """Return the FROM and WHERE of one provider's SELECT as a part, for its bounds and keys alone."""
        scratch = Sources(self.catalogue, self.max_rows)
        first, *joins = from_clause(select)
        part = scratch.from_item(first.this)
        assert isinstance(part, Part)  # noqa: S101 - all tables are one provider's
        for join in joins:
            other = scratch.from_item(join.this)
            assert isinstance(other, Part)  # noqa: S101
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

    def _outer(self, kept: Relation, other: Relation, on: exp.Expr | None, side: str) -> Relation:
        if on is None:
            raise refuse("join", "an outer join without ON", "name the columns after ON")
        if side == "RIGHT":
            kept, other = other, kept
        same = isinstance(kept, Part) and isinstance(other, Part) and kept.provider == other.provider
        if same and side != "FULL" and len(other.items) == 1:  # type: ignore[attr-defined]
            kept.join_left(other, on)  # type: ignore[attr-defined]
            return kept
        pairs: list[Pair] = []
        for condition in conjuncts(on):
            pair = _pair(condition, kept, other)
            if pair is not None:
                pairs.append(pair)
            elif aliases_of(condition) <= set(other.scope) and side != "FULL":
                other = self._filtered(other, condition)
            else:
                raise refuse(
                    "join",
                    "an outer join on more than columns that are equal",
                    "put conditions on one table into a sub-query, and others into WHERE",
                )
        if not pairs:
            raise refuse("join", "an outer join without columns that are equal", "name the columns after ON")
        left = join_outer(self.program, kept, other, pairs, self.alias())
        if side != "FULL":
            return left
        flipped = [(y, x) for x, y in pairs]
        rest = unmatched(self.program, other, kept, flipped, self.alias())
        return Union(self.program, [left, rest], self.alias())

    def _filtered(self, relation: Relation, condition: exp.Expr) -> Relation:
        if isinstance(relation, Part):
            relation.filter(condition)
            return relation
        if isinstance(relation, Union) and all(isinstance(child, Part) for child in relation.children):
            for child in relation.children:
                child.filter(condition.copy())  # type: ignore[attr-defined]
            return relation
        return Filtered(self.program, relation, condition)

    def _closed(self, items: list[Relation], conditions: list[exp.Expr]) -> Relation:
        """Join items on conditions that all hold."""
        plain = [each for each in conditions if not has_query(each)]
        nested = [each for each in conditions if has_query(each)]
        equal = EqualColumns()
        for left, right in parts.equalities(plain):
            equal.unite(left, right)
        rest: list[exp.Expr] = []
        for condition in plain:
            aliases = aliases_of(condition)
            home = next((i for i, item in enumerate(items) if aliases <= set(item.scope)), None)
            if home is None:
                rest.append(condition)
            else:
                items[home] = self._filtered(items[home], condition)
        items = merged(items, equal)
        rest = [each for each in rest if not pushed_down(items, each)]
        nested = [each for each in nested if not self._pushed(items, each, equal)]
        relation = join_all(self.program, items, equal.pairs(items))
        for condition in rest:
            pairs = parts.equalities([condition])
            if not pairs:
                relation = Filtered(self.program, relation, condition)
        for condition in nested:
            relation = self.filtered(relation, condition)
        return relation

    def _pushed(self, items: Sequence[Relation], condition: exp.Expr, equal: EqualColumns) -> bool:
        """Give a condition with sub-queries to a part that can answer all of it, if there is one."""
        inner = {
            node.alias_or_name for node in condition.find_all(exp.Table, exp.Subquery) if node.alias_or_name
        }
        providers = self.providers(condition)
        outer = [column for column in condition.find_all(exp.Column) if column.table not in inner]
        for item in items:
            if not isinstance(item, Part) or not providers <= {item.provider}:
                continue
            members = {(c.table, c.name): equal.member(c, item.scope) for c in outer}
            if all(member is not None for member in members.values()):
                item.filter(self._localised(condition, members), self.products(condition))
                return True
        return False

    def _localised(
        self, condition: exp.Expr, members: Mapping[tuple[str, str], tuple[str, str] | None]
    ) -> exp.Expr:
        def replaced(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column) and members.get((node.table, node.name)) is not None:
                table, name = members[node.table, node.name] or ("", "")
                return exp.column(name, table=table, quoted=True)
            if isinstance(node, exp.Table):
                product = self.catalogue.find(node.name).products[0].product
                return exp.Table(this=exp.to_identifier(product, quoted=True), alias=node.args.get("alias"))
            return node

        return condition.transform(replaced)


def _pair(condition: exp.Expr, left: Relation, right: Relation) -> Pair | None:
    """Return an equality as (over left, over right), if it is one."""
    if not isinstance(condition, exp.EQ):
        return None
    x, y = condition.this, condition.expression
    for a, b in ((x, y), (y, x)):
        if (
            aliases_of(a)
            and aliases_of(b)
            and aliases_of(a) <= set(left.scope)
            and aliases_of(b) <= set(right.scope)
        ):
            return a, b
    return None


def _fewest(part: Part, columns: Mapping[tuple[str, str], str]) -> frozenset[str]:
    """Return as few output names as are still unique."""
    needed = dict(columns)
    for column in sorted(columns):
        fewer = frozenset(needed) - {column}
        if part.is_unique(fewer):
            del needed[column]
    return frozenset(needed.values())
