"""Relations made of others: renamed outputs, groups, windows, and the first rows.

Over a group there are only its keys and its aggregates, under the alias of the group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sqlglot import exp

from sandbox.sql.catalogue import family, is_decimal
from sandbox.sql.parts import ROW, Part
from sandbox.sql.relations import (
    MOST_BITS,
    Encoding,
    Names,
    Number,
    Program,
    Relation,
    Truth,
    refuse,
)
from sandbox.sql.steps import Beside, Column, First, Group, Project, Select, Window, WindowFunction

AggregateFunction = Literal["rows", "count", "total", "sum", "distinct", "min", "max", "quantile", "median"]
COUNTS = ("rows", "count", "total", "distinct")
"""Aggregates that are never NULL; `total` is a sum of counts."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate of a group: of `argument`, or of rows. `median` is the sum of both middle values."""

    function: AggregateFunction
    argument: exp.Expr | None = None
    fraction: tuple[int, int] = (1, 1)


class Projected(Relation):
    """A sub-query: the rows of a relation under one alias, with outputs made of its columns."""

    def __init__(
        self,
        program: Program,
        child: Relation,
        alias: str,
        outputs: Mapping[str, exp.Expr],
        kinds: Mapping[str, str],
    ) -> None:
        """`outputs` are expressions over the child, by name; `kinds` their types."""
        super().__init__(program, {alias: dict(kinds)}, child.rows, (child,))
        self._outputs = outputs
        for name, expression in outputs.items():
            here = frozenset({(alias, name)})
            if isinstance(expression.unnest(), exp.Column):
                column = cast("exp.Column", expression.unnest())
                there = frozenset({(column.table, column.name)})
                self.dependencies += [(here, there), (there, here)]

    def _inner(self, expression: exp.Expr) -> exp.Expr:
        def replaced(node: exp.Expr) -> exp.Expr:
            return exp.paren(self._outputs[node.name].copy()) if isinstance(node, exp.Column) else node

        return expression.transform(replaced).unnest()

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return None: columns are replaced first."""
        return None

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the child's bounds of the output."""
        return self.children[0].bounds(self._inner(expression), scale)

    def type_of(self, expression: exp.Expr) -> str:
        """Return the type of an expression over the outputs."""
        return self.children[0].type_of(self._inner(expression))

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether the child's keys have the order of values."""
        return self.children[0].is_ordered(self._inner(expression))

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that the child's payload takes."""
        return self.children[0].payload_words(self._inner(expression))

    def summand(self, expression: exp.Expr, budget_bits: int = MOST_BITS, scale: int | None = None) -> Number:
        """Return the child's number."""
        return self.children[0].summand(self._inner(expression), budget_bits, scale)

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        return self.children[0].number(self._inner(expression), budget_bits, scale)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        return self.children[0].bit(self._inner(expression), truth)

    def _key(self, expression: exp.Expr) -> Column:
        return self.children[0].key(self._inner(expression))

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        return self.children[0].comparable(self._inner(expression), encoding)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        return self.children[0].payload(self._inner(expression), least_words)

    def _emit(self) -> int:
        return self.children[0].emit()


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
        self._sums: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._count: str | None = None
        self._extremes: dict[str, dict[str, str]] = {}
        self._distinct: dict[tuple[str, str], str] = {}
        self._selected: dict[tuple[str, str, int, int], tuple[dict[str, str], dict[str, str]]] = {}
        self._depend(child)

    def _depend(self, child: Relation) -> None:
        """Sort by as few keys as tell groups apart: the others depend on them."""
        names = [_column_of(key) for key in self._keys]
        determined: set[int] = set()
        for i in reversed(range(len(names))):
            others = _together(name for j, name in enumerate(names) if j != i and j not in determined)
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

    def literal(self, expression: exp.Expr) -> Number:
        """Return a number without columns: the same in all rows, so that any row of a group has it."""
        inner = self.children[0].number(expression)
        return Number(self._take(self._last, inner.name), inner.scale, inner.low, inner.high)

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        if expression.find(exp.Column) is None and not isinstance(expression, exp.Null):
            return self.scaled(self.literal(expression), scale)
        return super()._number(expression, budget_bits, scale)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        if expression.find(exp.Column) is None and not isinstance(expression, (exp.Null, exp.Boolean)):
            return self._take(self._last, self.children[0].bit(expression, truth))
        return super()._bit(expression, truth)

    def _key(self, expression: exp.Expr) -> Column:
        if isinstance(expression, exp.Column) and expression.name.startswith("k"):
            known = self._sort_keys.get(expression.name)
            if known is not None:
                return known
            key = self.children[0].key(self._keys[int(expression.name[1:])])
            return Column(self._take(self._last, key.name), "key", key.bits)
        return super()._key(expression)

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        if isinstance(expression, exp.Column) and expression.name.startswith("k"):
            key = self.children[0].comparable(self._keys[int(expression.name[1:])], encoding)
            return Column(self._take(self._last, key.name), "key", key.bits)
        return super()._comparable(expression, encoding)

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the bounds of a key."""
        node = expression.unnest()
        if isinstance(node, exp.Column) and node.name.startswith("k"):
            return self.children[0].bounds(self._keys[int(node.name[1:])], scale)
        if isinstance(node, exp.Column) and self._aggregates[int(node.name[1:])].function in COUNTS[:2]:
            return 0, self.children[0].rows * scale
        return None

    def _below(self, column: exp.Column) -> exp.Expr | None:
        """Return the key, or the argument of the aggregate, that a column is made of."""
        position = int(column.name[1:])
        return self._keys[position] if column.name.startswith("k") else self._aggregates[position].argument

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have the order of its values."""
        below = self._below(expression) if isinstance(expression, exp.Column) else None
        return super().is_ordered(expression) if below is None else self.children[0].is_ordered(below)

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a key or an extreme value takes."""
        below = self._below(expression) if isinstance(expression, exp.Column) else None
        return 1 if below is None else self.children[0].payload_words(below)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return a key or an aggregate as a number."""
        child = self.children[0]
        if column.name.startswith("k"):
            key = child.summand(self._keys[int(column.name[1:])], budget_bits, scale)
            return Number(self._take(self._last, key.name), key.scale, key.low, key.high)
        each = self._aggregates[int(column.name[1:])]
        argument = each.argument
        room = min(budget_bits, MOST_BITS) - child.rows.bit_length()
        if each.function == "rows" or argument is None:
            self._count = self._count or self.program.name()
            return Number(self._count, 1, 0, child.rows)
        if each.function == "count":
            known = child.bit(argument, "known")
            return self._sum(_as_number(child, known))
        if each.function in ("sum", "total"):
            return self._sum(child.summand(argument, room, scale))
        if each.function == "distinct":
            order, countable = child.key(argument).name, child.bit(argument, "known")
            name = self._distinct.setdefault((order, countable), self.program.name())
            return Number(name, 1, 0, child.rows)
        value = child.summand(argument, min(budget_bits, MOST_BITS) - 1, scale)
        if each.function in ("min", "max"):
            columns = self._extremes.setdefault(self._order(each).name, {})
            return Number(self._take(columns, value.name), value.scale, value.low, value.high)
        lower, upper = self._select(each)
        low = Number(self._take(lower, value.name), value.scale, value.low, value.high)
        if each.function == "quantile":
            return low
        high = self._take(upper, value.name)
        bounds = 2 * min(value.low, 0), 2 * max(value.high, 0)
        return self.compute_number("add", (low.name, high), bounds, value.scale)

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return a bit of a key, or whether an aggregate is not NULL."""
        child = self.children[0]
        if column.name.startswith("k"):
            return self._take(self._last, child.bit(self._keys[int(column.name[1:])], truth))
        each = self._aggregates[int(column.name[1:])]
        if truth != "known":
            if self.scope[self.alias][column.name] != "BOOLEAN":
                raise refuse("condition", "an aggregate as a condition", "compare it with a value")
            value = self.number(column)
            positive = self.compute_bit(
                "less", self.compute_number("nothing", (), (0, 0), 1).name, value.name
            )
            return (
                positive
                if truth == "true"
                else self.compute_bit("and", self.compute_bit("not", positive), self.bit(column, "known"))
            )
        if each.function in COUNTS or each.argument is None:
            return self.compute_bit("present")
        return self.positive(self.values(each.argument).name)

    def own_payload(self, column: exp.Column, least_words: int) -> tuple[str, int] | None:
        """Return a key, or an extreme value, as payload."""
        child = self.children[0]
        if column.name.startswith("k"):
            name, words = child.payload(self._keys[int(column.name[1:])], least_words)
            return self._take(self._last, name), words
        each = self._aggregates[int(column.name[1:])]
        if each.argument is None or each.function not in ("min", "max", "quantile"):
            return None
        name, words = child.payload(each.argument, least_words)
        columns = (
            self._select(each)[0]
            if each.function == "quantile"
            else self._extremes.setdefault(self._order(each).name, {})
        )
        return self._take(columns, name), words

    def aggregate(self, column: exp.Column) -> tuple[AggregateFunction, exp.Expr | None]:
        """Return function and argument of an aggregate column."""
        each = self._aggregates[int(column.name[1:])]
        return each.function, each.argument

    def values(self, argument: exp.Expr | None) -> Number:
        """Return the count of values behind an aggregate; of rows, where it has no argument."""
        if argument is None:
            self._count = self._count or self.program.name()
            return Number(self._count, 1, 0, self.children[0].rows)
        return self._sum(_as_number(self.children[0], self.children[0].bit(argument, "known")))

    def count_distinct(self, order: str, countable: str) -> str:
        """Return the number of different keys `order` among rows of a group whose bit is 1."""
        return self._distinct.setdefault((order, countable), self.program.name())

    def sum_of(self, number: Number) -> Number:
        """Return the sum of a number of the child's table."""
        return self._sum(number)

    def positive(self, number: str) -> str:
        """Return whether a number is above 0."""
        zero = self._once("zero", lambda: self.compute_number("nothing", (), (0, 0), 1))
        return self._once(("positive", number), lambda: self.compute_bit("less", zero.name, number))

    def _order(self, each: Aggregate) -> Column:
        child, argument = self.children[0], cast("exp.Expr", each.argument)
        _require_order(child, argument)
        return child.reversed(argument) if each.function == "min" else child.key(argument)

    def _select(self, each: Aggregate) -> tuple[dict[str, str], dict[str, str]]:
        child, argument = self.children[0], cast("exp.Expr", each.argument)
        _require_order(child, argument)
        key = (child.key(argument).name, child.bit(argument, "known"), *each.fraction)
        return self._selected.setdefault(key, ({}, {}))

    def _sum(self, number: Number) -> Number:
        rows = self.children[0].rows
        low, high = min(0, number.low) * rows, max(0, number.high) * rows
        if max(-low, high) >= 1 << MOST_BITS + 1:
            raise refuse(
                "range",
                "a sum that may not fit 64 bits in shares",
                "ask the providers to declare `public.ranges` and `public.rows`",
            )
        return Number(self._take(self._sums, number.name), number.scale, low, high)

    def _take(self, columns: dict[str, str], name: str) -> str:
        return columns.setdefault(name, self.program.name())

    def _emit(self) -> int:
        table = self.children[0].emit()
        keys = tuple(column.name for column in self._sort_keys.values())
        tables = [
            self.program.add(Group(table, keys, self._count, _pairs(self._sums), None, _pairs(self._last)))
        ]
        for order, columns in self._extremes.items():
            tables.append(self.program.add(Group(table, keys, order=order, last=_pairs(columns))))
        for (order, countable), name in self._distinct.items():
            tables.append(
                self.program.add(Group(table, keys, order=order, distinct=name, countable=countable))
            )
        for (order, countable, numerator, denominator), (lower, upper) in self._selected.items():
            step = Select(table, keys, order, countable, numerator, denominator, _pairs(lower), _pairs(upper))
            tables.append(self.program.add(step))
        if len(tables) == 1:
            return tables[0]
        bare = [tables[0]]
        for each in tables[1:]:
            step = self.program.steps[each]
            names = _made_by(cast("Group | Select", step))
            bare.append(self.program.add(Project(each, tuple((name, name) for name in names))))
        return self.program.add(Beside(tuple(bare)))


class Windowed(Relation):
    """The rows of a relation with window functions `w0…` under an alias."""

    def __init__(self, program: Program, child: Relation, alias: str, windows: Sequence[exp.Window]) -> None:
        """The windows are over the child, and of one partition and order."""
        kinds = {
            f"w{i}": "BIGINT" if _ranking(each) else child.type_of(_argument(each))
            for i, each in enumerate(windows)
        }
        kinds = {
            name: "BIGINT"
            if isinstance(windows[i].this, exp.Count)
            else _sum_type(kind)
            if isinstance(windows[i].this, exp.Sum)
            else kind
            for i, (name, kind) in enumerate(kinds.items())
        }
        super().__init__(program, {**child.scope, alias: kinds}, child.rows, (child,))
        self.alias = alias
        self._windows = list(windows)
        first = windows[0]
        self._partition = tuple(child.key(each).name for each in first.args.get("partition_by") or ())
        order = first.args.get("order")
        self._order = tuple(
            _ordered(child, each) for each in (order.expressions if order is not None else ())
        )
        self._functions: dict[tuple[WindowFunction, str | None], str] = {}
        self._whole = order is None

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return a window function as a number."""
        if column.table != self.alias:
            return None
        window, child = self._windows[int(column.name[1:])], self.children[0]
        function = window.this
        if isinstance(function, exp.PercentRank):
            raise refuse("window", "PERCENT_RANK inside a larger expression", "select it by itself")
        if _ranking(window):
            word = cast(
                "WindowFunction",
                {exp.RowNumber: "row_number", exp.Rank: "rank", exp.DenseRank: "dense_rank"}[type(function)],
            )
            return Number(self._function(word, None), 1, 0, child.rows)
        if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
            word = "rows" if self._whole else "running_count"
            return Number(self._function(cast("WindowFunction", word), None), 1, 0, child.rows)
        if isinstance(function, exp.Count):
            value = _as_number(child, child.bit(function.this, "known"))
        else:
            value = child.summand(function.this, min(budget_bits, MOST_BITS) - child.rows.bit_length(), scale)
        word = "sum" if self._whole else "running_sum"
        low, high = min(0, value.low) * child.rows, max(0, value.high) * child.rows
        return Number(self._function(cast("WindowFunction", word), value.name), value.scale, low, high)

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return whether a window function is not NULL: a SUM is, where it is over no value."""
        if column.table != self.alias:
            return None
        if truth != "known":
            raise refuse("condition", "a window function as a condition", "compare it with a value")
        function = self._windows[int(column.name[1:])].this
        if not isinstance(function, exp.Sum):
            return self.compute_bit("present")
        known = _as_number(self.children[0], self.children[0].bit(function.this, "known"))
        counted = self._function("sum" if self._whole else "running_sum", known.name)
        zero = self.compute_number("nothing", (), (0, 0), 1)
        return self.compute_bit("less", zero.name, counted)

    def ranks(self, column: exp.Column) -> tuple[Number, Number] | None:
        """Return rank and rows of the partition, of which PERCENT_RANK is (rank − 1) / (rows − 1)."""
        if column.table != self.alias or not isinstance(
            self._windows[int(column.name[1:])].this, exp.PercentRank
        ):
            return None
        rows = self.children[0].rows
        return Number(self._function("rank", None), 1, 0, rows), Number(
            self._function("rows", None), 1, 0, rows
        )

    def _function(self, word: WindowFunction, argument: str | None) -> str:
        return self._functions.setdefault((word, argument), self.program.name())

    def _emit(self) -> int:
        functions = tuple((word, argument, name) for (word, argument), name in self._functions.items())
        return self.program.add(Window(self.children[0].emit(), self._partition, self._order, functions))


class Limited(Relation):
    """The first rows of a relation in an order."""

    def __init__(
        self,
        program: Program,
        child: Relation,
        rows: int,
        order: Sequence[exp.Ordered] = (),
        *,
        whole: bool = False,
        grouped: bool = False,
    ) -> None:
        """`whole`: more rows than that spoil the job. `grouped`: rows that count stand first already."""
        super().__init__(program, child.scope, min(rows, child.rows), (child,))
        self._order = tuple(_ordered(child, each) for each in order)
        self._whole, self._sorted = whole, grouped

    def _emit(self) -> int:
        table = self.children[0].emit()
        return self.program.add(First(table, self.rows, self._order, sorted=self._sorted, whole=self._whole))


def _ordered(child: Relation, each: exp.Ordered) -> tuple[str, bool]:
    """Return a key column and whether it falls: NULL, which is 0, stands where the query says."""
    _require_order(child, each.this)
    falls, nulls_first = bool(each.args.get("desc")), bool(each.args.get("nulls_first"))
    if falls == nulls_first:  # NULL stands last in a rising order, or first in a falling one
        return child.reversed(each.this).name, not falls
    return child.key(each.this).name, falls


def _require_order(child: Relation, expression: exp.Expr) -> None:
    if not child.is_ordered(expression):
        raise refuse(
            "order", "texts of several providers by order", "order, or take MIN or MAX, of another column"
        )


def unit_key(part: Part, alias: str) -> Column:
    """Return a key that tells apart the protected units of a table of a part; NULL where there is none."""
    item = next(each for each in part.items if each.alias == alias)
    if item.facts is None or not isinstance(item.facts.unit, tuple):
        return part.row_number(item)
    return part.code([exp.column(name.lower(), table=alias, quoted=True) for name in item.facts.unit])


def _as_number(child: Relation, bit: str) -> Number:
    return child._once(("number of", bit), lambda: child.compute_number("number", (bit,), (0, 1), 1))  # noqa: SLF001


def _type(child: Relation, each: Aggregate) -> str:
    if each.function in COUNTS or each.argument is None:
        return "BIGINT"
    kind = child.type_of(each.argument)
    return _sum_type(kind) if each.function in ("sum", "median") else kind


def _sum_type(kind: str) -> str:
    if is_decimal(kind):
        return f"DECIMAL(38,{kind.partition(',')[2]}"
    return "BIGINT" if family(kind) == "boolean" else kind


def _column_of(expression: exp.Expr) -> Names:
    node = expression.unnest()
    return frozenset({(node.table, node.name)}) if isinstance(node, exp.Column) else frozenset()


def _together(names: object) -> Names:
    return frozenset[tuple[str, str]]().union(*cast("list[Names]", list(cast("list[Names]", names))))


def _pairs(columns: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(columns.items())


def _made_by(step: Group | Select) -> list[str]:
    """Return the names of the columns that a step adds to the keys."""
    if isinstance(step, Select):
        return [name for _, name in (*step.lower, *step.upper)]
    return [name for _, name in (*step.sums, *step.last)] + [
        name for name in (step.count, step.distinct) if name
    ]


def _ranking(window: exp.Window) -> bool:
    return isinstance(window.this, (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank))


def _argument(window: exp.Window) -> exp.Expr:
    argument = window.this.this
    return exp.Literal.number(1) if argument is None or isinstance(argument, exp.Star) else argument
