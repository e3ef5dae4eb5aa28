"""Conditions in shares: comparisons, AND, OR, NOT, IN, BETWEEN, IS and CASE, with NULL as SQL has it.

A condition has three bits: it is TRUE, it is FALSE, it is not NULL. Each is computed only where it is asked
for.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

from sqlglot import exp

from records.errors import JobRefused
from sandbox.sql.arithmetic import Arithmetic, Truth, branches_of
from sandbox.sql.catalogue import family
from sandbox.sql.encodings import MOST_BITS, Encoding, natural_scale
from sandbox.sql.refusal import refuse
from sandbox.sql.steps import Column

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


class Conditions(Arithmetic):
    """Computes the bits of conditions."""

    @abstractmethod
    def comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        """Return a key column in an encoding that other relations share."""

    def _known_bit(self, expression: exp.Expr) -> str:
        match expression:
            case exp.Case():
                return self._case_known(expression)
            case exp.Coalesce():
                return self._all(
                    "or", [self.bit(x, "known") for x in (expression.this, *expression.expressions)]
                )
            case exp.And() | exp.Or() | exp.Not() | exp.In() | exp.Between():
                return self.compute_bit("or", self.bit(expression, "true"), self.bit(expression, "false"))
            case exp.Is() | exp.NullSafeEQ() | exp.NullSafeNEQ():
                return self.compute_bit("present")
        operands = [child for child in expression.iter_expressions() if child.find(exp.Column) is not None]
        if not operands:
            return self.compute_bit("present")
        return self._all("and", [self.bit(operand, "known") for operand in operands])

    def _case_known(self, expression: exp.Case) -> str:
        default = expression.args.get("default")
        result = self.bit(default if default is not None else exp.Null(), "known")
        for branch in reversed(branches_of(expression)):
            condition, known = self.bit(branch.this, "true"), self.bit(branch.args["true"], "known")
            result = self.compute_bit("select", condition, known, result)
        return result

    def _all(self, operation: Literal["and", "or"], bits: Sequence[str]) -> str:
        different = tuple(dict.fromkeys(bits))
        return different[0] if len(different) == 1 else self.compute_bit(operation, *different)

    def _truth(self, expression: exp.Expr, truth: Truth) -> str:
        if isinstance(expression, _COMPARISONS):
            return self._comparison(expression, truth)
        if isinstance(expression, (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)):
            return self._never_null(expression, truth)
        if isinstance(expression, (exp.Not, exp.And, exp.Or, exp.Boolean)):
            return self._connective(expression, truth)
        if isinstance(expression, exp.Between) or (isinstance(expression, exp.In) and expression.expressions):
            return self._within(expression, truth)
        if isinstance(expression, exp.Case) and self.type_of(expression) == "BOOLEAN":
            return self._case_truth(expression, truth)
        raise _unsupported(expression)

    def _connective(self, expression: exp.Not | exp.And | exp.Or | exp.Boolean, truth: Truth) -> str:
        if isinstance(expression, exp.Not):
            return self.bit(expression.this, "false" if truth == "true" else "true")
        if isinstance(expression, exp.Boolean):
            return self.compute_bit("present" if bool(expression.this) == (truth == "true") else "nothing")
        parts = [self.bit(side, truth) for side in (expression.this, expression.expression)]
        return self._all("and" if isinstance(expression, exp.And) == (truth == "true") else "or", parts)

    def _never_null(self, expression: exp.Is | exp.NullSafeEQ | exp.NullSafeNEQ, truth: Truth) -> str:
        """Return the truth of what is never NULL: FALSE is where it is not TRUE."""
        if not isinstance(expression, exp.Is):
            same = self._null_safe(expression)
            wanted = isinstance(expression, exp.NullSafeEQ) == (truth == "true")
            return same if wanted else self.compute_bit("not", same)
        match expression.expression:
            case exp.Null():
                known = self.bit(expression.this, "known")
                return self.compute_bit("not", known) if truth == "true" else known
            case exp.Boolean() as value:
                holds = self.bit(expression.this, "true" if value.this else "false")
                return holds if truth == "true" else self.compute_bit("not", holds)
        raise _unsupported(expression)

    def _within(self, expression: exp.Between | exp.In, truth: Truth) -> str:
        value = expression.this
        if isinstance(expression, exp.Between):
            above = exp.GTE(this=value.copy(), expression=expression.args["low"].copy())
            below = exp.LTE(this=value.copy(), expression=expression.args["high"].copy())
            return self.bit(exp.And(this=above, expression=below), truth)
        terms = [exp.EQ(this=value.copy(), expression=term.copy()) for term in expression.expressions]
        return self._all("or" if truth == "true" else "and", [self.bit(term, truth) for term in terms])

    def _case_truth(self, expression: exp.Case, truth: Truth) -> str:
        default = expression.args.get("default")
        result = self.bit(default if default is not None else exp.Null(), truth)
        for branch in reversed(branches_of(expression)):
            condition, value = self.bit(branch.this, "true"), self.bit(branch.args["true"], truth)
            result = self.compute_bit("select", condition, value, result)
        return result

    def _null_safe(self, expression: exp.Binary) -> str:
        left, right = expression.this, expression.expression
        equal = self.bit(exp.EQ(this=left.copy(), expression=right.copy()), "true")
        known = [self.bit(side, "known") for side in (left, right)]
        neither = self.compute_bit("and", *(self.compute_bit("not", bit) for bit in known))
        return self.compute_bit("or", equal, neither)

    def _comparison(self, expression: exp.Expr, truth: Truth) -> str:
        left, right = expression.this.unnest(), expression.expression.unnest()
        left, right = _without_quotient(left, right)
        holds = self._holds(type(expression), left, right)
        known = [self.bit(side, "known") for side in (left, right) if side.find(exp.Column) is not None]
        return self._all("and", [holds if truth == "true" else self.compute_bit("not", holds), *known])

    def _holds(self, kind: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> str:
        common = exp.Coalesce(this=left.copy(), expressions=[right.copy()])
        kinds = self.types_of({"l": left, "r": right, "c": common})
        if family(kinds["c"]) == "text":
            if kind not in (exp.EQ, exp.NEQ):
                raise refuse("condition", "texts of several providers compared by order", "compare them by =")
            encoding = Encoding("text", 64)
            same = self.compute_bit("same", *(self.comparable(side, encoding).name for side in (left, right)))
            return same if kind is exp.EQ else self.compute_bit("not", same)
        scale = max(natural_scale(kinds[side]) for side in ("l", "r"))
        if {family(kinds["l"]), family(kinds["r"])} == {"date", "timestamp"}:
            left, right = (exp.cast(side.copy(), "TIMESTAMP") for side in (left, right))
        a, b = (self.number(side, MOST_BITS - 1, scale).name for side in (left, right))
        match kind:
            case exp.EQ:
                return self.compute_bit("equal", a, b)
            case exp.NEQ:
                return self.compute_bit("not", self.compute_bit("equal", a, b))
            case exp.LT:
                return self.compute_bit("less", a, b)
            case exp.GT:
                return self.compute_bit("less", b, a)
            case exp.LTE:
                return self.compute_bit("not", self.compute_bit("less", b, a))
        return self.compute_bit("not", self.compute_bit("less", a, b))


def _without_quotient(left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """Return a comparison without a quotient: AVG(x) < y as SUM(x) < y · COUNT(x), as counts are ≥ 0."""
    for first, second in ((left, right), (right, left)):
        if isinstance(first, exp.Div) and first.meta.get("by_count"):
            scaled = exp.Mul(this=second.copy(), expression=first.expression.copy())
            return (first.this, scaled) if first is left else (scaled, first.this)
    return left, right


def _unsupported(expression: exp.Expr) -> JobRefused:
    return refuse(
        "condition",
        f"`{expression.key.upper()}` as a condition over columns of several providers",
        "use = <> < <= > >= BETWEEN IN IS NULL AND OR NOT; text functions and LIKE within one provider",
    )
