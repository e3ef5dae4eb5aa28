"""Programs over made-up tables: run by three parties in memory, or by the reference; and drawn at random."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpc.manifest import Manifest
from mpc.party import Party
from sandbox.joint import costs
from sandbox.joint.inputs import PlainInput
from sandbox.joint.run import Ran, run
from sandbox.joint.shapes import shapes
from sandbox.joint.sharing import share_input
from sandbox.joint.tables import rings
from sandbox.sql.plan import LocalPart, PartColumn
from sandbox.sql.steps import (
    Column,
    Compute,
    Filter,
    First,
    Group,
    Input,
    Join,
    Project,
    Select,
    Step,
    Window,
)
from tests.unit.joint.reference import Interpreter, Row, Value, plain_input
from tests.unit.mpc import three_parties
from tests.unit.mpc.three_parties import Session, words_of


@dataclass(frozen=True, slots=True)
class Table:
    """What a provider puts in: public columns and size, and secret rows."""

    columns: tuple[Column, ...]
    size: int
    rows: Sequence[Mapping[str, Value]]

    def part(self) -> LocalPart:
        columns = tuple(PartColumn(column, "number", (), "BIGINT") for column in self.columns)
        return LocalPart("p", (), "", self.size, columns)

    def plain(self) -> PlainInput:
        arrays = []
        for column in self.columns:
            values = [row[column.name] for row in self.rows]
            words = [value if isinstance(value, tuple) else (value,) for value in values]
            for place, (_, dtype) in enumerate(rings(column)):
                modulus = 1 << 8 * dtype.itemsize
                padded = [each[place] % modulus for each in words] + [0] * (self.size - len(words))
                arrays.append(np.array(padded, dtype=dtype))
        valid = (np.arange(self.size) < len(self.rows)).astype(np.uint8)
        return PlainInput(tuple(arrays), valid)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The last table of a run: rows that count by their place, and whether the data broke a declaration."""

    rows: dict[int, Row]
    faulty: bool


def number(name: str) -> Column:
    return Column(name, "number", 64)


def bit(name: str) -> Column:
    return Column(name, "bit", 1)


def key(name: str, bits: int) -> Column:
    return Column(name, "key", bits)


def payload(name: str, words: int = 1) -> Column:
    return Column(name, "payload", 64 * words)


def run_shared(tables: Sequence[Table], steps: Sequence[Step]) -> tuple[Outcome, Session[Ran]]:
    """Run a program in shares; every opening of the manifest happens, in its order."""
    parts = [table.part() for table in tables]
    sizes = shapes(steps, parts)
    inputs = [
        share_input(part, table.plain(), secrets.token_bytes)
        for part, table in zip(parts, tables, strict=True)
    ]

    def program(party: Party) -> Ran:
        ran = run(party, steps, sizes, [shares[party.index] for shares in inputs])
        party.finish()
        return ran

    session = three_parties.run(program, Manifest(costs.openings(steps, sizes)))
    made = [ran.table for ran in session.results]
    assert made[0].shape == sizes[-1]
    valid = words_of([table.valid for table in made]).tolist()
    assert set(valid) <= {0, 1}
    columns = {
        name: [
            words_of([table.parts[name][place] for table in made])
            for place in range(len(made[0].parts[name]))
        ]
        for name in made[0].parts
    }
    rows = {
        place: {
            name: _value(sizes[-1].columns[name], [int(words[place]) for words in columns[name]])
            for name in columns
        }
        for place, counts in enumerate(valid)
        if counts
    }
    return Outcome(rows, bool(words_of([ran.faults for ran in session.results]).any())), session


def run_plain(tables: Sequence[Table], steps: Sequence[Step]) -> Outcome:
    """Run a program by the reference."""
    parts = [table.part() for table in tables]
    inputs = [plain_input(part, table.rows) for part, table in zip(parts, tables, strict=True)]
    interpreter = Interpreter(inputs, shapes(steps, parts))
    made = interpreter.run(steps)
    rows = {place: made.rows[place] for place, counts in enumerate(made.counts) if counts}
    return Outcome(rows, interpreter.faulty)


def _value(column: Column, words: list[int]) -> Value:
    if column.kind == "payload":
        return tuple(words)
    return words[0] - (1 << 64) * (words[0] >> 63) if column.kind == "number" else words[0]


def made_up(source: random.Random, prefix: str, *, size: int | None = None) -> Table:
    """Return a table of every kind of column, with few different keys, NULLs, and sometimes no row at all."""
    columns = (
        key(f"{prefix}k", 3), key(f"{prefix}w", 64), bit(f"{prefix}b"), number(f"{prefix}n"),
        number(f"{prefix}m"), payload(f"{prefix}p", 2),
    )  # fmt: skip
    rows_size = source.randint(1, 9) if size is None else size
    rows = []
    for _ in range(source.choice([0, rows_size, source.randint(0, rows_size)])):
        values: list[Value] = [
            source.randint(0, 4),
            source.choice([0, 1, (1 << 64) - 1, 1 << 40]),
            source.randint(0, 1),
            source.choice([0, source.randint(-50, 50), -(1 << 63), (1 << 63) - 1]),
            source.randint(-9, 9),
            source.choice([(0, 0), (source.getrandbits(64), 1)]),
        ]
        rows.append(dict(zip((column.name for column in columns), values, strict=True)))
    return Table(columns, rows_size, rows)


@dataclass(slots=True)
class Writer:
    """Writes a program step by step; `columns` are those of the newest table."""

    source: random.Random
    columns: dict[str, Column]
    rows: int
    steps: list[Step] = field(default_factory=list)
    names: int = 0

    def new(self) -> str:
        self.names += 1
        return f"x{self.names}"

    def of(self, *kinds: str) -> str:
        return self.source.choice([name for name, column in self.columns.items() if column.kind in kinds])

    def some(self, *kinds: str) -> list[str]:
        names = [name for name, column in self.columns.items() if column.kind in kinds]
        return self.source.sample(names, self.source.randint(0, min(2, len(names))))

    def has(self, kind: str) -> bool:
        return any(column.kind == kind for column in self.columns.values())

    def add(self, step: Step, columns: Sequence[Column]) -> None:
        self.steps.append(step)
        self.columns = {column.name: column for column in columns}

    def renamed(self, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
        return tuple((name, self.new()) for name in names)

    def as_renamed(self, pairs: Sequence[tuple[str, str]]) -> list[Column]:
        return [Column(now, self.columns[old].kind, self.columns[old].bits) for old, now in pairs]


def random_program(source: random.Random) -> tuple[list[Table], list[Step]]:
    """Draw two tables, their join, and some steps behind it."""
    left, right = made_up(source, "l"), made_up(source, "r")
    keys = [(("lk", "rk"),), (("lk", "rk"), ("lw", "rw"))][source.randint(0, 1)]
    carried = source.sample(["lk", "lw", "lb", "ln", "lp"], source.randint(0, 3))
    join = Join(0, 1, keys, tuple(carried), "matched", source.randint(1, 3))
    given = {column.name: column for column in left.columns}
    columns = [*right.columns, *(given[name] for name in carried), bit("matched")]
    writer = Writer(source, {}, right.size * join.most, [Input(0, left.size), Input(1, right.size)])
    writer.add(join, columns)
    for _ in range(source.randint(1, 5)):
        source.choice([_computes, _computes, _filter, _group, _select, _window, _first, _project])(writer)
    return [left, right], writer.steps


def _computes(writer: Writer) -> None:
    for _ in range(writer.source.randint(1, 4)):
        name, at = writer.new(), len(writer.steps) - 1
        choices = [Compute(at, bit(name), "present", ())]
        choices.append(
            Compute(at, writer.source.choice([number(name), key(name, 9), payload(name, 2)]), "nothing", ())
        )
        if writer.has("number"):
            x, y = writer.of("number"), writer.of("number")
            choices += [
                Compute(at, number(name), "add", (x, y, x)), Compute(at, number(name), "subtract", (x, y)),
                Compute(at, number(name), "multiply", (x, y)), Compute(at, number(name), "scale", (x,), -7),
                Compute(at, bit(name), "less", (x, y)), Compute(at, bit(name), "equal", (x, y)),
            ]  # fmt: skip
        if writer.has("bit"):
            a, b, c = (writer.of("bit") for _ in range(3))
            choices += [
                Compute(at, bit(name), "and", (a, b, c)), Compute(at, bit(name), "or", (a, b)),
                Compute(at, bit(name), "not", (a,)), Compute(at, number(name), "number", (a,)),
            ]  # fmt: skip
            if writer.has("number"):
                x, y = writer.of("number"), writer.of("number")
                choices.append(Compute(at, key(name, 11), "key", (x, a), 100))
                choices.append(Compute(at, number(name), "select", (a, x, y)))
        if writer.has("key"):
            x, y = writer.of("key"), writer.of("key")
            bits = max(writer.columns[x].bits, writer.columns[y].bits)
            choices.append(Compute(at, bit(name), "same", (x, y)))
            choices.append(Compute(at, key(name, bits), "reverse", (x,), (1 << bits) - 1))
            if writer.has("bit"):
                choices.append(Compute(at, key(name, bits), "select", (writer.of("bit"), x, y)))
        step = writer.source.choice(choices)
        writer.add(step, [*writer.columns.values(), step.column])


def _filter(writer: Writer) -> None:
    if writer.has("bit"):
        writer.add(Filter(len(writer.steps) - 1, writer.of("bit")), list(writer.columns.values()))


def _project(writer: Writer) -> None:
    pairs = writer.renamed(list(writer.columns))
    writer.add(Project(len(writer.steps) - 1, pairs), writer.as_renamed(pairs))


def _group(writer: Writer) -> None:
    keys = tuple(writer.some("key", "bit"))
    order = writer.of("key", "bit") if writer.has("key") or writer.has("bit") else None
    if order is not None and writer.source.random() < 0.3:
        order = None
    sums = writer.renamed(writer.some("number"))
    last = writer.renamed(writer.some("number", "payload", "key")) if order is not None else ()
    countable = (
        writer.of("bit") if order is not None and writer.has("bit") and writer.source.random() < 0.5 else None
    )
    counted = writer.new()
    distinct = writer.new() if order is not None else None
    step = Group(len(writer.steps) - 1, keys, counted, sums, order, last, distinct, countable)
    columns = [*(writer.columns[name] for name in keys), number(counted), *writer.as_renamed(sums)]
    columns += [*writer.as_renamed(last), *([] if distinct is None else [number(distinct)])]
    writer.add(step, columns)
    writer.rows = writer.rows if keys else 1


def _select(writer: Writer) -> None:
    if not writer.has("bit") or not writer.has("key"):
        return
    keys = tuple(writer.some("key", "bit"))
    lower = writer.renamed(writer.some("number", "payload", "key"))
    upper = writer.renamed([name for name, _ in lower])
    fraction = writer.source.choice([(1, 2), (1, 4), (0, 1), (9, 10)])
    step = Select(len(writer.steps) - 1, keys, writer.of("key"), writer.of("bit"), *fraction, lower, upper)
    columns = [*(writer.columns[name] for name in keys), *writer.as_renamed(lower), *writer.as_renamed(upper)]
    if columns:
        writer.add(step, columns)


def _window(writer: Writer) -> None:
    by = [(name, writer.source.random() < 0.5) for name in writer.some("key", "bit")]
    functions: list[tuple[str, str | None, str]] = [
        (name, None, writer.new())
        for name in ("row_number", "rank", "dense_rank", "rows", "count", "running_count")
    ]
    if writer.has("number"):
        functions += [(name, writer.of("number"), writer.new()) for name in ("sum", "running_sum")]
    if writer.has("bit"):
        functions.append(("running_count", writer.of("bit"), writer.new()))
    chosen = tuple(writer.source.sample(functions, writer.source.randint(1, 4)))
    step = Window(len(writer.steps) - 1, tuple(writer.some("key", "bit")), tuple(by), chosen)  # type: ignore[arg-type]
    writer.add(step, [*writer.columns.values(), *(number(name) for _, _, name in chosen)])


def _first(writer: Writer) -> None:
    by = tuple((name, writer.source.random() < 0.5) for name in writer.some("key", "bit"))
    step = First(len(writer.steps) - 1, writer.source.randint(1, 6), by, whole=writer.source.random() < 0.3)
    writer.add(step, list(writer.columns.values()))
