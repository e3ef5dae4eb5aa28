"""A sub-query as a relation: the rows of another under one alias, with outputs made of its columns."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.computed import Program
from sandbox.sql.encodings import MOST_BITS, Encoding, Number
from sandbox.sql.relations import Relation
from sandbox.sql.steps import Column


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
            column = expression.unnest()
            if isinstance(column, exp.Column):
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

    def types_of(self, expressions: Mapping[str, exp.Expr]) -> dict[str, str]:
        """Return the types of expressions over the outputs."""
        return self.children[0].types_of({name: self._inner(each) for name, each in expressions.items()})

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
