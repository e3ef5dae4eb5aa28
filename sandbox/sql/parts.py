"""Leaves of a joint plan: what one provider's engine computes, and the rows of several providers stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from sandbox.sql import grammar, types
from sandbox.sql.catalogue import ProductFacts, family
from sandbox.sql.columns import payload_words
from sandbox.sql.plan import Facet, LocalPart, PartColumn
from sandbox.sql.relations import (
    MOST_BITS,
    Encoding,
    Names,
    Number,
    Program,
    Relation,
    Truth,
    encoding_of,
    natural_scale,
    refuse,
    type_bounds,
)
from sandbox.sql.steps import Column, Input, Project, Stack

MOST_ROWS = 1 << 22
DEFAULT_TEXT_BYTES = 32
ROW = "*"

_FALLIBLE = (
    *(exp.Add, exp.Sub, exp.Mul, exp.IntDiv, exp.Mod, exp.Neg, exp.Cast),
    *(exp.Abs, exp.Pow, exp.Exp, exp.Sqrt, exp.Ln, exp.Log, exp.Round),
)
"""What DuckDB may fail at on a row: overflow, a cast, a value outside a function's domain."""


@dataclass(frozen=True, slots=True)
class Item:
    """What stands in FROM at one provider: a table or a sub-query `node`, under an alias that nothing else has.

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
class _Joined:
    """An item with how it is joined to those before it: `LEFT` with a condition, or by the part's conditions."""

    item: Item
    side: str = ""
    condition: exp.Expr | None = None


@dataclass(slots=True)
class Sql:
    """The SQL of a part as it grows: FROM, WHERE, and the outputs that were asked for."""

    joined: list[_Joined]
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
        select = exp.select(*(exp.alias_(guarded(node), name, quoted=True) for name, node in outputs.items()))
        for position, each in enumerate(self.joined):
            node = each.item.node.copy()
            if position == 0:
                select = select.from_(node, copy=False)
            elif each.side:
                select = select.join(node, on=each.condition, join_type=each.side, copy=False)
            else:
                select = select.join(node, join_type="cross", copy=False)
        if self.conditions:
            select = select.where(*(guarded(node) for node in self.conditions), copy=False)
        return text_of(select, spellings)


class Part(Relation):
    """The rows of one provider's items, joined and filtered in its own engine."""

    def __init__(self, program: Program, item: Item) -> None:
        """A part of one item; see `join` and `filter`."""
        super().__init__(program, {item.alias: dict(item.columns)}, item.rows)
        self.provider = item.provider
        self.sql = Sql([_Joined(item)])
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
        self.sql.joined.append(_Joined(item, "left", exp.and_(condition, *other.sql.conditions)))
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
        """Return a key that tells apart the rows of the part; it is that of an item where no row stands twice."""
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
        self._products += other._products  # noqa: SLF001 - of its own class
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


class Union(Relation):
    """The rows of several relations with one scope, one under the other."""

    def __init__(
        self, program: Program, children: Sequence[Relation], alias: str, *, of_query: bool = False
    ) -> None:
        """All children have the scope of the first; `alias` is the one whose rows they are.

        `of_query`: the query says UNION; otherwise they are the members of a collection, or sides of an outer join.
        """
        super().__init__(program, children[0].scope, sum(child.rows for child in children), children)
        self.dependencies = []
        self.marks = frozenset({(alias, ROW)})
        self.of_query = of_query
        self._names: dict[str, tuple[str, ...]] = {}

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return None: an expression goes to every child."""
        return None

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return bounds that hold in every child."""
        found = [child.bounds(expression, scale) for child in self.children]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have the order of its values."""
        return family(self.type_of(expression)) != "text"

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a payload of the expression takes in every child."""
        return max(child.payload_words(expression) for child in self.children)

    def most(self, columns: Names) -> int | None:
        """Return how many rows share values of `columns` at most, None if that is not known."""
        found = [child.most(columns) for child in self.children]
        return None if None in found else sum(each or 0 for each in found)

    def of_child(self, child: Relation, name: str, zero: Mapping[int, str]) -> str:
        """Return the column that is column `name` of one child, and in each other child the one of `zero`."""
        return self.stacked([name if each is child else zero[i] for i, each in enumerate(self.children)])

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        wanted = scale if scale is not None else natural_scale(self.type_of(expression))
        numbers = [child.number(expression, budget_bits, wanted) for child in self.children]
        name = self.stacked([number.name for number in numbers])
        low, high = min(number.low for number in numbers), max(number.high for number in numbers)
        return Number(name, wanted, low, high)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        return self.stacked([child.bit(expression, truth) for child in self.children])

    def _key(self, expression: exp.Expr) -> Column:
        kind = self.type_of(expression)
        scale = natural_scale(kind)
        return self.comparable(expression, encoding_of([kind], [self.bounds(expression, scale)], scale))

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        keys = [child.comparable(expression, encoding) for child in self.children]
        return Column(self.stacked([key.name for key in keys]), "key", encoding.bits)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        words = max(least_words, self.payload_words(expression))
        return self.stacked([child.payload(expression, words)[0] for child in self.children]), words

    def stacked(self, names: Sequence[str]) -> str:
        """Return the column that is made of one column of every child."""
        for known, before in self._names.items():
            if before == tuple(names):
                return known
        name = self.program.name()
        self._names[name] = tuple(names)
        return name

    def _emit(self) -> int:
        tables = []
        for position, child in enumerate(self.children):
            columns = tuple((before[position], name) for name, before in self._names.items())
            tables.append(self.program.add(Project(child.emit(), columns)))
        return self.program.add(Stack(tuple(tables)))


def guarded(expression: exp.Expr) -> exp.Expr:
    """Return an expression that is NULL on a row where it would fail (DuckDB's TRY)."""
    fallible = any(node.find(exp.Column) is not None for node in expression.find_all(*_FALLIBLE))
    plain = expression.find(exp.Subquery, exp.Exists, exp.AggFunc, exp.Window, exp.Query) is None
    return exp.Try(this=expression.copy()) if fallible and plain else expression.copy()


def equalities(conditions: Sequence[exp.Expr]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs of columns that conjuncts of the conditions set equal."""
    pairs = []
    for condition in conditions:
        for node in conjuncts(condition):
            left, right = node.args.get("this"), node.args.get("expression")
            if isinstance(node, exp.EQ) and isinstance(left, exp.Column) and isinstance(right, exp.Column):
                pairs.append(((left.table, left.name), (right.table, right.name)))
    return pairs


def conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    """Return what a condition demands all of; what all branches of an OR demand is demanded."""
    node = condition.unnest()
    if isinstance(node, exp.And):
        return [*conjuncts(node.this), *conjuncts(node.expression)]
    if isinstance(node, exp.Or):
        branches = [conjuncts(branch) for branch in _disjuncts(node)]
        shared = [each for each in branches[0] if all(each in branch for branch in branches[1:])]
        if shared:
            rests = [[each for each in branch if each not in shared] for branch in branches]
            rest = [exp.or_(*(exp.and_(*branch) for branch in rests))] if all(rests) else []
            return [*shared, *rest]
    return [node]


def _disjuncts(node: exp.Expr) -> list[exp.Expr]:
    inner = node.unnest()
    if isinstance(inner, exp.Or):
        return [*_disjuncts(inner.this), *_disjuncts(inner.expression)]
    return [inner]


def tables_of(products: Sequence[ProductFacts]) -> tuple[tuple[str, str], ...]:
    """Return (product, table) of products, sorted."""
    return tuple(sorted({(facts.product, facts.table) for facts in products}))


def spellings_of(products: Sequence[ProductFacts]) -> dict[tuple[str, str], str]:
    """Return how columns of products are spelt in their source, by (product, name)."""
    return {(facts.product, name.lower()): name for facts in products for name, _ in facts.columns}


def text_of(select: exp.Query, spellings: Mapping[tuple[str, str], str]) -> str:
    """Return the text of a part: tables under their names at the provider, columns as their source spells them."""
    tree = select.copy()
    sources = {table.alias_or_name: table.name for table in tree.find_all(exp.Table)}
    for column in tree.find_all(exp.Column):
        spelt = spellings.get((sources.get(column.table, ""), column.name))
        column.set("this", exp.to_identifier(spelt or column.name, quoted=True))
    for table in tree.find_all(exp.Table):
        table.set("this", exp.to_identifier(table.name.partition(".")[2], quoted=True))
    return tree.sql(grammar.DIALECT, identify=True, comments=False)


def typed_query(tree: exp.Query, facts: Sequence[ProductFacts]) -> dict[str, str]:
    """Return names and types of the outputs of a query over products."""
    return types.of_query(tree, {each.product: {n.lower(): t for n, t in each.columns} for each in facts})
