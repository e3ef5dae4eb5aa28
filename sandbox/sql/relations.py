"""Rows of several providers, and how an expression over them becomes a column in shares.

A relation is asked for columns first (`number`, `bit`, `key`, `payload`), and then emits the steps that make
its table. An expression goes to the child that can compute all of it, so that what one provider can compute
ends in the SQL of its part; what remains is computed where its operands meet. This is the secure frontier: it
is pushed down as far as it goes, and no further.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlglot import exp

from sandbox.sql import types
from sandbox.sql.arithmetic import Truth
from sandbox.sql.catalogue import family
from sandbox.sql.computed import Program
from sandbox.sql.conditions import Conditions
from sandbox.sql.encodings import MOST_BITS, Encoding, Number
from sandbox.sql.refusal import refuse
from sandbox.sql.steps import Column
from sandbox.sql.types import Scope

Names: TypeAlias = frozenset[tuple[str, str]]
"""Columns as (alias, name); the name `*` stands for the row of an alias."""

Dependencies: TypeAlias = list[tuple[Names, Names]]
"""Columns that determine others."""

ROW = "*"

_NULLABLE_MAKERS = (
    exp.Coalesce,
    exp.Case,
    exp.If,
    exp.Is,
    exp.NullSafeEQ,
    exp.NullSafeNEQ,
    exp.And,
    exp.Or,
    exp.Not,
)


class Relation(Conditions):
    """Rows of several providers, as the planner sees them; see the module."""

    def __init__(self, program: Program, scope: Scope, rows: int, children: Sequence[Relation] = ()) -> None:
        """`scope` is what expressions may name; at most `rows` rows.

        Subclasses add to `dependencies`, and to `marks` the rows that together tell apart the relation's.
        """
        super().__init__(program)
        self.dependencies: Dependencies = [each for child in children for each in child.dependencies]
        self.marks: Names = united(child.marks for child in children)
        self.scope = scope
        self.rows = rows
        self.children = tuple(children)
        self._table: int | None = None

    # What a relation may know better than this class.

    @abstractmethod
    def _emit(self) -> int:
        """Append the steps that make the table, without computed columns."""

    def carry(self, child: Relation, name: str) -> None:
        """Note that column `name` of a child is wanted above."""

    def _is_nullable(self, child: Relation) -> bool:
        """Tell whether rows of the child may be missing beside those of another."""
        return False

    def own_number(self, column: exp.Column, budget_bits: int, scale: int | None) -> Number | None:
        """Return a column that this relation itself makes, as a number."""
        return None

    def own_bit(self, column: exp.Column, truth: Truth) -> str | None:
        """Return a bit of a column that this relation itself makes."""
        return None

    def own_payload(self, column: exp.Column, least_words: int) -> tuple[str, int] | None:
        """Return a column that this relation itself makes, as payload."""
        return None

    # What is determined by what.

    def closure(self, columns: Names) -> Names:
        """Return all columns that `columns` determine."""
        return closed(columns, self.dependencies)

    def is_unique(self, columns: Names) -> bool:
        """Tell whether no two rows agree in `columns`."""
        return self.marks <= self.closure(columns)

    # Columns.

    def types_of(self, expressions: Mapping[str, exp.Expr]) -> dict[str, str]:
        """Return the SQL types of named expressions over this relation."""
        scope: Scope = {}
        for expression in expressions.values():
            for column in expression.find_all(exp.Column):
                scope.setdefault(column.table, {})[column.name] = self.scope[column.table][column.name]
        return types.of_expressions(expressions, scope)

    def number(self, expression: exp.Expr, budget_bits: int = MOST_BITS, scale: int | None = None) -> Number:
        """Return the column of an expression as a number of at most `budget_bits` bits and a sign.

        `scale` None: the natural one of its type. Where the expression is NULL it may be anything.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        if isinstance(expression, exp.Null):
            return self.nothing(scale if scale is not None else 1)
        key = ("number", _text(expression), budget_bits, scale)
        return self._once(key, lambda: self._number(expression, budget_bits, scale))

    def bit(self, expression: exp.Expr, truth: Truth) -> str:
        """Return a bit: the expression is TRUE, is FALSE, or (`known`) is not NULL.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        if isinstance(expression, exp.Null):
            return self.compute_bit("nothing")
        return self._once((truth, _text(expression)), lambda: self._bit(expression, truth))

    def key(self, expression: exp.Expr) -> Column:
        """Return a key column that orders and tells apart the values of an expression within this relation.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        return self._once(("key", _text(expression)), lambda: self._key(expression))

    def comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        """Return a key column in an encoding that other relations share.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        return self._once(("as", _text(expression), encoding), lambda: self._comparable(expression, encoding))

    def reversed(self, expression: exp.Expr) -> Column:
        """Return the key of an expression in the opposite order; NULL is still 0.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        key = self.key(expression)
        return self._compute(Column("", "key", key.bits), "reverse", (key.name,), (1 << key.bits) - 1)

    def payload(self, expression: exp.Expr, least_words: int = 1) -> tuple[str, int]:
        """Return the column that shows an expression, and its words: at least so many.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        return self._once(
            ("payload", _text(expression), least_words), lambda: self._payload(expression, least_words)
        )

    def summand(self, expression: exp.Expr, budget_bits: int = MOST_BITS, scale: int | None = None) -> Number:
        """Return the column of an expression as a number that is 0 where the expression is NULL.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        child = self.home(expression)
        if child is not None:
            number = child.summand(expression, budget_bits, scale)
            self.carry(child, number.name)
            return number
        number = self.number(expression, budget_bits, scale)
        if isinstance(expression.unnest(), exp.Column):
            return number
        known = self.bit(expression, "known")
        return self.choose(known, number, self.nothing(number.scale))

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return declared bounds of value · `scale`, None if nothing is declared."""
        child = self.home(expression)
        return child.bounds(expression, scale) if child is not None else None

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have its order; texts of several parts have not."""
        child = self.home(expression)
        if child is not None:
            return child.is_ordered(expression)
        return family(self.type_of(expression)) != "text"

    def most(self, columns: Names) -> int | None:
        """Return how many rows share values of `columns` at most, None if that is not known."""
        return 1 if self.is_unique(columns) else None

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a payload of the expression takes."""
        child = self.home(expression)
        return child.payload_words(expression) if child is not None else 1

    def emit(self) -> int:
        """Append the steps that make this relation's table; a second call returns the same table."""
        if self._table is None:
            self._table = self._append_computed(self._emit())
        return self._table

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return the child that computes the whole expression, if there is one."""
        aliases = {column.table for column in expression.find_all(exp.Column)}
        if not aliases:
            return next((child for child in self.children if not self._is_nullable(child)), None)
        for child in self.children:
            if aliases <= set(child.scope) and (not self._is_nullable(child) or _is_strict(expression)):
                return child
        return None

    # How this class computes what no child can.

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        child = self.home(expression)
        if child is not None:
            number = child.number(expression, budget_bits, scale)
            self.carry(child, number.name)
            return number
        if isinstance(expression, exp.Column):
            own = self.own_number(expression, budget_bits, scale)
            if own is not None:
                return self.scaled(own, scale)
            raise refuse("expression", "a text where a number is computed", "compute it within one provider")
        return self.scaled(self._arithmetic(expression, budget_bits, scale), scale)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        child = self.home(expression)
        if child is not None:
            name = child.bit(expression, truth)
            self.carry(child, name)
            return name
        if isinstance(expression, exp.Column):
            own = self.own_bit(expression, truth)
            if own is not None:
                return own
            raise refuse("expression", "a column as a condition", "compare it with a value")
        if truth == "known":
            return self._known_bit(expression)
        return self._truth(expression, truth)

    def _key(self, expression: exp.Expr) -> Column:
        child = self.home(expression)
        if child is not None:
            column = child.key(expression)
            self.carry(child, column.name)
            return column
        kind = self.type_of(expression)
        if family(kind) == "text":
            raise refuse(
                "key", "a text made of columns of several providers as a key", "use its columns as keys"
            )
        number = self.number(expression)
        bits = (number.high - number.low + 1).bit_length()
        if bits > 64:
            raise refuse(
                "range", "a key that may not fit 64 bits", "ask the providers to declare `public.ranges`"
            )
        return self._compute(
            Column("", "key", bits), "key", (number.name, self.bit(expression, "known")), -number.low
        )

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        child = self.home(expression)
        if child is not None:
            column = child.comparable(expression, encoding)
            self.carry(child, column.name)
            return column
        if encoding.kind == "text":
            raise refuse(
                "key", "a text made of columns of several providers as a key", "use its columns as keys"
            )
        number = self.number(
            expression, max(abs(encoding.low), abs(encoding.high)).bit_length(), encoding.scale
        )
        return self._compute(
            Column("", "key", encoding.bits),
            "key",
            (number.name, self.bit(expression, "known")),
            -encoding.low,
        )

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        child = self.home(expression)
        if child is not None:
            name, words = child.payload(expression, least_words)
            self.carry(child, name)
            return name, words
        if isinstance(expression, exp.Column):
            own = self.own_payload(expression, least_words)
            if own is not None:
                return own
        raise refuse(
            "output",
            f"`{expression.key.upper()}` of several providers as an output that is no number",
            "select its parts, and put them together on the released result",
        )


def united(names: Iterable[Names]) -> Names:
    """Return all columns of several sets."""
    return frozenset[tuple[str, str]]().union(*names)


def closed(columns: Names, dependencies: Dependencies) -> Names:
    """Return all columns that `columns` determine."""
    found, before = set(columns), -1
    while len(found) != before:
        before = len(found)
        for determining, determined in dependencies:
            if determining <= found:
                found |= determined
    return frozenset(found)


def _is_strict(expression: exp.Expr) -> bool:
    """Tell whether an expression is NULL wherever one of its columns is."""
    return not any(isinstance(node, _NULLABLE_MAKERS) for node in expression.walk())


def _text(expression: exp.Expr) -> str:
    return expression.sql("duckdb", comments=False)
