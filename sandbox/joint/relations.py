"""Steps that join, group, select, order and number the rows of tables in shares.

All three parties run each function. They learn the openings that `costs.openings` lists: uniform
permutations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import public
from mpc.party import Party
from mpc.relational.aggregation import group_rows, total_rows
from mpc.relational.bit_columns import by_ring, byte_column, in_order, masked_columns, packed_bits
from mpc.relational.join import LeftTable, join_bounded
from mpc.relational.radix_sort import SortKey
from mpc.relational.selection import group_select
from mpc.relational.tables import Rows, repeated, sort_rows
from mpc.relational.windows import (
    DENSE_RANK,
    PARTITION_ROWS,
    RANK,
    ROW_NUMBER,
    Frame,
    WindowFunction,
    sort_windows,
    window_columns,
)
from mpc.sharing import BYTE, Arithmetic, Boolean, concatenate
from sandbox.joint.expressions import all_bits, known_bits, widened
from sandbox.joint.shapes import places
from sandbox.joint.tables import Parts, SharedTable, named
from sandbox.sql.steps import Broadcast, First, Group, Join, Select, TableShape, Window

_RANKS: Final = {"row_number": ROW_NUMBER, "rank": RANK, "dense_rank": DENSE_RANK, "rows": PARTITION_ROWS}


@dataclass(frozen=True, slots=True)
class Made:
    """A table, and bytes 0 or 1 of which a 1 says that the data break what the plan declares."""

    table: SharedTable
    faults: tuple[Boolean, ...] = ()


def stacked(tables: Sequence[SharedTable], shape: TableShape) -> SharedTable:
    """Return the rows of tables one under the other. No message."""
    parts: dict[str, Parts] = {
        name: tuple(
            concatenate(list(same)) for same in zip(*(table.parts[name] for table in tables), strict=True)
        )
        for name in shape.columns
    }
    return SharedTable(shape, concatenate([table.valid for table in tables]), parts)


def joined(
    party: Party, step: Join, left: SharedTable, right: SharedTable, shape: TableShape, prefix: str
) -> Made:
    """Give each right row up to `most` left rows of its keys; a fault is a left key of more rows."""
    bits = [max(left.shape.columns[x].bits, right.shape.columns[y].bits) for x, y in step.keys]
    left_keys = [SortKey(widened(left.bit(x), b), b) for (x, _), b in zip(step.keys, bits, strict=True)]
    right_keys = [SortKey(widened(right.bit(y), b), b) for (_, y), b in zip(step.keys, bits, strict=True)]
    left_rows, right_rows = _with_keys(party, (left, left_keys), (right, right_keys))
    carried = left.columns(step.carried)
    words, numbers = by_ring(carried)
    found = join_bounded(
        party, LeftTable(left_rows, tuple(words), tuple(numbers)), right_rows, prefix, most=step.most
    )
    matched = [byte_column(match.matched, right.rows) for match in found.matches]
    copies = [in_order(carried, match.words, match.numbers) for match in found.matches]
    given = [concatenate(list(same)) for same in zip(*copies, strict=True)]
    copied = {name: tuple(concatenate([x] * step.most) for x in right.parts[name]) for name in right.parts}
    parts = copied | named(shape, step.carried, given) | {step.matched: (concatenate(matched),)}
    valid = concatenate([right.valid, *matched[1:]])
    return Made(SharedTable(shape, valid, parts), (found.exceeded,))


def broadcast(
    party: Party, step: Broadcast, one: SharedTable, table: SharedTable, shape: TableShape
) -> SharedTable:
    """Give every row the columns of the first row of `one`."""
    first = [column[:1] for column in one.columns(step.carried)]
    shown = masked_columns(party, packed_bits(one.valid[:1]), first)
    given = named(shape, step.carried, [repeated(column, table.rows) for column in shown])
    return SharedTable(shape, table.valid, {**table.parts, **given})


def grouped(party: Party, step: Group, table: SharedTable, shape: TableShape, prefix: str) -> SharedTable:
    """Make one row of each group."""
    found = (group_rows if step.keys else total_rows)(
        party,
        table.keyed(step.keys),
        order=() if step.order is None else (table.sort_key(step.order),),
        sums=[table.number(name) for name, _ in step.sums],
        last=table.columns(name for name, _ in step.last),
        countable=None if step.countable is None else table.bit(step.countable),
        prefix=prefix,
    )
    names = [*step.keys, *(after for _, after in step.sums), *(after for _, after in step.last)]
    parts = named(shape, names, [*found.keys, *found.sums, *found.last])
    if step.count is not None:
        parts[step.count] = (found.counts,)
    if step.distinct is not None:
        parts[step.distinct] = (cast("Arithmetic", found.distinct),)
    return SharedTable(shape, found.valid, parts)


def selected(party: Party, step: Select, table: SharedTable, shape: TableShape, prefix: str) -> SharedTable:
    """Take of each group the rows at the places that are asked for."""
    wanted = [step.lower, step.upper][: len(places(step))]
    names = list(dict.fromkeys(before for columns in wanted for before, _ in columns))
    found = group_select(
        party,
        table.keyed(step.keys),
        table.sort_key(step.order),
        places(step),
        columns=table.columns(names),
        countable=table.bit(step.countable),
        prefix=prefix,
    )
    parts = named(shape, step.keys, found.keys)
    for columns, row in zip(wanted, found.at, strict=True):
        by_name = named(table.shape, names, row)
        parts |= {after: by_name[before] for before, after in columns}
    if step.keys:
        return SharedTable(shape, found.valid, parts)
    alone = public(party, Boolean, np.ones(1, dtype=BYTE))
    return SharedTable(
        shape, alone, {name: tuple(part[:1] for part in column) for name, column in parts.items()}
    )


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """How a window sorts columns: by `partition`, then by `order` (column: descending); `others` move along.

    `arguments` move as numbers behind those of the others, and `functions` name them by their place.
    """

    partition: tuple[str, ...]
    order: Mapping[str, bool]
    others: tuple[str, ...]
    arguments: tuple[str, ...]
    functions: tuple[WindowFunction, ...]


def window_layout(step: Window, table: TableShape) -> WindowLayout:
    """Return the layout of a window: a column that is named twice counts where it is named first."""
    partition = tuple(dict.fromkeys(step.partition))
    order: dict[str, bool] = {}
    for name, descending in step.order:
        if name not in partition:
            order.setdefault(name, descending)
    others = tuple(name for name in table.columns if name not in {*partition, *order})
    arguments = tuple(dict.fromkeys(argument for _, argument, _ in step.functions if argument is not None))
    before = sum(table.columns[name].kind == "number" for name in others)
    places_ = {name: before + place for place, name in enumerate(arguments)}
    functions = (
        _function(name, None if argument is None else places_[argument])
        for name, argument, _ in step.functions
    )
    return WindowLayout(partition, order, others, arguments, tuple(functions))


def windowed(party: Party, step: Window, table: SharedTable, shape: TableShape, prefix: str) -> SharedTable:
    """Sort rows by partition and order, and add the columns of the functions."""
    layout = window_layout(step, table.shape)
    carried = table.columns(layout.others)
    words, numbers = by_ring(carried)
    found = sort_windows(
        party,
        table.keyed(layout.partition),
        [table.sort_key(name, descending=down) for name, down in layout.order.items()],
        words=words,
        numbers=[*numbers, *(_as_number(party, table, name) for name in layout.arguments)],
        prefix=f"{prefix}/sort",
    )
    values = window_columns(party, found, layout.functions, f"{prefix}/sums")
    moved = in_order(carried, found.words, found.numbers[: len(numbers)])
    names = [*layout.partition, *layout.order, *layout.others, *(name for _, _, name in step.functions)]
    parts = named(shape, names, [*found.partition, *found.order, *moved, *values])
    return SharedTable(shape, found.valid, parts)


def first(party: Party, step: First, table: SharedTable, shape: TableShape, prefix: str) -> Made:
    """Take the first rows that count; a fault is one more, if there should be none."""
    ordered = table if step.sorted else _sorted(party, step, table, prefix)
    cut = {name: tuple(part[: shape.rows] for part in column) for name, column in ordered.parts.items()}
    more = ordered.valid[shape.rows : shape.rows + 1]
    faults = (more,) if step.whole and more.size else ()
    return Made(SharedTable(shape, ordered.valid[: shape.rows], cut), faults)


def _sorted(party: Party, step: First, table: SharedTable, prefix: str) -> SharedTable:
    by = dict(reversed(step.order))  # a column that is named twice counts where it is named first
    keys = list(dict.fromkeys(name for name, _ in step.order))
    others = [name for name in table.parts if name not in by]
    carried = table.columns(others)
    words, numbers = by_ring(carried)
    order = [table.sort_key(name, descending=by[name]) for name in keys]
    found = sort_rows(party, table.keyed(()), order, numbers, prefix, words=words)
    parts = named(
        table.shape, [*keys, *others], [*found.keys, *in_order(carried, found.words, found.numbers)]
    )
    return SharedTable(table.shape, byte_column(cast("Boolean", found.valid), table.rows), parts)


def _with_keys(party: Party, *sides: tuple[SharedTable, Sequence[SortKey]]) -> list[Rows]:
    """Return rows by their keys, of which those without one do not count: both sides at once."""
    valid = concatenate([table.valid for table, _ in sides])
    keys = zip(*(keys for _, keys in sides), strict=True)
    known = [known_bits(party, concatenate([key.words for key in pair]), pair[0].bits) for pair in keys]
    present = byte_column(all_bits(party, [packed_bits(valid), *known]), valid.size)
    rows, start = [], 0
    for table, own in sides:
        rows.append(Rows(tuple(own), present[start : start + table.rows]))
        start += table.rows
    return rows


def _as_number(party: Party, table: SharedTable, name: str) -> Arithmetic:
    if table.shape.columns[name].kind == "number":
        return table.number(name)
    return bits_to_arithmetic(party, packed_bits(table.bit(name)), table.rows)


def _function(name: str, measure: int | None) -> WindowFunction:
    if name in _RANKS:
        return _RANKS[name]
    frame: Frame = "peers" if name.startswith("running") else "partition"
    return WindowFunction("rows" if measure is None else measure, frame)
