"""The rows of several relations stacked: members of a collection, UNION ALL, the sides of an outer join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from sandbox.sql.arithmetic import Truth
from sandbox.sql.catalogue import family
from sandbox.sql.computed import Program
from sandbox.sql.encodings import Encoding, Number, encoding_of, natural_scale
from sandbox.sql.relations import ROW, Names, Relation
from sandbox.sql.steps import Column, Project, Stack


class Union(Relation):
    """The rows of several relations with one scope, one under the other."""

    def __init__(
        self, program: Program, children: Sequence[Relation], alias: str, *, of_query: bool = False
    ) -> None:
        """All children have the scope of the first; `alias` is the one whose rows they are.

        `of_query`: the query says UNION; otherwise they are the members of a collection, or sides of an outer
        join.
        """
        super().__init__(program, children[0].scope, sum(child.rows for child in children), children)
        self.dependencies = []
        self.marks = frozenset({(alias, ROW)})
        self.of_query = of_query
        self._names: dict[str, tuple[str, ...]] = {}

    def home(self, expression: exp.Expr) -> Relation | None:
        """Return None: an expression goes to every child."""
        return None

    def bounds(self, expression: exp.Expr, scale: int) -> tuple[int, int] | None:
        """Return bounds that hold in every child."""
        found = [child.bounds(expression, scale) for child in self.children]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return min(low for low, _ in known), max(high for _, high in known)

    def is_ordered(self, expression: exp.Expr) -> bool:
        """Tell whether keys of an expression have the order of its values."""
        return family(self.type_of(expression)) != "text"

    def payload_words(self, expression: exp.Expr) -> int:
        """Return the words that a payload of the expression takes in every child."""
        return max(child.payload_words(expression) for child in self.children)

    def most(self, columns: Names) -> int | None:
        """Return how many rows share values of `columns` at most, None if that is not known."""
        found = [child.most(columns) for child in self.children]
        return None if None in found else sum(each or 0 for each in found)

    def of_child(self, child: Relation, name: str, zero: Mapping[int, str]) -> str:
        """Return the column that is column `name` of one child, and in each other child the one of `zero`."""
        return self.stacked([name if each is child else zero[i] for i, each in enumerate(self.children)])

    def _number(self, expression: exp.Expr, budget_bits: int, scale: int | None) -> Number:
        wanted = scale if scale is not None else natural_scale(self.type_of(expression))
        numbers = [child.number(expression, budget_bits, wanted) for child in self.children]
        name = self.stacked([number.name for number in numbers])
        low, high = min(number.low for number in numbers), max(number.high for number in numbers)
        return Number(name, wanted, low, high)

    def _bit(self, expression: exp.Expr, truth: Truth) -> str:
        return self.stacked([child.bit(expression, truth) for child in self.children])

    def _key(self, expression: exp.Expr) -> Column:
        kind = self.type_of(expression)
        scale = natural_scale(kind)
        return self.comparable(expression, encoding_of([kind], [self.bounds(expression, scale)], scale))

    def _comparable(self, expression: exp.Expr, encoding: Encoding) -> Column:
        keys = [child.comparable(expression, encoding) for child in self.children]
        return Column(self.stacked([key.name for key in keys]), "key", encoding.bits)

    def _payload(self, expression: exp.Expr, least_words: int) -> tuple[str, int]:
        words = max(least_words, self.payload_words(expression))
        return self.stacked([child.payload(expression, words)[0] for child in self.children]), words

    def stacked(self, names: Sequence[str]) -> str:
        """Return the column that is made of one column of every child."""
        for known, before in self._names.items():
            if before == tuple(names):
                return known
        name = self.program.name()
        self._names[name] = tuple(names)
        return name

    def _emit(self) -> int:
        tables = []
        for position, child in enumerate(self.children):
            columns = tuple((before[position], name) for name, before in self._names.items())
            tables.append(self.program.add(Project(child.emit(), columns)))
        return self.program.add(Stack(tuple(tables)))
