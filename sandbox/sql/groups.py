"""Groups in shares: one row for each different value of the keys, with aggregates of the rows behind it.

Over a group there are only its keys and its aggregates, under the alias of the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.catalogue import family, is_decimal
from sandbox.sql.computed import Program
from sandbox.sql.encodings import MOST_BITS, Encoding, Number
from sandbox.sql.ordering import require_order
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import ROW, Names, Relation, united
from sandbox.sql.steps import Beside, Column, Group, Project, Select

AggregateFunction = Literal["rows", "count", "total", "sum", "distinct", "min", "max", "quantile", "median"]
COUNTS = ("rows", "count", "total", "distinct")
"""Aggregates that are never NULL; `total` is a sum of counts."""

COUNT_BITS = 32
"""The counts that providers put in are below 2^32, and so is their sum."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate of a group: of `argument`, or of rows. `median` is the sum of both middle values."""

    function: AggregateFunction
    argument: exp.Expr | None = None
    fraction: tuple[int, int] = (1, 1)

    @property
    def value(self) -> exp.Expr:
        """The argument of an aggregate that is not of rows."""
        if self.argument is None:
            raise AssertionError("an aggregate of rows has no argument")
        return self.argument


@dataclass(slots=True)
class _Asked:
    """The columns of a group that were asked for: name in the child's table → name in the group's.

    `extremes` are by the key that orders rows; `distinct` by key and what may count; `selected` by key, what
    may count, and the place (numerator, denominator), of the lower and the upper row.
    """

    sums: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    extremes: dict[str, dict[str, str]] = field(default_factory=dict)
    distinct: dict[tuple[str, str], str] = field(default_factory=dict)
    selected: dict[tuple[str, str, int, int], tuple[dict[str, str], dict[str, str]]] = field(
        default_factory=dict
    )
    count: str | None = None

    def first(self, table: int, keys: tuple[str, ...]) -> Group:
        """Return the step that makes the groups, with all that needs no order."""
        return Group(table, keys, self.count, _pairs(self.sums), None, _pairs(self.last))

    def others(self, table: int, keys: tuple[str, ...]) -> list[tuple[Group | Select, tuple[str, ...]]]:
        """Return the steps that make the other columns, each with the names of those beside the keys."""
        made: list[tuple[Group | Select, tuple[str, ...]]] = []
        for order, columns in self.extremes.items():
            made.append((Group(table, keys, order=order, last=_pairs(columns)), tuple(columns.values())))
        for (order, countable), name in self.distinct.items():
            step = Group(table, keys, order=order, distinct=name, countable=countable)
            made.append((step, (name,)))
        for (order, countable, numerator, denominator), (lower, upper) in self.selected.items():
            chosen = Select(
                table, keys, order, countable, numerator, denominator, _pairs(lower), _pairs(upper)
            )
            made.append((chosen, (*lower.values(), *upper.values())))
        return made


class Grouped(Relation):
    """One row for each group: keys `k0…` and aggregates `a0…` under an alias."""

    def __init__(
        self,
        program: Program,
        child: Relation,
        alias: str,
        keys: Sequence[exp.Expr],
        aggregates: Sequence[Aggregate],
    ) -> None:
        """Keys and arguments are expressions over the child."""
        columns = {f"k{i}": child.type_of(key) for i, key in enumerate(keys)}
        columns |= {f"a{i}": _type(child, each) for i, each in enumerate(aggregates)}
        super().__init__(program, {alias: columns}, child.rows if keys else 1, (child,))
        self.alias = alias
        self.marks = frozenset({(alias, ROW)})
        self._keys = list(keys)
        self._aggregates = list(aggregates)
        self._sort_keys: dict[str, Column] = {}
        self._asked = _Asked()
        self._depend(child)

    def _depend(self, child: Relation) -> None:
        """Sort by as few keys as tell groups apart: the others depend on them."""
        names = [_column_of(key) for key in self._keys]
        determined: set[int] = set()
        for i in reversed(range(len(names))):
            others = united(name for j, name in enumerate(names) if j != i and j not in determined)
            if names[i] and names[i] <= child.closure(others) and len(determined) < len(names) - 1:
                determined.add(i)
        for i, key in enumerate(self._keys):
            here = frozenset({(self.alias, f"k{i}")})
            if names[i]:
                self.dependencies += [(here, names[i]), (names[i], here)]
            if i not in determined:
                self._sort_keys[f"k{i}"] = child.key(key)
        keys = frozenset((self.alias, f"k{i}") for i in range(len(self._keys)))
        columns = frozenset((self.alias, name) for name in self.scope[self.alias])
        self.dependencies += [(keys, self.marks), (self.marks, columns)]

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return None: what is below a group is seen through it only."""
        return None

    def aggregate(self, column: exp.Column) -> Aggregate:
        """Return the aggregate of a column."""
        return self._aggregates[int(column.name[1:])]

    def values(self, argument: exp.Expr | None) -> Number:
        """Return the count of values behind an aggregate; of rows, where it has no argument."""
        child = self.children[0]
        if argument is None:
            self._asked.count = self._asked.count or self.program.name()
            return Number(self._asked.count, 1, 0, child.rows)
        return self.sum_of(child.number_of(child.bit(argument, "known")))

    def count_distinct(self, order: str, countable: str) -> str:
        """Return the number of different keys `order` among rows of a group whose bit is 1."""
        return self._asked.distinct.setdefault((order, countable), self.program.name())

    def sum_of(self, number: Number) -> Number:
        """Return the sum of a number of the child's table.

        Raises:
            JobRefused: it may not fit 64 bits.
        """
        rows = self.children[0].rows
        low, high = min(0, number.low) * rows, max(0, number.high) * rows
        if max(-low, high) >= 1 << MOST_BITS + 1:
            raise refuse(
                "range",
                "a sum that may not fit 64 bits in shares",
                "ask the providers to declare `public.ranges` and `public.rows`",
            )
        return Number(self._take(self._asked.sums, number.name), number.scale, low, high)

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the bounds of a key, or of a count."""
        node, key = expression.unnest(), self._key_of(expression)
        if key is not None:
            return self.children[0].bounds(key, scale)
        if not isinstance(node, exp.Column):
            return None
        match self.aggregate(node).function:
            case "rows" | "count":
                return 0, self.children[0].rows * scale
            case "total":
                return 0, scale << COUNT_BITS
        return None

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have the order of its values."""
        below = self._below(expression)
        return super().is_ordered(expression) if below is None else self.children[0].is_ordered(below)

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a key or an extreme value takes."""
        below = self._below(expression)
        return 1 if below is None else self.children[0].payload_words(below)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return a key or an aggregate as a number."""
        key = self._key_of(column)
        if key is not None:
            return self._any_row(self.children[0].summand(key, budget_bits, scale))
        each, child = self.aggregate(column), self.children[0]
        room = min(budget_bits, MOST_BITS) - child.rows.bit_length()
        match each.function:
            case "rows" | "count":
                return self.values(each.argument)
            case "sum":
                return self.sum_of(child.summand(each.value, room, scale))
            case "total":
                return self.sum_of(replace(child.summand(each.value, min(room, COUNT_BITS), scale), low=0))
            case "distinct":
                order, countable = child.key(each.value).name, child.bit(each.value, "known")
                return Number(self.count_distinct(order, countable), 1, 0, child.rows)
        return self._ordered_number(each, child.summand(each.value, min(budget_bits, MOST_BITS) - 1, scale))

    def _ordered_number(self, each: Aggregate, value: Number) -> Number:
        """Return MIN, MAX, a quantile, or the sum of both middle values, of a number of the child's table."""
        low = Number(self._take(self._places(each)[0], value.name), value.scale, value.low, value.high)
        if each.function != "median":
            return low
        high = self._take(self._places(each)[1], value.name)
        bounds = 2 * min(value.low, 0), 2 * max(value.high, 0)
        return self.compute_number("add", (low.name, high), bounds, value.scale)

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return a bit of a key, or whether an aggregate is not NULL."""
        key = self._key_of(column)
        if key is not None:
            return self._take(self._asked.last, self.children[0].bit(key, truth))
        if truth != "known":
            return self._truth_of_aggregate(column, truth)
        each = self.aggregate(column)
        if each.function in COUNTS:
            return self.compute_bit("present")
        return self.positive(self.values(each.value).name)

    def _truth_of_aggregate(self, column: exp.Column, truth: Truth) -> str:
        if self.scope[self.alias][column.name] != "BOOLEAN":
            raise refuse("condition", "an aggregate as a condition", "compare it with a value")
        positive = self.positive(self.number(column).name)
        if truth == "true":
            return positive
        return self.compute_bit("and", self.compute_bit("not", positive), self.bit(column, "known"))

    def own_payload(self, column: exp.Column, least_words: int) -> tuple[str, int] | None:
        """Return a key, or an extreme value, as payload."""
        key, child = self._key_of(column), self.children[0]
        if key is not None:
            name, words = child.payload(key, least_words)
            return self._take(self._asked.last, name), words
        each = self.aggregate(column)
        if each.function not in ("min", "max", "quantile"):
            return None
        name, words = child.payload(each.value, least_words)
        return self._take(self._places(each)[0], name), words

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        if expression.find(exp.Column) is None:
            # Without columns it is the same in all rows, so that any row of a group has it.
            return self._any_row(self.children[0].number(expression, budget_bits, scale))
        return super()._number(expression, budget_bits, scale)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        if expression.find(exp.Column) is None and not isinstance(expression, exp.Boolean):
            return self._take(self._asked.last, self.children[0].bit(expression, truth))
        return super()._bit(expression, truth)

    def _key(self, expression: exp.Expr) -> Column:
        key = self._key_of(expression)
        if key is None:
            return super()._key(expression)
        known = self._sort_keys.get(expression.name)
        return known if known is not None else self._any_key(self.children[0].key(key))

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        key = self._key_of(expression)
        if key is None:
            return super()._comparable(expression, encoding)
        return self._any_key(self.children[0].comparable(key, encoding))

    def _key_of(self, expression: exp.Expr) -> exp.Expr | None:
        """Return the key that a column is, over the child; None for anything else."""
        node = expression.unnest()
        is_key = isinstance(node, exp.Column) and node.name.startswith("k")
        return self._keys[int(node.name[1:])] if is_key else None

    def _below(self, expression: exp.Expr) -> exp.Expr | None:
        """Return the key, or the argument of the aggregate, that a column is made of."""
        if not isinstance(expression, exp.Column):
            return None
        key = self._key_of(expression)
        return key if key is not None else self.aggregate(expression).argument

    def _places(self, each: Aggregate) -> tuple[dict[str, str], dict[str, str]]:
        """Return what is taken of the row that an aggregate chooses, and of the upper one of a median.

        Raises:
            JobRefused: texts of several providers, which have no order.
        """
        child = self.children[0]
        require_order(child, each.value)
        if each.function in ("min", "max"):
            order = child.reversed(each.value) if each.function == "min" else child.key(each.value)
            return self._asked.extremes.setdefault(order.name, {}), {}
        key = (child.key(each.value).name, child.bit(each.value, "known"), *each.fraction)
        return self._asked.selected.setdefault(key, ({}, {}))

    def _any_row(self, number: Number) -> Number:
        """Return a number that is the same in all rows of a group."""
        return Number(self._take(self._asked.last, number.name), number.scale, number.low, number.high)

    def _any_key(self, key: Column) -> Column:
        return Column(self._take(self._asked.last, key.name), "key", key.bits)

    def _take(self, columns: dict[str, str], name: str) -> str:
        return columns.setdefault(name, self.program.name())

    def _emit(self) -> int:
        table = self.children[0].emit()
        keys = tuple(column.name for column in self._sort_keys.values())
        first = self.program.add(self._asked.first(table, keys))
        others = [(self.program.add(step), names) for step, names in self._asked.others(table, keys)]
        if not others:
            return first
        bare = [
            self.program.add(Project(each, tuple((name, name) for name in names))) for each, names in others
        ]
        return self.program.add(Beside((first, *bare)))


def _type(child: Relation, each: Aggregate) -> str:
    if each.function in COUNTS or each.argument is None:
        return "BIGINT"
    kind = child.type_of(each.argument)
    return sum_type(kind) if each.function in ("sum", "median") else kind


def sum_type(kind: str) -> str:
    if is_decimal(kind):
        return f"DECIMAL(38,{kind.partition(',')[2]}"
    return "BIGINT" if family(kind) == "boolean" else kind


def _column_of(expression: exp.Expr) -> Names:
    node = expression.unnest()
    return frozenset({(node.table, node.name)}) if isinstance(node, exp.Column) else frozenset()


def _pairs(columns: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(columns.items())
