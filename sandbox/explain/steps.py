"""Steps of a program in shares, in words."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

from sandbox.explain.columns import ordered, shortened
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

MAX_LISTED = 4
"""Columns that a line names; of the others it says how many there are."""


def tables_of(step: Step) -> tuple[int, ...]:
    """Return the numbers of the tables that a step reads."""
    match step:
        case Input():
            return ()
        case Stack() | Beside():
            return step.tables
        case Join():
            return step.right, step.left
        case Broadcast():
            return step.table, step.one
    return (step.table,)


def in_words(steps: Sequence[Step], shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    """Return what steps that follow each other do; `shapes` are those of all tables of the program."""
    computed = [meanings[step.column.name] for step in steps if isinstance(step, Compute) and step.operands]
    found = [] if not computed else [f"compute {_listed(computed)} in {_rows(shapes, steps[0])} rows"]
    found += [_said(step, shapes, meanings) for step in steps if not isinstance(step, (Compute, Project))]
    return "; ".join(found) or "add columns that are the same in every row"


@functools.singledispatch
def _said(step: Step, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    raise TypeError("there is no such step")


@_said.register
def _(step: Input, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    return f"put at most {step.rows:,} rows into shares"


@_said.register
def _(step: Stack, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    rows = " and ".join(f"{shapes[table].rows:,}" for table in step.tables)
    return f"put {rows} rows one under the other"


@_said.register
def _(step: Join, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    left, right = shapes[step.left], shapes[step.right]
    keys = [
        f"{meanings[y]} = {meanings[x]} ({max(left.columns[x].bits, right.columns[y].bits)} bits)"
        for x, y in step.keys
    ]
    most = f", each with at most {step.most}" if step.most > 1 else ""
    carried = f", and take {_listed([meanings[name] for name in step.carried])}" if step.carried else ""
    return f"match {right.rows:,} rows with {left.rows:,}{most} on {_listed(keys, ' and ')}{carried}"


@_said.register
def _(step: Broadcast, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    taken = _listed([meanings[name] for name in step.carried])
    return f"give each of {shapes[step.table].rows:,} rows the one value of {taken or 'nothing'}"


@_said.register
def _(step: Filter, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    return f"keep rows where {shortened(meanings[step.bit])}"


@_said.register
def _(step: Group, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    names = [name for _, name in (*step.sums, *step.last)]
    names += [name for name in (step.count, step.distinct) if name is not None]
    return f"group {_rows(shapes, step)} rows{_by(step.keys, meanings)}{_taking(names, meanings)}"


@_said.register
def _(step: Select, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    names = [name for _, name in (*step.lower, *step.upper)]
    return f"group {_rows(shapes, step)} rows{_by(step.keys, meanings)}{_taking(names, meanings)}"


@_said.register
def _(step: Beside, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    return "put the same groups side by side"


@_said.register
def _(step: Window, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    functions = _listed([meanings[name] for _, _, name in step.functions])
    order = _listed([ordered(meanings[name], falls=falls) for name, falls in step.order])
    by = f", ordered by {order}" if order else ""
    return f"{functions} in {_rows(shapes, step)} rows{_by(step.partition, meanings)}{by}"


@_said.register
def _(step: First, shapes: Sequence[TableShape], meanings: Mapping[str, str]) -> str:
    order = _listed([ordered(meanings[name], falls=falls) for name, falls in step.order])
    by = f" by {order}" if order else ""
    spoiled = "; more rows that count withhold the result" if step.whole else ""
    return f"take the first {step.rows:,} of {_rows(shapes, step)} rows{by}{spoiled}"


def _rows(shapes: Sequence[TableShape], step: Step) -> str:
    return f"{shapes[tables_of(step)[0]].rows:,}"


def _by(keys: Iterable[str], meanings: Mapping[str, str]) -> str:
    listed = _listed([meanings[name] for name in keys])
    return f" by {listed}" if listed else ""


def _taking(names: Sequence[str], meanings: Mapping[str, str]) -> str:
    return f": {_listed([meanings[name] for name in names])}" if names else ""


def _listed(texts: Sequence[str], separator: str = ", ") -> str:
    different = list(dict.fromkeys(shortened(text) for text in texts))
    more = len(different) - MAX_LISTED
    return separator.join([*different[:MAX_LISTED], *([f"{more} more"] if more > 0 else [])])
