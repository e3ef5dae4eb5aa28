"""Relations of a joint plan, and how an expression over them becomes a column in shares.

A relation is asked for columns first (`number`, `bit`, `key`, `payload`), and then emits the steps that make its
table. An expression goes to the child that can compute all of it, so that what one provider can compute ends in
the SQL of its part; what remains is computed where its operands meet. This is the secure frontier: it is pushed
down as far as it goes, and no further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar, cast

from sqlglot import exp

from records.errors import JobRefused, Reason
from sandbox.sql import types
from sandbox.sql.catalogue import family, is_decimal
from sandbox.sql.plan import FIXED_POINT_SCALE, LocalPart
from sandbox.sql.refusal import refusal
from sandbox.sql.steps import Column, Compute, Operation, Step

Truth = Literal["true", "false", "known"]
T = TypeVar("T")
Scope: TypeAlias = dict[str, dict[str, str]]
"""Alias → name of a column → its type."""

Names: TypeAlias = frozenset[tuple[str, str]]
"""Columns as (alias, name); the name `*` stands for the row of an alias."""

Dependencies: TypeAlias = list[tuple[Names, Names]]
"""Columns that determine others."""

MOST_BITS = 62
"""No number in shares is as large as 2^62: differences and comparisons stay exact."""

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
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


@dataclass(frozen=True, slots=True)
class Number:
    """A number column: value = integer / `scale`, the integer within [`low`, `high`]."""

    name: str
    scale: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How values of several parts become keys that compare: value · `scale` − `low` + 1, or a hash of a text."""

    kind: Literal["value", "text"]
    bits: int
    scale: int = 1
    low: int = 0
    high: int = 0


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


class Relation:
    """Rows of several providers, as the planner sees them; see the module."""

    def __init__(self, program: Program, scope: Scope, rows: int, children: Sequence[Relation] = ()) -> None:
        """`scope` is what expressions may name; at most `rows` rows.

        Subclasses add to `dependencies`, and to `marks` the rows that together tell apart the relation's.
        """
        self.dependencies: Dependencies = [each for child in children for each in child.dependencies]
        self.marks: Names = frozenset[tuple[str, str]]().union(*(child.marks for child in children))
        self.program = program
        self.scope = scope
        self.rows = rows
        self.children = tuple(children)
        self._computed: list[tuple[Column, Operation, tuple[str, ...], int]] = []
        self._known: dict[object, object] = {}
        self._table: int | None = None

    # What a relation may know better than this class.

    def _emit(self) -> int:
        """Append the steps that make the table, without computed columns."""
        raise NotImplementedError

    def carry(self, child: Relation, name: str) -> None:
        """Note that column `name` of a child is wanted above."""

    def _is_nullable(self, child: Relation) -> bool:
        """Tell whether rows of the child may be missing beside those of another."""
        return False

    def _presence(self, child: Relation) -> str | None:
        """Return the bit of whether a row of a nullable child is there; None: always."""
        return None

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
        found, before = set(columns), -1
        while len(found) != before:
            before = len(found)
            for determining, determined in self.dependencies:
                if determining <= found:
                    found |= determined
        return frozenset(found)

    def is_unique(self, columns: Names) -> bool:
        """Tell whether no two rows agree in `columns`."""
        return self.marks <= self.closure(columns)

    # Columns.

    def type_of(self, expression: exp.Expr) -> str:
        """Return the SQL type of an expression over this relation."""
        return types.of_expressions({"e": expression}, _scope_of(expression, self.scope))["e"]

    def number(self, expression: exp.Expr, budget_bits: int = MOST_BITS, scale: int | None = None) -> Number:
        """Return the column of an expression as a number of at most `budget_bits` bits and a sign.

        `scale` None: the natural one of its type. Where the expression is NULL it may be anything.

        Raises:
            JobRefused: it cannot be computed in shares.
        """
        expression = expression.unnest()
        if isinstance(expression, exp.Null):
            return self._zero(scale if scale is not None else 1)
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
        column = Column("", "key", key.bits)
        constant = (1 << key.bits) - 1
        return self._once(
            ("reversed", key.name), lambda: self._compute(column, "reverse", (key.name,), constant)
        )

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
        return self._once(
            ("summand", number.name, known), lambda: self.choose(known, number, self._zero(number.scale))
        )

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return declared bounds of value · `scale`, None if nothing is declared."""
        child = self.home(expression)
        return child.bounds(expression, scale) if child is not None else None

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have the order of its values: texts of several parts have none."""
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
            table = self._emit()
            for column, operation, operands, constant in self._computed:
                table = self.program.add(Compute(table, column, operation, operands, constant))
            self._table = table
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
            raise _refused(
                "range",
                "numbers that may not fit 64 bits in shares",
                "ask the providers to declare `public.ranges` for these columns, or compute within one provider",
            )
        column = self._compute(Column("", "number", 64), operation, operands, constant)
        return Number(column.name, scale, *bounds)

    def nothing(self) -> Number:
        """Return a number that is 0 in every row."""
        return self._once("nothing", lambda: self._zero(1))

    def nothing_like(self, column: Column) -> str:
        """Return a column that is 0 in every row, of the kind and bits of another."""
        key = ("nothing", column.kind, column.bits)
        return self._once(key, lambda: self._compute(column, "nothing", ()).name)

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
            raise _refused(
                "expression", "a text where a number is computed", "compute it within one provider"
            )
        return self.scaled(self._arithmetic(expression, budget_bits, scale), scale)

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
                return self.compute_number("number", (self.bit(expression, "true"),), (0, 1), 1)
        raise _refused(
            "expression",
            f"`{expression.key.upper()}` over columns of several providers",
            "compute it within one provider, or on the released result; + - * CASE COALESCE and comparisons pass",
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
        result = (
            None if default is None or isinstance(default, exp.Null) else self.number(default, budget, wanted)
        )
        for branch in reversed(_branches(expression)):
            condition = self.bit(branch.this, "true")
            value = branch.args["true"]
            if isinstance(value, exp.Null):
                chosen = self._zero(wanted)
            else:
                chosen = self.number(value, budget, wanted)
            result = self.choose(condition, chosen, result or self._zero(wanted))
        return result or self._zero(wanted)

    def _zero(self, scale: int) -> Number:
        return self.compute_number("nothing", (), (0, 0), scale)

    def choose(self, condition: str, if_true: Number, if_false: Number) -> Number:
        """Return one number where a bit is 1, another elsewhere; both of one scale."""
        bounds = min(if_true.low, if_false.low, 0), max(if_true.high, if_false.high, 0)
        return self.compute_number("select", (condition, if_true.name, if_false.name), bounds, if_true.scale)

    def _coalesce(self, values: Sequence[exp.Expr], budget: int, scale: int | None) -> Number:
        whole = exp.Coalesce(this=values[0].copy(), expressions=[value.copy() for value in values[1:]])
        wanted = scale if scale is not None else natural_scale(self.type_of(whole))
        result = self.number(values[-1], budget, wanted)
        for value in reversed(values[:-1]):
            result = self.choose(self.bit(value, "known"), self.number(value, budget, wanted), result)
        return result

    def scaled(self, number: Number, scale: int | None) -> Number:
        """Return a number as a multiple of 1 / `scale`.

        Raises:
            JobRefused: it would have to be rounded.
        """
        if scale is None or scale == number.scale:
            return number
        if scale % number.scale:
            raise _refused(
                "expression",
                "a number rounded in shares",
                "cast the columns to one type within their providers, or round the released result",
            )
        factor = scale // number.scale
        return self.compute_number(
            "scale", (number.name,), (number.low * factor, number.high * factor), scale, factor
        )

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
            raise _refused("expression", "a column as a condition", "compare it with a value")
        if truth == "known":
            return self._known_bit(expression)
        return self._truth(expression, truth)

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
        result = self.bit(default, "known") if default is not None else self.bit(exp.Null(), "known")
        for branch in reversed(_branches(expression)):
            condition, known = self.bit(branch.this, "true"), self.bit(branch.args["true"], "known")
            result = self.compute_bit("select", condition, known, result)
        return result

    def _all(self, operation: Literal["and", "or"], bits: Sequence[str]) -> str:
        different = tuple(dict.fromkeys(bits))
        return different[0] if len(different) == 1 else self.compute_bit(operation, *different)

    def _truth(self, expression: exp.Expr, truth: Truth) -> str:
        other: Truth = "false" if truth == "true" else "true"
        match expression:
            case exp.Not():
                return self.bit(expression.this, other)
            case exp.And() | exp.Or():
                parts = [self.bit(side, truth) for side in (expression.this, expression.expression)]
                return self._all(
                    "and" if isinstance(expression, exp.And) == (truth == "true") else "or", parts
                )
            case exp.Boolean():
                return self.compute_bit(
                    "present" if bool(expression.this) == (truth == "true") else "nothing"
                )
            case exp.Is(expression=exp.Null()):
                known = self.bit(expression.this, "known")
                return self.compute_bit("not", known) if truth == "true" else known
            case exp.Is(expression=exp.Boolean() as wanted):
                inner = self.bit(expression.this, "true" if wanted.this else "false")
                return inner if truth == "true" else self.compute_bit("not", inner)
            case exp.NullSafeEQ() | exp.NullSafeNEQ():
                same = self._null_safe(expression)
                return (
                    same
                    if isinstance(expression, exp.NullSafeEQ) == (truth == "true")
                    else self.compute_bit("not", same)
                )
            case exp.Between():
                above = exp.GTE(this=expression.this.copy(), expression=expression.args["low"].copy())
                below = exp.LTE(this=expression.this.copy(), expression=expression.args["high"].copy())
                return self.bit(exp.And(this=above, expression=below), truth)
            case exp.In() if expression.expressions:
                terms = [
                    exp.EQ(this=expression.this.copy(), expression=term.copy())
                    for term in expression.expressions
                ]
                return self._all(
                    "or" if truth == "true" else "and", [self.bit(term, truth) for term in terms]
                )
            case exp.Case() if self.type_of(expression) == "BOOLEAN":
                return self._case_truth(expression, truth)
            case _ if isinstance(expression, _COMPARISONS):
                return self._comparison(expression, truth)
        raise _refused(
            "condition",
            f"`{expression.key.upper()}` as a condition over columns of several providers",
            "use = <> < <= > >= BETWEEN IN IS NULL AND OR NOT; text functions and LIKE within one provider",
        )

    def _case_truth(self, expression: exp.Case, truth: Truth) -> str:
        default = expression.args.get("default")
        missing = default is None or isinstance(default, exp.Null)
        result = self.compute_bit("nothing") if missing else self.bit(default, truth)
        for branch in reversed(_branches(expression)):
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
        types_of = types.of_expressions(
            {"l": left, "r": right, "c": exp.Coalesce(this=left.copy(), expressions=[right.copy()])},
            _scope_of(exp.Tuple(expressions=[left.copy(), right.copy()]), self.scope),
        )
        if family(types_of["c"]) == "text":
            if kind not in (exp.EQ, exp.NEQ):
                raise _refused(
                    "condition", "texts of several providers compared by order", "compare them by ="
                )
            encoding = Encoding("text", 64)
            same = self.compute_bit("same", *(self.comparable(side, encoding).name for side in (left, right)))
            return same if kind is exp.EQ else self.compute_bit("not", same)
        scale = max(natural_scale(types_of[side]) for side in ("l", "r"))
        if {family(types_of["l"]), family(types_of["r"])} == {"date", "timestamp"}:
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

    def _key(self, expression: exp.Expr) -> Column:
        child = self.home(expression)
        if child is not None:
            column = child.key(expression)
            self.carry(child, column.name)
            return column
        kind = self.type_of(expression)
        if family(kind) == "text":
            raise _refused(
                "key", "a text made of columns of several providers as a key", "use its columns as keys"
            )
        number = self.number(expression)
        bits = (number.high - number.low + 1).bit_length()
        if bits > 64:
            raise _refused(
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
            raise _refused(
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
        raise _refused(
            "output",
            f"`{expression.key.upper()}` of several providers as an output that is no number",
            "select its parts, and put them together on the released result",
        )


def natural_scale(kind: str) -> int:
    """Return by what a value of an SQL type is multiplied to be an integer in shares."""
    if is_decimal(kind):
        return int(10 ** int(kind.partition(",")[2].rstrip(")")))
    return FIXED_POINT_SCALE if kind == "DOUBLE" else 1


def type_bounds(kind: str, scale: int) -> tuple[int, int] | None:
    """Return the bounds of value · `scale` that every value of an SQL type keeps, None if there are none."""
    if kind == "BOOLEAN":
        return 0, scale
    if kind == "DATE":
        return -scale << 22, scale << 22
    if is_decimal(kind):
        digits = int(kind[len("DECIMAL(") :].partition(",")[0])
        most = 10**digits * scale // natural_scale(kind)
        return -most, most
    return None


def encoding_of(kinds: Sequence[str], bounds: Sequence[tuple[int, int] | None], scale: int) -> Encoding:
    """Return the encoding in which values of several types compare.

    Raises:
        JobRefused: DOUBLE, which has no exact one.
    """
    if all(family(kind) == "text" for kind in kinds):
        return Encoding("text", 64)
    if "DOUBLE" in kinds:
        raise _refused(
            "key", "a DOUBLE as a key over several providers", "use a column of another type as key"
        )
    most = (1 << MOST_BITS) - 1
    ends = [each if each is not None else (-most, most) for each in bounds]
    low = max(-most, min(end[0] for end in ends))
    high = min(most, max(end[1] for end in ends))
    return Encoding("value", (high - low + 1).bit_length(), scale, low, high)


def refuse(construct: str, wanted: str, remedy: str) -> JobRefused:
    """Return the refusal of a construct of a joint plan."""
    reasons: tuple[Reason, ...] = (refusal(construct, wanted, remedy),)
    return JobRefused(reasons)


_refused = refuse


def _branches(expression: exp.Case) -> list[exp.If]:
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


def _without_quotient(left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    """Return a comparison without a quotient by a count, which is never negative: AVG(x) < y as SUM(x) < y · COUNT(x)."""
    for first, second in ((left, right), (right, left)):
        if isinstance(first, exp.Div) and first.meta.get("by_count"):
            scaled = exp.Mul(this=second.copy(), expression=first.expression.copy())
            return (first.this, scaled) if first is left else (scaled, first.this)
    return left, right


def _is_strict(expression: exp.Expr) -> bool:
    """Tell whether an expression is NULL wherever one of its columns is."""
    return not any(isinstance(node, _NULLABLE_MAKERS) for node in expression.walk())


def _scope_of(expression: exp.Expr, scope: Scope) -> Scope:
    wanted: Scope = {}
    for column in expression.find_all(exp.Column):
        wanted.setdefault(column.table, {})[column.name] = scope[column.table][column.name]
    return wanted


def _text(expression: exp.Expr) -> str:
    return expression.sql("duckdb", comments=False)
