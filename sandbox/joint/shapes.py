"""The public shapes of all tables of a program, from its steps alone: what does not fit is refused here."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

from mpc.relational.selection import Place
from records.errors import InputError, MalformedDocument
from sandbox.sql.plan import LocalPart
from sandbox.sql.steps import (
    Beside,
    Broadcast,
    Column,
    Compute,
    Filter,
    First,
    Group,
    Input,
    Join,
    Kind,
    Operation,
    Project,
    Select,
    Stack,
    Step,
    TableShape,
    Window,
)

MOST_BITS: Final = 64
MOST_TRUNCATED: Final = 62
MOST_QUOTIENT_BITS: Final = 61

_OPERANDS: Final = MappingProxyType[Operation, tuple[tuple[Kind, ...], Kind]](
    {
        "subtract": (("number", "number"), "number"),
        "multiply": (("number", "number"), "number"),
        "scale": (("number",), "number"),
        "truncate": (("number",), "number"),
        "divide": (("number", "number"), "number"),
        "less": (("number", "number"), "bit"),
        "equal": (("number", "number"), "bit"),
        "same": (("key", "key"), "bit"),
        "not": (("bit",), "bit"),
        "number": (("bit",), "number"),
        "key": (("number", "bit"), "key"),
        "reverse": (("key",), "key"),
        "present": ((), "bit"),
    }
)
_OF_ANY_NUMBER: Final = MappingProxyType[Operation, Kind]({"add": "number", "and": "bit", "or": "bit"})
_CONSTANTS: Final = MappingProxyType[Operation, range](
    {"truncate": range(MOST_TRUNCATED + 1), "divide": range(1, MOST_QUOTIENT_BITS + 1)}
)
_ARGUMENTS: Final = MappingProxyType[str, tuple[Kind | None, ...]](
    {
        "row_number": (None,),
        "rank": (None,),
        "dense_rank": (None,),
        "rows": (None,),
        "sum": ("number",),
        "running_sum": ("number",),
        "count": (None, "bit"),
        "running_count": (None, "bit"),
    }
)


def shapes(steps: Sequence[Step], parts: Sequence[LocalPart]) -> tuple[TableShape, ...]:
    """Return the shape of the table that each step makes.

    Raises:
        MalformedDocument: a step names a table, part or column that is not there or of another kind, gives
            two columns one name, or has a number out of its range.
    """
    found: list[TableShape] = []
    for step in steps:
        shape = _shape(step, found, parts)
        if shape.rows < 1:
            raise MalformedDocument("a table in shares has at least one row")
        found.append(shape)
    return tuple(found)


@functools.singledispatch
def _shape(step: Step, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    """Return the shape of the table that a step makes of those before it."""
    raise MalformedDocument("there is no such step")


@_shape.register
def _(step: Input, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    if not 0 <= step.part < len(parts) or parts[step.part].rows != step.rows:
        raise MalformedDocument("an input has the rows of a part of the plan")
    columns = [item.column for item in parts[step.part].columns]
    for column in columns:
        _check_bits(column)
    return TableShape(step.rows, _together(columns))


@_shape.register
def _(step: Stack, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    tables = [_at(found, index) for index in step.tables]
    if not tables or any(dict(table.columns) != dict(tables[0].columns) for table in tables):
        raise MalformedDocument("tables that are stacked have the same columns")
    return TableShape(sum(table.rows for table in tables), tables[0].columns)


@_shape.register
def _(step: Join, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    left, right = _at(found, step.left), _at(found, step.right)
    if not step.keys or step.most < 1:
        raise MalformedDocument("a join has keys, and finds at least one row")
    for on_left, on_right in step.keys:
        _column(left, on_left, "key")
        _column(right, on_right, "key")
    carried = _picked(left, ((name, name) for name in step.carried))
    columns = _together(right.columns.values(), carried, [Column(step.matched, "bit", 1)])
    return TableShape(right.rows * step.most, columns)


@_shape.register
def _(step: Broadcast, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    carried = _picked(_at(found, step.one), ((name, name) for name in step.carried))
    return TableShape(table.rows, _together(table.columns.values(), carried))


@_shape.register
def _(step: Compute, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    _check_compute(step, table)
    return TableShape(table.rows, _together(table.columns.values(), [step.column]))


@_shape.register
def _(step: Filter, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    _column(table, step.bit, "bit")
    return table


@_shape.register
def _(step: Project, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    return TableShape(table.rows, _together(_picked(table, step.columns)))


@_shape.register
def _(step: Group, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    keys = _keys(table, step.keys)
    for name, _ in step.sums:
        _column(table, name, "number")
    if step.order is None and (step.distinct or step.countable):
        raise MalformedDocument("different values are counted in an order")
    if step.order is not None:
        _keys(table, [step.order])
    if step.countable is not None:
        _column(table, step.countable, "bit")
    counted = [name for name in (step.count, step.distinct) if name is not None]
    numbers = [Column(name, "number", MOST_BITS) for name in [*counted, *(after for _, after in step.sums)]]
    columns = _together(keys, numbers, _picked(table, step.last))
    return TableShape(table.rows if keys else 1, columns)


@_shape.register
def _(step: Select, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    keys = _keys(table, step.keys)
    _keys(table, [step.order])
    _column(table, step.countable, "bit")
    try:
        places(step)
    except InputError:
        raise MalformedDocument("a percentile is a fraction from 0 to 1, and below 1 with `upper`") from None
    columns = _together(keys, _picked(table, step.lower), _picked(table, step.upper))
    return TableShape(table.rows if keys else 1, columns)


@_shape.register
def _(step: Beside, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    tables = [_at(found, index) for index in step.tables]
    if len({table.rows for table in tables}) != 1:
        raise MalformedDocument("tables side by side have the same number of rows")
    columns: dict[str, Column] = {}
    for table in tables:
        for column in table.columns.values():
            if columns.setdefault(column.name, column) != column:
                raise MalformedDocument("tables side by side agree in the columns that they share")
    return TableShape(tables[0].rows, columns)


@_shape.register
def _(step: Window, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    _keys(table, [*step.partition, *(name for name, _ in step.order)])
    if not step.functions:
        raise MalformedDocument("a window has at least one function")
    for function, argument, _ in step.functions:
        kind = None if argument is None else _column(table, argument).kind
        if kind not in _ARGUMENTS[function]:
            raise MalformedDocument(f"`{function}` has no such argument")
    added = [Column(name, "number", MOST_BITS) for _, _, name in step.functions]
    return TableShape(table.rows, _together(table.columns.values(), added))


@_shape.register
def _(step: First, found: Sequence[TableShape], parts: Sequence[LocalPart]) -> TableShape:
    table = _at(found, step.table)
    _keys(table, (name for name, _ in step.order))
    return TableShape(min(step.rows, table.rows), table.columns)


def places(step: Select) -> tuple[Place, ...]:
    """Return the places of a selection: the lower, and the upper if it is asked for.

    Raises:
        InputError: the fraction is outside [0, 1], or is 1 and the upper place is asked for.
    """
    lower = Place(step.numerator, step.denominator)
    # ⌊p·c⌋ + 1 is ⌈(numerator·c + 1) / denominator⌉.
    return (lower, Place(step.numerator, step.denominator, 1)) if step.upper else (lower,)


def _check_compute(step: Compute, table: TableShape) -> None:
    operands = [_column(table, name) for name in step.operands]
    kinds = tuple(column.kind for column in operands)
    if step.operation == "select":
        fits = kinds == ("bit", step.column.kind, step.column.kind)
        # Of two keys, the result has the bits of the wider.
        bits = {column.bits for column in operands[1:]}
        fits = fits and (
            max(bits) <= step.column.bits if step.column.kind == "key" else bits == {step.column.bits}
        )
    elif step.operation == "nothing":
        fits = not kinds
    elif step.operation in _OF_ANY_NUMBER:
        kind = _OF_ANY_NUMBER[step.operation]
        fits = bool(kinds) and {*kinds, step.column.kind} == {kind}
    else:
        fits = (kinds, step.column.kind) == _OPERANDS[step.operation]
    _check_bits(step.column)
    if not fits or step.constant not in _CONSTANTS.get(step.operation, (step.constant,)):
        raise MalformedDocument(f"`{step.operation}` has no such operands, constant or result")


def _check_bits(column: Column) -> None:
    fits = {
        "number": column.bits == MOST_BITS,
        "bit": column.bits == 1,
        "key": 1 <= column.bits <= MOST_BITS,
        "payload": column.bits > 0 and column.bits % MOST_BITS == 0,
    }
    if not fits[column.kind]:
        raise MalformedDocument(f"a {column.kind} has no such number of bits")


def _at(found: Sequence[TableShape], index: int) -> TableShape:
    if not 0 <= index < len(found):
        raise MalformedDocument("a step uses the tables of steps before it")
    return found[index]


def _column(table: TableShape, name: str, *kinds: Kind) -> Column:
    column = table.columns.get(name)
    if column is None or (kinds and column.kind not in kinds):
        raise MalformedDocument(f"a step uses the column `{name}`, which is not there or of another kind")
    return column


def _keys(table: TableShape, names: Iterable[str]) -> list[Column]:
    return [_column(table, name, "key", "bit") for name in names]


def _picked(table: TableShape, names: Iterable[tuple[str, str]]) -> list[Column]:
    """Return the columns (name before, name now)."""
    found = [(_column(table, before), now) for before, now in names]
    return [Column(now, column.kind, column.bits) for column, now in found]


def _together(*groups: Iterable[Column]) -> dict[str, Column]:
    columns = [column for group in groups for column in group]
    by_name = {column.name: column for column in columns}
    if len(by_name) < len(columns):
        raise MalformedDocument("a step gives two columns of a table one name")
    return by_name
