"""What a program of steps means, on plain rows in Python: written from `sandbox/sql/steps.py` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    Project,
    Select,
    Stack,
    Step,
    TableShape,
    Window,
)

Value = int | tuple[int, ...]
Row = dict[str, Value]
Rows = tuple[list[Row], list[bool]]
"""Rows, and which of them count."""


@dataclass(slots=True)
class Plain:
    """Rows, of which `counts` tells which count; those that do not are anything."""

    columns: Mapping[str, Column]
    rows: list[Row]
    counts: list[bool]

    def counting(self) -> list[Row]:
        return [row for row, counts in zip(self.rows, self.counts, strict=True) if counts]


@dataclass(slots=True)
class Interpreter:
    """Runs steps on the tables of the parts; `faulty` if the data break what the program declares.

    Of the shapes only the kinds of columns are taken.
    """

    inputs: Sequence[Plain]
    shapes: Sequence[TableShape]
    tables: list[Plain] = field(default_factory=list)
    faulty: bool = False

    def run(self, steps: Sequence[Step]) -> Plain:
        for step, shape in zip(steps, self.shapes, strict=True):
            rows, counts = getattr(self, f"_{type(step).__name__.lower()}")(step)
            assert len(rows) == len(counts)
            nothing = {name: zero(column) for name, column in shape.columns.items()}
            self.tables.append(Plain(shape.columns, [{**nothing, **row} for row in rows], counts))
        return self.tables[-1]

    def _input(self, step: Input) -> Rows:
        return self.inputs[step.part].rows, self.inputs[step.part].counts

    def _stack(self, step: Stack) -> Rows:
        tables = [self.tables[index] for index in step.tables]
        rows = [row for table in tables for row in table.rows]
        return rows, [counts for table in tables for counts in table.counts]

    def _join(self, step: Join) -> Rows:
        left, right = self.tables[step.left], self.tables[step.right]
        by_key: dict[tuple[Value, ...], list[Row]] = {}
        for row in left.counting():
            by_key.setdefault(tuple(row[name] for name, _ in step.keys), []).append(row)
        by_key = {key: rows for key, rows in by_key.items() if 0 not in key}
        self.faulty |= any(len(rows) > step.most for rows in by_key.values())
        rows: list[Row] = []
        counts: list[bool] = []
        nothing = {name: zero(left.columns[name]) for name in step.carried}
        for copy in range(step.most):
            for row, counting in zip(right.rows, right.counts, strict=True):
                found = by_key.get(tuple(row[name] for _, name in step.keys), []) if counting else []
                match = found[-1 - copy] if copy < len(found) else None
                given = nothing if match is None else {name: match[name] for name in step.carried}
                rows.append({**row, **given, step.matched: int(match is not None)})
                counts.append(counting if copy == 0 else match is not None)
        return rows, counts

    def _broadcast(self, step: Broadcast) -> Rows:
        one, table = self.tables[step.one], self.tables[step.table]
        given = {
            name: one.rows[0][name] if one.counts[0] else zero(one.columns[name]) for name in step.carried
        }
        return [{**row, **given} for row in table.rows], table.counts

    def _compute(self, step: Compute) -> Rows:
        table = self.tables[step.table]
        rows = [
            {**row, step.column.name: computed(step, [row[name] for name in step.operands], counts=counts)}
            for row, counts in zip(table.rows, table.counts, strict=True)
        ]
        return rows, table.counts

    def _filter(self, step: Filter) -> Rows:
        table = self.tables[step.table]
        kept = [counts and row[step.bit] == 1 for row, counts in zip(table.rows, table.counts, strict=True)]
        return table.rows, kept

    def _project(self, step: Project) -> Rows:
        table = self.tables[step.table]
        return [{now: row[before] for before, now in step.columns} for row in table.rows], table.counts

    def _group(self, step: Group) -> Rows:
        def made(rows: list[Row]) -> Row:
            found: Row = {after: signed(sum(number(row[name]) for row in rows)) for name, after in step.sums}
            if step.count is not None:
                found[step.count] = len(rows)
            countable = [row for row in rows if step.countable is None or row[step.countable] == 1]
            ordered = sorted(countable or rows, key=lambda row: row[step.order] if step.order else 0)
            if step.distinct is not None and step.order is not None:
                found[step.distinct] = len({row[step.order] for row in countable})
            for name, after in step.last:
                found[after] = ordered[-1][name] if ordered else zero(self.tables[step.table].columns[name])
            return found

        return self._grouped(step.table, step.keys, made)

    def _select(self, step: Select) -> Rows:
        def made(rows: list[Row]) -> Row:
            ordered = sorted(
                (row for row in rows if row[step.countable] == 1), key=lambda row: row[step.order]
            )
            count, p, q = len(ordered), step.numerator, step.denominator
            lower, upper = max(1, -(-p * count // q)), p * count // q + 1
            found: Row = {}
            for place, columns in ((lower, step.lower), (upper, step.upper)):
                for name, after in columns:
                    missing = zero(self.tables[step.table].columns[name])
                    found[after] = ordered[place - 1][name] if ordered else missing
            return found

        return self._grouped(step.table, step.keys, made)

    def _grouped(self, table: int, keys: tuple[str, ...], made: Callable[[list[Row]], Row]) -> Rows:
        before = self.tables[table]
        groups: dict[tuple[Value, ...], list[Row]] = {} if keys else {(): []}
        for row in before.counting():
            groups.setdefault(tuple(row[name] for name in keys), []).append(row)
        rows = [{**dict(zip(keys, key, strict=True)), **made(groups[key])} for key in sorted(groups)]
        length = len(before.rows) if keys else 1
        counts = [True] * len(rows) + [False] * (length - len(rows))
        return rows + [{}] * (length - len(rows)), counts

    def _beside(self, step: Beside) -> Rows:
        tables = [self.tables[index] for index in step.tables]
        rows: list[Row] = [{} for _ in tables[0].rows]
        for table in reversed(tables):
            rows = [{**row, **more} for row, more in zip(rows, table.rows, strict=True)]
        return rows, tables[0].counts

    def _window(self, step: Window) -> Rows:
        order = [(name, False) for name in step.partition] + list(step.order)
        table = sorted_first(self.tables[step.table], order)
        counting = table.counting()
        rows = [
            {**row, **{name: self._window_value(step, counting, row, function, argument, place)
                       for function, argument, name in step.functions}}
            for place, row in enumerate(counting)
        ]  # fmt: skip
        return rows + table.rows[len(rows) :], table.counts

    def _window_value(
        self, step: Window, rows: list[Row], row: Row, function: str, argument: str | None, place: int
    ) -> int:
        def key(each: Row, names: Sequence[str]) -> list[Value]:
            return [each[name] for name in names]

        by = [name for name, _ in step.order]
        partition = [
            (at, each)
            for at, each in enumerate(rows)
            if key(each, step.partition) == key(row, step.partition)
        ]
        before = [each for at, each in partition if at < place and key(each, by) != key(row, by)]
        up_to_peers = [each for at, each in partition if at <= place or key(each, by) == key(row, by)]
        everything = [each for _, each in partition]
        frame = up_to_peers if function.startswith("running") else everything
        match function.removeprefix("running_"):
            case "row_number":
                return 1 + sum(at < place for at, _ in partition)
            case "rank":
                return 1 + len(before)
            case "dense_rank":
                return 1 + len({tuple(key(each, by)) for each in before})
            case "rows":
                return len(everything)
            case "sum":
                return signed(sum(number(each[str(argument)]) for each in frame))
            case "count":
                return len(frame) if argument is None else sum(number(each[argument]) for each in frame)
        raise AssertionError(function)

    def _first(self, step: First) -> Rows:
        table = self.tables[step.table]
        if not step.sorted:
            table = sorted_first(table, step.order)
        rows = min(step.rows, len(table.rows))
        self.faulty |= step.whole and any(table.counts[rows : rows + 1])
        return table.rows[:rows], table.counts[:rows]


def sorted_first(table: Plain, order: Sequence[tuple[str, bool]]) -> Plain:
    """Return the rows that count, sorted, in front of the others."""
    counting = table.counting()
    for name, descending in reversed(order):
        counting.sort(key=lambda row: -number(row[name]) if descending else number(row[name]))
    rest = len(table.rows) - len(counting)
    return Plain(table.columns, counting + [{}] * rest, [True] * len(counting) + [False] * rest)


def computed(step: Compute, values: Sequence[Value], *, counts: bool) -> Value:
    """Return the value of an expression in one row."""
    match step.operation, values:
        case "present", _:
            return int(counts)
        case "nothing", _:
            return zero(step.column)
        case "select", (bit, x, y):
            return x if bit else y
    x, *more = (number(value) for value in values)
    y = more[0] if more else 0
    keys = {"key": (x + step.constant + 1) * y, "reverse": (step.constant + 1 - x) * (x != 0)}
    if step.operation in keys:
        return keys[step.operation] % (1 << step.column.bits)
    return {
        "add": lambda: signed(x + sum(more)),
        "subtract": lambda: signed(x - y),
        "multiply": lambda: signed(x * y),
        "scale": lambda: signed(x * step.constant),
        "truncate": lambda: x >> step.constant,
        "divide": lambda: x // y if y else 0,
        "less": lambda: int(x < y),
        "equal": lambda: int(x == y),
        "same": lambda: int(x == y and x != 0),
        "and": lambda: int(all([x, *more])),
        "or": lambda: int(any([x, *more])),
        "not": lambda: 1 - x,
        "number": lambda: x,
    }[step.operation]()


def zero(column: Column) -> Value:
    return (0,) * column.words if column.kind == "payload" else 0


def number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def signed(value: int) -> int:
    """Return a number modulo 2^64, as the ring holds it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def plain_input(part: LocalPart, rows: Sequence[Mapping[str, Value]]) -> Plain:
    """Return the table of a part, padded with rows that do not count."""
    columns = {item.column.name: item.column for item in part.columns}
    nothing = {name: zero(column) for name, column in columns.items()}
    padding = part.rows - len(rows)
    return Plain(columns, [*map(dict, rows), *[nothing] * padding], [True] * len(rows) + [False] * padding)
