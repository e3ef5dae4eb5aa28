"""Joins and filters of relations in shares.

A join in shares gives the rows of one side, so that the other side's keys must be unique, or be declared to
have few rows each. A filter clears the bits of rows and never shortens a table: its size tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.computed import Program
from sandbox.sql.encodings import Encoding, Number, encoding_of, natural_scale
from sandbox.sql.parts import Part
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Names, Relation
from sandbox.sql.steps import Broadcast, Column, Filter, Group, Join

MOST_COPIES = 64
Pair: TypeAlias = tuple[exp.Expr, exp.Expr]
"""Two expressions that a join sets equal."""


class Joined(Relation):
    """The rows of `right`, each with a row of `left` of equal keys.

    `inner`: rows without a match do not count. `outer`: their columns of `left` are NULL. `mark`: all rows
    stay, and the truth value `alias`.matched says which have a match.
    """

    def __init__(
        self,
        program: Program,
        left: Relation,
        right: Relation,
        keys: Sequence[Pair],
        kind: Literal["inner", "outer", "mark"],
        *,
        most: int = 1,
        alias: str = "",
    ) -> None:
        """`keys` are pairs of expressions over left and right."""
        scope = {**right.scope, **({alias: {"matched": "BOOLEAN"}} if kind == "mark" else left.scope)}
        children = (right,) if kind == "mark" else (right, left)
        super().__init__(program, scope, right.rows * most, children)
        self.left, self.right, self.kind, self.alias = left, right, kind, alias
        self._copies = most
        self._carried: dict[str, None] = {}
        self._matched = program.name()
        self._keys = [_encoded(left, right, *pair) for pair in keys]
        self.equal = [{x.sql(), y.sql()} for x, y in keys]
        if most == 1 and isinstance(left, Part):
            left.require_unique([pair[0] for pair in self._keys])
        if kind == "mark":
            return
        for x, y in keys:
            if isinstance(x, exp.Column) and isinstance(y, exp.Column):
                a, b = frozenset({(x.table, x.name)}), frozenset({(y.table, y.name)})
                self.dependencies += [(b, a), (a, b)] if kind == "inner" else [(b, a)]
        if most == 1 and kind == "outer":
            self.dependencies.append((columns_among([y for _, y in keys]), left.marks))

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return whether a row has a match."""
        if column.table != self.alias:
            return None
        if truth == "known":
            return self.compute_bit("present")
        return self._matched if truth == "true" else self.compute_bit("not", self._matched)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return whether a row has a match, as 0 or 1."""
        if column.table != self.alias:
            return None
        return self.number_of(self._matched)

    def carry(self, child: Relation, name: str) -> None:
        """Note a column of the joined side that is wanted above."""
        if child is self.left:
            self._carried[name] = None

    def _is_nullable(self, child: Relation) -> bool:
        return self.kind == "outer" and child is self.left

    def _emit(self) -> int:
        left, right = self.left.emit(), self.right.emit()
        keys = tuple((x.name, y.name) for x, y in self._keys)
        table = self.program.add(Join(left, right, keys, tuple(self._carried), self._matched, self._copies))
        return self.program.add(Filter(table, self._matched)) if self.kind == "inner" else table


class Broadcasted(Relation):
    """The rows of `table`, each with the only row of `one`."""

    def __init__(self, program: Program, one: Relation, table: Relation) -> None:
        """`one` has at most one row."""
        super().__init__(program, {**table.scope, **one.scope}, table.rows, (table, one))
        self.one, self.table = one, table
        self._carried: dict[str, None] = {}
        self.dependencies += [(frozenset(), frozenset({mark})) for mark in one.marks]

    def carry(self, child: Relation, name: str) -> None:
        """Note a column of the joined side that is wanted above."""
        if child is self.one:
            self._carried[name] = None

    def _emit(self) -> int:
        return self.program.add(Broadcast(self.one.emit(), self.table.emit(), tuple(self._carried)))


class Filtered(Relation):
    """The rows of a relation that meet a condition."""

    def __init__(self, program: Program, child: Relation, condition: exp.Expr) -> None:
        """The condition is over the child."""
        super().__init__(program, child.scope, child.rows, (child,))
        self._bit_name = child.bit(condition, "true")

    def most(self, columns: Names) -> int | None:
        """Return what holds in the child."""
        return self.children[0].most(columns)

    def _emit(self) -> int:
        return self.program.add(Filter(self.children[0].emit(), self._bit_name))


class NullExtended(Relation):
    """The rows of a relation, columns of other aliases all NULL: a side of a FULL or LEFT JOIN."""

    def __init__(self, program: Program, child: Relation, scope: dict[str, dict[str, str]]) -> None:
        """`scope` are the aliases whose columns are NULL."""
        super().__init__(program, {**child.scope, **scope}, child.rows, (child,))
        self._missing = scope

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return the child, where no missing column is named."""
        missing = any(column.table in self._missing for column in expression.find_all(exp.Column))
        return None if missing else self.children[0]

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return the child's bounds; a missing column is NULL, which is 0."""
        return (0, 0) if self.home(expression) is None else super().bounds(expression, scale)

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return nothing but 0."""
        return self.nothing(scale if scale is not None else natural_scale(self.type_of(column)))

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return nothing but 0: NULL is neither true nor false, and not known."""
        return self.compute_bit("nothing")

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        if self.home(expression) is not None:
            return super()._comparable(expression, encoding)
        return self._nothing("key", encoding.bits)

    def _key(self, expression: exp.Expr) -> Column:
        return super()._key(expression) if self.home(expression) is not None else self._nothing("key", 1)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        if self.home(expression) is not None:
            return super()._payload(expression, least_words)
        return self._nothing("payload", 64 * least_words).name, least_words

    def _nothing(self, kind: Literal["key", "payload"], bits: int) -> Column:
        return self._compute(Column("", kind, bits), "nothing", ())

    def _emit(self) -> int:
        return self.children[0].emit()


class Distinct(Relation):
    """One row for each of the different keys of a relation."""

    def __init__(self, program: Program, child: Relation, pairs: Sequence[Pair]) -> None:
        """`pairs` are (expression over the child, what it is compared with)."""
        super().__init__(program, child.scope, child.rows, (child,))
        self._wanted: dict[str, None] = {}

    def carry(self, child: Relation, name: str) -> None:
        """Note a key."""
        self._wanted[name] = None

    def _emit(self) -> int:
        return self.program.add(Group(self.children[0].emit(), tuple(self._wanted)))


def columns_among(expressions: Sequence[exp.Expr]) -> Names:
    """Return the plain columns among expressions: what is no column determines nothing."""
    return frozenset((each.table, each.name) for each in expressions if isinstance(each, exp.Column))


def _encoded(left: Relation, right: Relation, x: exp.Expr, y: exp.Expr) -> tuple[Column, Column]:
    kinds = [left.type_of(x), right.type_of(y)]
    if len({kind.partition("(")[0] == "VARCHAR" for kind in kinds}) > 1:
        raise refuse("join", "a join of a text with another type", "cast one of them within its provider")
    scale = max(natural_scale(kind) for kind in kinds)
    encoding = encoding_of(kinds, [left.bounds(x, scale), right.bounds(y, scale)], scale)
    return left.comparable(x, encoding), right.comparable(y, encoding)
