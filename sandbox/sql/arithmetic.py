"""Numbers in shares that are computed of numbers in shares: + − · CASE COALESCE and casts.

Every number has bounds, and no number may reach 2^62. `budget` is how many bits an operand may have, so that
the whole fits; a provider checks its values against it before they enter shares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from sqlglot import exp

from sandbox.sql.catalogue import family
from sandbox.sql.computed import Computed
from sandbox.sql.encodings import MOST_BITS, Number, natural_scale
from sandbox.sql.plan import FIXED_POINT_SCALE
from sandbox.sql.refusal import refuse

Truth: TypeAlias = Literal["true", "false", "known"]
"""What a bit says of an expression: it is TRUE, it is FALSE, it is not NULL."""


class Arithmetic(Computed, ABC):
    """Computes numbers; where the columns of an expression come from is a subclass's."""

    @abstractmethod
    def number(self, expression: exp.Expr, budget_bits: int = MOST_BITS, scale: int | None = None) -> Number:
        """Return the column of an expression as a number of at most `budget_bits` bits and a sign."""

    @abstractmethod
    def bit(self, expression: exp.Expr, truth: Truth) -> str:
        """Return a bit that says something of an expression."""

    @abstractmethod
    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return declared bounds of value · `scale`, None if nothing is declared."""

    @abstractmethod
    def types_of(self, expressions: Mapping[str, exp.Expr]) -> dict[str, str]:
        """Return the SQL types of named expressions."""

    def type_of(self, expression: exp.Expr) -> str:
        """Return the SQL type of an expression."""
        return self.types_of({"e": expression})["e"]

    def _arithmetic(self, expression: exp.Expr, budget: int, scale: int | None) -> Number:
        match expression:
            case exp.Neg():
                inner = self.number(expression.this, budget, scale)
                return self.compute_number("scale", (inner.name,), (-inner.high, -inner.low), inner.scale, -1)
            case exp.Add() | exp.Sub():
                wanted = self._common_scale(expression, scale)
                left = self.number(expression.this, budget - 1, wanted)
                right = self.number(expression.expression, budget - 1, wanted)
                if isinstance(expression, exp.Add):
                    bounds = left.low + right.low, left.high + right.high
                    return self.compute_number("add", (left.name, right.name), bounds, wanted)
                bounds = left.low - right.high, left.high - right.low
                return self.compute_number("subtract", (left.name, right.name), bounds, wanted)
            case exp.Mul():
                return self._product(expression, budget)
            case exp.Case():
                return self._case(expression, budget, scale)
            case exp.Coalesce():
                return self._coalesce([expression.this, *expression.expressions], budget, scale)
            case exp.Cast() | exp.TryCast() if family(self.type_of(expression)) == "number":
                return self.number(expression.this, budget, scale or natural_scale(self.type_of(expression)))
            case _ if self.type_of(expression) == "BOOLEAN":
                return self.number_of(self.bit(expression, "true"))
        raise refuse(
            "expression",
            f"`{expression.key.upper()}` over columns of several providers",
            "compute it within one provider, or on the released result;"
            " + - * CASE COALESCE and comparisons pass",
        )

    def _common_scale(self, expression: exp.Binary, scale: int | None) -> int:
        if scale is not None:
            return scale
        kinds = [self.type_of(expression.this), self.type_of(expression.expression)]
        return max(natural_scale(kind) for kind in kinds)

    def _product(self, expression: exp.Mul, budget: int) -> Number:
        sides = (expression.this, expression.expression)
        kinds = [self.type_of(side) for side in sides]
        double = "DOUBLE" in kinds
        scales = [FIXED_POINT_SCALE if double else natural_scale(kind) for kind in kinds]
        hints = [self._bits_hint(side, scale) for side, scale in zip(sides, scales, strict=True)]
        known = [hint for hint in hints if hint is not None]
        rest = max(2, budget - sum(known))
        budgets = [hint if hint is not None else rest // (2 - len(known)) for hint in hints]
        left, right = (self.number(*each) for each in zip(sides, budgets, scales, strict=True))
        ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
        product = self.compute_number(
            "multiply", (left.name, right.name), (min(ends), max(ends)), left.scale * right.scale
        )
        if not double:
            return product
        bits = FIXED_POINT_SCALE.bit_length() - 1
        bounds = (product.low >> bits) - 1, (product.high >> bits) + 1
        return self.compute_number("truncate", (product.name,), bounds, FIXED_POINT_SCALE, bits)

    def _bits_hint(self, expression: exp.Expr, scale: int) -> int | None:
        bounds = self.bounds(expression, scale)
        return None if bounds is None else max(abs(bounds[0]), abs(bounds[1]), 1).bit_length()

    def _case(self, expression: exp.Case, budget: int, scale: int | None) -> Number:
        wanted = scale if scale is not None else natural_scale(self.type_of(expression))
        default = expression.args.get("default")
        result = None
        if default is not None and not isinstance(default, exp.Null):
            result = self.number(default, budget, wanted)
        for branch in reversed(branches_of(expression)):
            condition = self.bit(branch.this, "true")
            value = branch.args["true"]
            chosen = (
                self.nothing(wanted) if isinstance(value, exp.Null) else self.number(value, budget, wanted)
            )
            result = self.choose(condition, chosen, result or self.nothing(wanted))
        return result or self.nothing(wanted)

    def _coalesce(self, values: Sequence[exp.Expr], budget: int, scale: int | None) -> Number:
        whole = exp.Coalesce(this=values[0].copy(), expressions=[value.copy() for value in values[1:]])
        wanted = scale if scale is not None else natural_scale(self.type_of(whole))
        result = self.number(values[-1], budget, wanted)
        for value in reversed(values[:-1]):
            result = self.choose(self.bit(value, "known"), self.number(value, budget, wanted), result)
        return result


def branches_of(expression: exp.Case) -> list[exp.If]:
    """Return the branches of a CASE, each with a condition: `CASE x WHEN y` is `CASE WHEN x = y`."""
    operand = expression.args.get("this")
    if operand is None:
        return list(expression.args["ifs"])
    return [
        exp.If(
            this=exp.EQ(this=operand.copy(), expression=branch.this.copy()), true=branch.args["true"].copy()
        )
        for branch in expression.args["ifs"]
    ]
