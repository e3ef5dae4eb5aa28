"""The rows of FROM and WHERE: tables, collections and sub-queries, joined where columns are equal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from sqlglot import exp

from sandbox.sql.conjuncts import conjuncts, equalities
from sandbox.sql.equal_columns import EqualColumns, merged, pushed_down
from sandbox.sql.items import Items
from sandbox.sql.join_order import join_all, join_outer, unmatched
from sandbox.sql.joins import Filtered, Pair
from sandbox.sql.parts import Part
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.trees import (
    aliases_of,
    from_items,
    has_query,
    joins_of,
)
from sandbox.sql.unions import Union


class Sources(Items, ABC):
    """Builds the rows of FROM and WHERE; sub-queries of several providers are a subclass's."""

    @abstractmethod
    def derived(self, query: exp.Select | exp.Union, alias: str) -> Relation:
        """Return the rows of a sub-query over several providers under its alias."""

    @abstractmethod
    def filtered(self, relation: Relation, condition: exp.Expr) -> Relation:
        """Keep the rows that meet a condition, which may have sub-queries."""

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

    def rows(self, select: exp.Select) -> Relation:
        """Return the rows that FROM and WHERE of a SELECT give."""
        items, conditions = [self.from_item(from_items(select)[0])], list[exp.Expr]()
        for join in joins_of(select):
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

    def _outer(self, kept: Relation, other: Relation, on: exp.Expr | None, side: str) -> Relation:
        if on is None:
            raise refuse("join", "an outer join without ON", "name the columns after ON")
        if side == "RIGHT":
            kept, other = other, kept
        if isinstance(kept, Part) and isinstance(other, Part) and _is_local(kept, other, side):
            kept.join_left(other, on)
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
        parts = [child for child in relation.children if isinstance(child, Part)]
        if isinstance(relation, Union) and len(parts) == len(relation.children):
            for part in parts:
                part.filter(condition.copy())
            return relation
        return Filtered(self.program, relation, condition)

    def _closed(self, items: list[Relation], conditions: list[exp.Expr]) -> Relation:
        """Join items on conditions that all hold."""
        plain = [each for each in conditions if not has_query(each)]
        nested = [each for each in conditions if has_query(each)]
        equal = EqualColumns()
        for left, right in equalities(plain):
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
        relation = join_all(self.program, items, equal.pairs(items), rest)
        for condition in rest:
            pairs = equalities([condition])
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


def _is_local(left: Part, right: Part, side: str) -> bool:
    """Tell whether one provider's engine does an outer join of two parts."""
    return left.provider == right.provider and side != "FULL" and len(right.items) == 1


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
