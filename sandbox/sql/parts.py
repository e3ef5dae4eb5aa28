"""Leaves of a joint plan: what one provider's own engine computes.

The provider puts in the rows of its part; nobody learns more of them than their greatest number.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.catalogue import ProductFacts, family
from sandbox.sql.columns import payload_words
from sandbox.sql.computed import Program
from sandbox.sql.conjuncts import equalities
from sandbox.sql.encodings import MOST_BITS, Encoding, Number, natural_scale, type_bounds
from sandbox.sql.part_sql import Item, Placed, Sql, spellings_of, tables_of
from sandbox.sql.plan import Facet, LocalPart, PartColumn
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import ROW, Names, Relation
from sandbox.sql.steps import Column, Input

MOST_ROWS = 1 << 22
DEFAULT_TEXT_BYTES = 32


class Part(Relation):
    """The rows of one provider's items, joined and filtered in its own engine."""

    def __init__(self, program: Program, item: Item) -> None:
        """A part of one item; see `join` and `filter`."""
        super().__init__(program, {item.alias: dict(item.columns)}, item.rows)
        self.provider = item.provider
        self.sql = Sql([Placed(item)])
        self._columns: list[PartColumn] = []
        self._unique: list[tuple[str, ...]] = []
        self._products: list[ProductFacts] = list(item.products)
        self._add(item)

    @property
    def items(self) -> list[Item]:
        """Its items, in the order of FROM."""
        return [each.item for each in self.sql.joined]

    def join(self, other: Part) -> None:
        """Take in the items and conditions of another part of this provider."""
        self.sql.joined += other.sql.joined
        self.sql.conditions += other.sql.conditions
        self._absorb(other)

    def join_left(self, other: Part, condition: exp.Expr) -> None:
        """Join another part of one item, whose columns are NULL where nothing meets the condition."""
        item = other.items[0]
        self.sql.joined.append(Placed(item, "left", exp.and_(condition, *other.sql.conditions)))
        own = set(self.scope)
        self._absorb(other)
        for left, right in equalities([condition]):
            pair = (left, right) if left[0] in own else (right, left)
            if pair[0][0] in own and pair[1][0] == item.alias:
                self.dependencies.append((frozenset({pair[0]}), frozenset({pair[1]})))
        self._bound_rows()

    def filter(self, condition: exp.Expr, products: Sequence[ProductFacts] = ()) -> None:
        """Keep the rows that meet a condition over its items; `products` are those of its sub-queries."""
        self.sql.conditions.append(condition)
        self._products += products
        for left, right in equalities([condition]):
            self.dependencies += [
                (frozenset({left}), frozenset({right})),
                (frozenset({right}), frozenset({left})),
            ]
        self._bound_rows()

    def require_unique(self, keys: Sequence[Column]) -> None:
        """Have the provider check, before it puts its rows in, that no two of them agree in these keys."""
        names = tuple(sorted(key.name for key in keys))
        if names not in self._unique:
            self._unique.append(names)

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Return True: keys are places in the order of values."""
        return True

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a payload of the expression takes."""
        return payload_words(self.type_of(expression), self._text_bytes(expression))

    def most(self, columns: Names) -> int | None:
        """Return how many rows share values of `columns` at most, None if that is not declared."""
        found = [1] if self.is_unique(columns) else []
        for item in self.items:
            if item.facts is not None and self.is_unique(frozenset({(item.alias, ROW)})):
                declared = dict(item.facts.declared.most)
                found += [
                    declared[name] for alias, name in columns if alias == item.alias and name in declared
                ]
        return min(found, default=None)

    def row_number(self, item: Item) -> Column:
        """Return a key that tells apart the rows of the part: that of an item where no row stands twice."""
        bits = self.rows.bit_length()
        return self._once(
            ("row", item.alias), lambda: self._enter(Column("", "key", bits), "row", (), "BIGINT")
        )

    def code(self, expressions: Sequence[exp.Expr]) -> Column:
        """Return a key for the values of several expressions together; NULL if one of them is."""
        sources = tuple(self.sql.output(expression) for expression in expressions)
        kind = self.type_of(expressions[0])
        bits = self.rows.bit_length()
        return self._once(
            ("code", sources), lambda: self._enter(Column("", "key", bits), "code", sources, kind)
        )

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return declared bounds of value · `scale`, or those of its type; None if there are none."""
        if expression.find(exp.Column) is None:
            return None  # the type of a placeholder is a sample's
        declared = self._declared(expression, scale)
        return declared if declared is not None else type_bounds(self.type_of(expression), scale)

    def _declared(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the bounds that follow from declared ranges, of columns and of what + − · make of them."""
        node = expression.unnest()
        match node:
            case exp.Column():
                return self._range(node, scale)
            case exp.Neg():
                inner = self._declared(node.this, scale)
                return None if inner is None else (-inner[1], -inner[0])
            case exp.Add() | exp.Sub():
                left, right = (self._declared(side, scale) for side in (node.this, node.expression))
                if left is None or right is None:
                    return None
                low, high = right if isinstance(node, exp.Add) else (-right[1], -right[0])
                return left[0] + low, left[1] + high
            case exp.Mul():
                scales = [natural_scale(self.type_of(side)) for side in (node.this, node.expression)]
                left, right = (
                    self._declared(side, each)
                    for side, each in zip((node.this, node.expression), scales, strict=True)
                )
                if left is None or right is None:
                    return None
                ends = [x * y * scale for x in left for y in right]
                product = scales[0] * scales[1]
                return min(ends) // product, -(-max(ends) // product)
        return None

    def _range(self, column: exp.Column, scale: int) -> tuple[int, int] | None:
        item = next(each for each in self.items if each.alias == column.table)
        declared = dict(item.facts.declared.ranges).get(column.name) if item.facts is not None else None
        if declared is None:
            return None
        kind = item.columns[column.name]
        natural = 1 if kind == "DOUBLE" else natural_scale(kind)
        low, high = (end * scale for end in declared)
        return low // natural, -(-high // natural)

    def _add(self, item: Item) -> None:
        row = item.marks
        self.marks |= row
        self.dependencies.append((row, frozenset((item.alias, name) for name in item.columns)))
        self.dependencies += [(frozenset((item.alias, name) for name in key), row) for key in item.keys]

    def _absorb(self, other: Part) -> None:
        self.scope.update(other.scope)
        self._products += other._products
        self.dependencies += other.dependencies
        self.marks |= other.marks
        self._bound_rows()

    def _bound_rows(self) -> None:
        """At most as many rows as the item has whose rows determine all others; else the product."""
        single = [each.rows for each in self.items if self.is_unique(each.marks)]
        product = 1
        for each in self.items:
            product *= each.rows
        self.rows = min([*single, product, MOST_ROWS])

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        kind = self.type_of(expression)
        if family(kind) == "text":
            raise refuse("expression", "a text where a number is computed", "cast it to a number")
        wanted = scale if scale is not None else natural_scale(kind)
        most = (1 << max(0, min(budget_bits, MOST_BITS))) - 1
        declared = self._declared(expression, wanted)
        if declared is not None and max(-declared[0], declared[1]) > most:
            raise refuse(
                "range",
                "numbers that do not fit 64 bits in shares",
                "use a column with a narrower `public.ranges`, or compute within one provider",
            )
        low, high = self.bounds(expression, wanted) or (-most, most)
        low, high = max(low, -most), min(high, most)
        column = self._enter(
            Column("", "number", 64), "number", (self.sql.output(expression),), kind, wanted, low, high
        )
        return Number(column.name, wanted, low, high)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        kind = self.type_of(expression)
        if truth != "known" and kind != "BOOLEAN":
            raise refuse("condition", "a condition that is no truth value", "compare it with a value")
        return self._enter(Column("", "bit", 1), truth, (self.sql.output(expression),), kind).name

    def _key(self, expression: exp.Expr) -> Column:
        return self.code([expression])

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        kind, source = self.type_of(expression), (self.sql.output(expression),)
        column = Column("", "key", encoding.bits)
        if encoding.kind == "text":
            return self._enter(column, "text", source, kind)
        return self._enter(column, "value", source, kind, encoding.scale, encoding.low, encoding.high)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        kind = self.type_of(expression)
        words = max(self.payload_words(expression), least_words)
        column = self._enter(
            Column("", "payload", 64 * words), "payload", (self.sql.output(expression),), kind
        )
        return column.name, words

    def _text_bytes(self, expression: exp.Expr) -> int:
        node = expression.unnest()
        if isinstance(node, exp.Column):
            item = next(each for each in self.items if each.alias == node.table)
            if item.facts is not None:
                return dict(item.facts.declared.bytes).get(node.name, DEFAULT_TEXT_BYTES)
        return DEFAULT_TEXT_BYTES

    def _enter(
        self,
        column: Column,
        facet: Facet,
        sources: tuple[str, ...],
        kind: str,
        scale: int = 1,
        low: int = 0,
        high: int = 0,
    ) -> Column:
        named = Column(self.program.name(), column.kind, column.bits)
        self._columns.append(PartColumn(named, facet, sources, kind, scale, low, high))
        return named

    def _emit(self) -> int:
        program = self.program
        program.parts.append(
            LocalPart(
                self.provider,
                tables_of(self._products),
                self.sql.text(spellings_of(self._products)),
                self.rows,
                tuple(self._columns),
                tuple(self._unique),
            )
        )
        return program.add(Input(len(program.parts) - 1, self.rows))
