"""What the program of a plan opens and costs, from its steps and public shapes alone.

Tests hold both equal to what a run opens and its links count.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mpc import costs as primitive
from mpc.costs import FREE, Cost
from mpc.manifest import Opening
from mpc.relational import costs as relational
from mpc.relational import window_costs
from mpc.relational.aggregation import group_openings, total_openings
from mpc.relational.costs import Grouped, Keys
from mpc.relational.join import bounded_openings
from mpc.relational.selection import select_openings
from mpc.relational.tables import row_openings
from mpc.relational.windows import window_openings
from mpc.sharing import Boolean
from records.errors import MalformedDocument
from sandbox.joint.expressions import alike_until
from sandbox.joint.relations import window_layout
from sandbox.joint.shapes import places
from sandbox.joint.tables import key_word, rings
from sandbox.sql.steps import (
    Beside,
    Broadcast,
    Compute,
    Filter,
    First,
    Group,
    Input,
    Join,
    Project,
    Select,
    Stack,
    Step,
    TableShape,
    Window,
)


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step opens, in order, and what it costs."""

    openings: tuple[Opening, ...] = ()
    cost: Cost = FREE


def step_costs(steps: Sequence[Step], shapes: Sequence[TableShape]) -> tuple[StepCost, ...]:
    """Return what each step comes to; expressions computed together are counted at the first of them.

    `shapes` are those of `shapes.shapes`.
    """
    found: list[StepCost] = []
    while len(found) < len(steps):
        number = len(found)
        step = steps[number]
        if isinstance(step, Compute):
            table = shapes[step.table]
            count = alike_until(steps, number, table) - number
            found += [StepCost((), _computed(step, table, count)), *[StepCost()] * (count - 1)]
        else:
            found.append(_counted(step, shapes, f"s{number}"))
    return tuple(found)


def openings(steps: Sequence[Step], shapes: Sequence[TableShape]) -> tuple[Opening, ...]:
    """Return all that a run opens, in order: uniform permutations."""
    return tuple(opening for item in step_costs(steps, shapes) for opening in item.openings)


def cost(steps: Sequence[Step], shapes: Sequence[TableShape]) -> Cost:
    """Return what a run costs."""
    return sum((item.cost for item in step_costs(steps, shapes)), start=FREE)


def faults(steps: Sequence[Step], shapes: Sequence[TableShape]) -> int:
    """Return how many bits for faults the steps make: one a join, and one where the whole table must fit."""
    return sum(
        isinstance(step, Join)
        or (isinstance(step, First) and step.whole and shapes[step.table].rows > shape.rows)
        for step, shape in zip(steps, shapes, strict=True)
    )


@functools.singledispatch
def _counted(step: Step, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    raise MalformedDocument("there is no such step")


@_counted.register(Input)
@_counted.register(Stack)
@_counted.register(Project)
@_counted.register(Beside)
def _(step: Step, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    return StepCost()


@_counted.register
def _(step: Filter, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    return StepCost((), primitive.reshare(_packed(shapes[step.table].rows), 1))


@_counted.register
def _(step: Broadcast, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    words, numbers = _widths(shapes[step.one], step.carried)
    return StepCost((), relational.masked_words(1, words) + relational.masked_numbers(1, numbers))


@_counted.register
def _(step: Join, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    left, right = shapes[step.left], shapes[step.right]
    counts = (left.rows, right.rows)
    bits = [max(left.columns[x].bits, right.columns[y].bits) for x, y in step.keys]
    keys = [(each, key_word(each).itemsize) for each in bits]
    known = FREE
    for _, width in keys:
        known += relational.equal_words(sum(counts), [width])
    known += _all_bits(1 + len(keys), sum(counts))
    join = relational.join_bounded(
        counts, keys, _widths(left, step.carried), filtered=(True, True), most=step.most
    )
    return StepCost(bounded_openings(prefix, counts, [1, *bits]), known + join)


@_counted.register
def _(step: Group, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    table = shapes[step.table]
    words, numbers = _widths(table, (name for name, _ in step.last))
    order = () if step.order is None else (step.order,)
    wanted = Grouped(
        _keys(table, order), [8] * len(step.sums), words, numbers, countable=step.countable is not None
    )
    bits = [*([1] if wanted.countable else []), *_bits(table, order)]
    if step.keys:
        opened = group_openings(prefix, table.rows, [1, *_bits(table, step.keys), *bits])
        return StepCost(
            opened, relational.group_rows(table.rows, _keys(table, step.keys), wanted, filtered=True)
        )
    opened = total_openings(prefix, table.rows, bits) if step.order or step.last else ()
    return StepCost(opened, relational.total_rows(table.rows, wanted))


@_counted.register
def _(step: Select, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    table = shapes[step.table]
    names = dict.fromkeys(before for before, _ in (*step.lower, *step.upper))
    words, numbers = _widths(table, names)
    (value,) = _keys(table, [step.order])
    bits = [1, *_bits(table, step.keys), 1, *_bits(table, [step.order])]
    cost_ = window_costs.group_select(
        table.rows,
        _keys(table, step.keys),
        value,
        places(step),
        words,
        numbers,
        filtered=True,
        countable=True,
    )
    return StepCost(select_openings(prefix, table.rows, bits, places(step)), cost_)


@_counted.register
def _(step: Window, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    table = shapes[step.table]
    layout = window_layout(step, table)
    words, numbers = _widths(table, layout.others)
    measured = [8] * len(layout.arguments)
    order = list(layout.order)
    cost_ = FREE
    for name in layout.arguments:
        cost_ += primitive.bits_to_arithmetic(table.rows) if table.columns[name].kind == "bit" else FREE
    cost_ += window_costs.sort_windows(
        table.rows,
        _keys(table, layout.partition),
        _keys(table, order),
        [*words, *numbers, *measured],
        filtered=True,
    )
    cost_ += window_costs.window_columns(table.rows, layout.functions, [*numbers, *measured])
    bits = [1, *_bits(table, layout.partition), *_bits(table, order)]
    opened = (
        *row_openings(f"{prefix}/sort", table.rows, bits),
        *window_openings(f"{prefix}/sums", table.rows, layout.functions),
    )
    return StepCost(opened, cost_)


@_counted.register
def _(step: First, shapes: Sequence[TableShape], prefix: str) -> StepCost:
    table = shapes[step.table]
    if step.sorted:
        return StepCost()
    order = list(dict.fromkeys(name for name, _ in step.order))
    words, numbers = _widths(table, (name for name in table.columns if name not in order))
    sort = relational.sort_rows(table.rows, _keys(table, order), [*words, *numbers], filtered=True)
    return StepCost(row_openings(prefix, table.rows, [1, *_bits(table, order)]), sort)


def _computed(step: Compute, table: TableShape, times: int) -> Cost:
    """Return what `times` expressions cost that are alike."""
    count = table.rows * times
    operands = [table.columns[name] for name in step.operands]
    bits = max((column.bits for column in operands), default=0)
    match step.operation:
        case "multiply":
            return primitive.multiply(count)
        case "truncate":
            return primitive.truncate_exact(count)
        case "divide":
            divided = primitive.divide(count, step.constant)
            return divided + primitive.zero_bits(count) + relational.masked_numbers(count, [8])
        case "less":
            return primitive.less_than_bits(count)
        case "equal":
            return primitive.zero_bits(count)
        case "same":
            compared = relational.equal_words(2 * count, [key_word(bits).itemsize])
            return compared + primitive.reshare(_packed(count), 1)
        case "and" | "or":
            return _all_bits(len(operands), count)
        case "number":
            return primitive.bits_to_arithmetic(count)
        case "key" | "reverse" | "select":
            return _on_keys(step, count)
        case _:
            return FREE


def _on_keys(step: Compute, count: int) -> Cost:
    width = rings(step.column)[0][1].itemsize
    masked = primitive.multiply(count, width)
    if step.operation == "key":
        return primitive.arithmetic_to_bits(count, width) + masked
    if step.operation == "reverse":
        return primitive.add_bits(count, width) + relational.equal_words(count, [width]) + masked
    if step.column.kind == "number":
        return primitive.bits_to_arithmetic(count) + primitive.select(count)
    return primitive.multiply(count * len(rings(step.column)), width)


def _all_bits(columns: int, count: int) -> Cost:
    total = FREE
    while columns > 1:
        half = columns // 2
        total += primitive.reshare(half * _packed(count), 1)
        columns -= half
    return total


def _widths(table: TableShape, names: Iterable[str]) -> tuple[list[int], list[int]]:
    """Return the word bytes of the columns of shares of columns: those of bits, and those of numbers."""
    found = [ring for name in names for ring in rings(table.columns[name])]
    words = [dtype.itemsize for kind, dtype in found if kind is Boolean]
    return words, [dtype.itemsize for kind, dtype in found if kind is not Boolean]


def _keys(table: TableShape, names: Iterable[str]) -> Keys:
    columns = [table.columns[name] for name in names]
    return [(column.bits, rings(column)[0][1].itemsize) for column in columns]


def _bits(table: TableShape, names: Iterable[str]) -> list[int]:
    return [table.columns[name].bits for name in names]


def _packed(count: int) -> int:
    return -(-count // 8)
