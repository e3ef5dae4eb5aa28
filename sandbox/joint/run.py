"""The joint part of a plan: three compute parties run its steps on shares."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mpc.multiplication import and_
from mpc.party import Party
from mpc.relational.bit_columns import byte_column, packed_bits
from mpc.sharing import Boolean, concatenate
from records.errors import MalformedDocument
from sandbox.joint import relations
from sandbox.joint.expressions import alike_until, computed
from sandbox.joint.relations import Made
from sandbox.joint.tables import SharedTable
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
class JointInput:
    """One party's shares of what a provider puts in.

    `faulty`, a byte (1,), is 1 where the provider could not put its rows in: too many, a value out of bounds,
    a key that occurs twice. The whole result is then withheld, and nobody learns whose fault it was.
    """

    table: SharedTable
    faulty: Boolean


@dataclass(frozen=True, slots=True)
class Ran:
    """The last table of a program; `faults` (k,), bytes 0 or 1: where one is 1, the table means nothing."""

    table: SharedTable
    faults: Boolean


def run(
    party: Party, steps: Sequence[Step], shapes: Sequence[TableShape], inputs: Sequence[JointInput]
) -> Ran:
    """Run a program, at least one step, on the inputs of all parts in order; all three parties do.

    `shapes` are those of `shapes.shapes`. Tables are let go of behind their last use.

    Raises:
        EvidenceError: the manifest does not have the openings of `costs.openings` now, or a peer deviates.
    """
    last_use = {index: number for number, step in enumerate(steps) for index in _used(step)}
    faults = [item.faulty for item in inputs]
    tables: dict[int, SharedTable] = {}
    number = 0
    while number < len(steps):
        done = number + 1
        step = steps[number]
        if isinstance(step, Compute):
            done = alike_until(steps, number, shapes[step.table])
            alike = cast("Sequence[Compute]", steps[number:done])
            _compute(party, alike, shapes[number:done], tables, number)
        else:
            made = _made(step, _Step(party, tables, inputs, shapes[number], f"s{number}"))
            tables[number] = made.table
            faults.extend(made.faults)
        for index in [index for index in tables if last_use.get(index, len(steps)) < done]:
            del tables[index]
        number = done
    return Ran(tables[len(steps) - 1], concatenate(faults))


def _compute(
    party: Party,
    steps: Sequence[Compute],
    shapes: Sequence[TableShape],
    tables: dict[int, SharedTable],
    number: int,
) -> None:
    """Add the columns of expressions that are alike, of which the first is step `number`."""
    table = tables[steps[0].table]
    for offset, (step, column) in enumerate(zip(steps, computed(party, steps, table), strict=True)):
        table = SharedTable(shapes[offset], table.valid, {**table.parts, step.column.name: column})
        tables[number + offset] = table


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step works with: the parties' tables so far, the shape of its own, and a prefix for openings."""

    party: Party
    tables: Mapping[int, SharedTable]
    inputs: Sequence[JointInput]
    shape: TableShape
    prefix: str


@functools.singledispatch
def _made(step: Step, at: _Step) -> Made:
    """Return the table that a step makes."""
    raise MalformedDocument("there is no such step")


@_made.register
def _(step: Input, at: _Step) -> Made:
    return Made(at.inputs[step.part].table)


@_made.register
def _(step: Stack, at: _Step) -> Made:
    return Made(relations.stacked([at.tables[index] for index in step.tables], at.shape))


@_made.register
def _(step: Join, at: _Step) -> Made:
    left, right = at.tables[step.left], at.tables[step.right]
    return relations.joined(at.party, step, left, right, at.shape, at.prefix)


@_made.register
def _(step: Broadcast, at: _Step) -> Made:
    one, table = at.tables[step.one], at.tables[step.table]
    return Made(relations.broadcast(at.party, step, one, table, at.shape))


@_made.register
def _(step: Filter, at: _Step) -> Made:
    table = at.tables[step.table]
    kept = and_(at.party, packed_bits(table.valid), packed_bits(table.bit(step.bit)))
    return Made(SharedTable(at.shape, byte_column(kept, table.rows), table.parts))


@_made.register
def _(step: Project, at: _Step) -> Made:
    table = at.tables[step.table]
    return Made(SharedTable(at.shape, table.valid, {now: table.parts[name] for name, now in step.columns}))


@_made.register
def _(step: Group, at: _Step) -> Made:
    return Made(relations.grouped(at.party, step, at.tables[step.table], at.shape, at.prefix))


@_made.register
def _(step: Select, at: _Step) -> Made:
    return Made(relations.selected(at.party, step, at.tables[step.table], at.shape, at.prefix))


@_made.register
def _(step: Beside, at: _Step) -> Made:
    tables = [at.tables[index] for index in step.tables]
    parts = {name: column for table in reversed(tables) for name, column in table.parts.items()}
    return Made(SharedTable(at.shape, tables[0].valid, parts))


@_made.register
def _(step: Window, at: _Step) -> Made:
    return Made(relations.windowed(at.party, step, at.tables[step.table], at.shape, at.prefix))


@_made.register
def _(step: First, at: _Step) -> Made:
    return relations.first(at.party, step, at.tables[step.table], at.shape, at.prefix)


def _used(step: Step) -> tuple[int, ...]:
    """Return the tables that a step takes."""
    match step:
        case Input():
            return ()
        case Stack() | Beside():
            return step.tables
        case Join():
            return step.left, step.right
        case Broadcast():
            return step.one, step.table
        case _:
            return (step.table,)
