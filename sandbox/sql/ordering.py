"""Orders of rows in shares, and the first rows of a relation in one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sandbox.sql.computed import Program
from sandbox.sql.refusal import refuse
from sandbox.sql.relations import Relation
from sandbox.sql.steps import First


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
        self._order = tuple(order_key(child, each) for each in order)
        self._whole, self._is_sorted = whole, grouped

    def _emit(self) -> int:
        table = self.children[0].emit()
        return self.program.add(
            First(table, self.rows, self._order, sorted=self._is_sorted, whole=self._whole)
        )


def order_key(child: Relation, each: exp.Ordered) -> tuple[str, bool]:
    """Return a key column and whether it falls: NULL, which is 0, stands where the query says.

    Raises:
        JobRefused: texts of several providers, which have no order.
    """
    require_order(child, each.this)
    falls, nulls_first = bool(each.args.get("desc")), bool(each.args.get("nulls_first"))
    if falls == nulls_first:  # NULL stands last in a rising order, or first in a falling one
        return child.reversed(each.this).name, not falls
    return child.key(each.this).name, falls


def require_order(child: Relation, expression: exp.Expr) -> None:
    """Return if the keys of an expression have the order of its values.

    Raises:
        JobRefused: they have not.
    """
    if not child.is_ordered(expression):
        raise refuse(
            "order", "texts of several providers by order", "order, or take MIN or MAX, of another column"
        )
