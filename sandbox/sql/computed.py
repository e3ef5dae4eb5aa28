"""Columns that the compute parties compute of others, row by row, and the program that they become steps of.

All of it is linear or a protocol of `mpc`: no party learns anything of a value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from sandbox.sql.encodings import MOST_BITS, Number
from sandbox.sql.plan import LocalPart
from sandbox.sql.refusal import refuse
from sandbox.sql.steps import Column, Compute, Operation, Step

T = TypeVar("T")


@dataclass(slots=True)
class Program:
    """What relations emit: parts and steps; and the names they give to columns."""

    parts: list[LocalPart] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    names: int = 0

    def name(self) -> str:
        """Return a fresh name for a column."""
        self.names += 1
        return f"c{self.names}"

    def add(self, step: Step) -> int:
        """Append a step and return the number of its table."""
        self.steps.append(step)
        return len(self.steps) - 1


class Computed:
    """The columns that are computed of one table; each is computed once, however often it is asked for."""

    def __init__(self, program: Program) -> None:
        """`program` gives names to columns, and is what the steps go into."""
        self.program = program
        self._computed: list[tuple[Column, Operation, tuple[str, ...], int]] = []
        self._known: dict[object, object] = {}

    def compute_bit(self, operation: Operation, *operands: str) -> str:
        """Add a bit computed of columns of this relation's table."""
        return self._compute(Column("", "bit", 1), operation, operands).name

    def compute_number(
        self,
        operation: Operation,
        operands: tuple[str, ...],
        bounds: tuple[int, int],
        scale: int,
        constant: int = 0,
    ) -> Number:
        """Add a number computed of columns of this relation's table."""
        if max(abs(bounds[0]), abs(bounds[1])) >= 1 << MOST_BITS:
            raise refuse(
                "range",
                "numbers that may not fit 64 bits in shares",
                "ask the providers to declare `public.ranges` for these columns,"
                " or compute within one provider",
            )
        column = self._compute(Column("", "number", 64), operation, operands, constant)
        return Number(column.name, scale, *bounds)

    def number_of(self, bit: str) -> Number:
        """Return a bit as the number 0 or 1."""
        return self.compute_number("number", (bit,), (0, 1), 1)

    def nothing(self, scale: int = 1) -> Number:
        """Return a number that is 0 in every row."""
        return self.compute_number("nothing", (), (0, 0), scale)

    def nothing_like(self, column: Column) -> str:
        """Return a column that is 0 in every row, of the kind and bits of another."""
        return self._compute(column, "nothing", ()).name

    def positive(self, number: str) -> str:
        """Return whether a number is above 0."""
        return self.compute_bit("less", self.nothing().name, number)

    def choose(self, condition: str, if_true: Number, if_false: Number) -> Number:
        """Return one number where a bit is 1, another elsewhere; both of one scale."""
        bounds = min(if_true.low, if_false.low, 0), max(if_true.high, if_false.high, 0)
        return self.compute_number("select", (condition, if_true.name, if_false.name), bounds, if_true.scale)

    def scaled(self, number: Number, scale: int | None) -> Number:
        """Return a number as a multiple of 1 / `scale`.

        Raises:
            JobRefused: it would have to be rounded.
        """
        if scale is None or scale == number.scale:
            return number
        if scale % number.scale:
            raise refuse(
                "expression",
                "a number rounded in shares",
                "cast the columns to one type within their providers, or round the released result",
            )
        factor = scale // number.scale
        return self.compute_number(
            "scale", (number.name,), (number.low * factor, number.high * factor), scale, factor
        )

    def _once(self, key: object, make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
        return cast("T", self._known[key])

    def _compute(
        self, column: Column, operation: Operation, operands: tuple[str, ...], constant: int = 0
    ) -> Column:
        def add() -> Column:
            named = Column(self.program.name(), column.kind, column.bits)
            self._computed.append((named, operation, operands, constant))
            return named

        return self._once(("computed", column.kind, column.bits, operation, operands, constant), add)

    def _append_computed(self, table: int) -> int:
        """Append the steps that add the computed columns to a table; return the last table."""
        for column, operation, operands, constant in self._computed:
            table = self.program.add(Compute(table, column, operation, operands, constant))
        return table
