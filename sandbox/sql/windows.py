"""Window functions in shares: ranks, sums and counts over a partition, whole or up to each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.computed import Program
from sandbox.sql.encodings import MOST_BITS, Number
from sandbox.sql.groups import sum_type
from sandbox.sql.ordering import order_key
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.steps import Window, WindowFunction

_RANKS: Mapping[type[exp.Expr], WindowFunction] = {
    exp.RowNumber: "row_number",
    exp.Rank: "rank",
    exp.DenseRank: "dense_rank",
}


class Windowed(Relation):
    """The rows of a relation with window functions `w0…` under an alias."""

    def __init__(self, program: Program, child: Relation, alias: str, windows: Sequence[exp.Window]) -> None:
        """The windows are over the child, and of one partition and order."""
        kinds = {f"w{i}": _type(child, each) for i, each in enumerate(windows)}
        super().__init__(program, {**child.scope, alias: kinds}, child.rows, (child,))
        self.alias = alias
        self._windows = list(windows)
        first = windows[0]
        self._partition = tuple(child.key(each).name for each in first.args.get("partition_by") or ())
        order = first.args.get("order")
        self._order = tuple(
            order_key(child, each) for each in (order.expressions if order is not None else ())
        )
        self._functions: dict[tuple[WindowFunction, str | None], str] = {}
        self._is_whole = order is None

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return a window function as a number."""
        if column.table != self.alias:
            return None
        function, child = self._windows[int(column.name[1:])].this, self.children[0]
        if isinstance(function, exp.PercentRank):
            raise refuse("window", "PERCENT_RANK inside a larger expression", "select it by itself")
        if type(function) in _RANKS:
            return Number(self._function(_RANKS[type(function)], None), 1, 0, child.rows)
        if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
            return Number(
                self._function("rows" if self._is_whole else "running_count", None), 1, 0, child.rows
            )
        if isinstance(function, exp.Count):
            value = child.number_of(child.bit(function.this, "known"))
        else:
            value = child.summand(function.this, min(budget_bits, MOST_BITS) - child.rows.bit_length(), scale)
        low, high = min(0, value.low) * child.rows, max(0, value.high) * child.rows
        return Number(self._sum(value.name), value.scale, low, high)

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return whether a window function is not NULL: a SUM is, where it is over no value."""
        if column.table != self.alias:
            return None
        if truth != "known":
            raise refuse("condition", "a window function as a condition", "compare it with a value")
        function, child = self._windows[int(column.name[1:])].this, self.children[0]
        if not isinstance(function, exp.Sum):
            return self.compute_bit("present")
        counted = self._sum(child.number_of(child.bit(function.this, "known")).name)
        return self.positive(counted)

    def ranks(self, column: exp.Column) -> tuple[Number, Number] | None:
        """Return rank and rows of the partition, of which PERCENT_RANK is (rank − 1) / (rows − 1)."""
        if column.table != self.alias:
            return None
        if not isinstance(self._windows[int(column.name[1:])].this, exp.PercentRank):
            return None
        rows = self.children[0].rows
        rank, size = self._function("rank", None), self._function("rows", None)
        return Number(rank, 1, 0, rows), Number(size, 1, 0, rows)

    def _sum(self, argument: str) -> str:
        return self._function("sum" if self._is_whole else "running_sum", argument)

    def _function(self, word: WindowFunction, argument: str | None) -> str:
        return self._functions.setdefault((word, argument), self.program.name())

    def _emit(self) -> int:
        functions = tuple((word, argument, name) for (word, argument), name in self._functions.items())
        return self.program.add(Window(self.children[0].emit(), self._partition, self._order, functions))


def _type(child: Relation, window: exp.Window) -> str:
    function = window.this
    if isinstance(function, (exp.PercentRank, exp.Count)) or type(function) in _RANKS:
        return "BIGINT"
    kind = child.type_of(function.this)
    return sum_type(kind) if isinstance(function, exp.Sum) else kind
