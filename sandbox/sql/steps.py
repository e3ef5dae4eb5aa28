"""The joint part of a plan: a program over tables in shares, run by the three compute parties.

Step number i makes table number i out of earlier ones. A table has a public number of rows, a secret bit for
each row that says whether it counts, and columns of these kinds:

    number   a signed 64-bit integer; 0 where the value is NULL
    bit      0 or 1
    key      an unsigned integer of `bits` bits that orders and tells apart values; 0 is NULL
    payload  the words of `sandbox.sql.columns`, to be shown to the buyer; all zero is NULL

Zero means NULL in every kind, so that a row without a match is zero throughout. Sizes are functions of the
plan alone: a filter clears bits and never shortens a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, cast

from records.canonical import Json

Kind = Literal["number", "bit", "key", "payload"]
Operation = Literal[
    "add",  # numbers → number
    "subtract",  # number, number → number
    "multiply",  # number, number → number
    "scale",  # number → number · constant
    "truncate",  # number → number / 2^constant, rounded to a neighbour
    "divide",  # number ≥ 0, number > 0 → ⌊x / y⌋ below 2^constant; 0 where y = 0
    "less",  # number, number → bit
    "equal",  # number, number → bit
    "same",  # key, key → bit: equal, and neither NULL
    "and",  # bits → bit
    "or",  # bits → bit
    "not",  # bit → bit
    "select",  # bit, x, y → x where the bit is 1, else y: three of one kind
    "number",  # bit → number
    "key",  # number, bit (known) → key: number + constant + 1 where known, else 0
    "reverse",  # key → key in the opposite order, NULL still 0: constant + 1 − key
    "present",  # nothing → bit: does the row count
    "nothing",  # nothing → zero of any kind: NULL
]
WindowFunction = Literal[
    "row_number", "rank", "dense_rank", "rows", "sum", "count", "running_sum", "running_count"
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: `bits` is 64 for a number, 1 for a bit, 64 a word for a payload."""

    name: str
    kind: Kind
    bits: int

    @property
    def words(self) -> int:
        """64-bit words of one value, of a payload."""
        return self.bits // 64


@dataclass(frozen=True, slots=True)
class Input:
    """The table that a provider puts in: at most `rows` rows of part number `part`, padded.

    Its columns are those of the part's `columns`, in order.
    """

    part: int
    rows: int


@dataclass(frozen=True, slots=True)
class Stack:
    """UNION ALL: the rows of several tables, one under the other; all have the same columns."""

    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Match each row of `right` with at most `most` rows of `left` of equal `keys` (left, right).

    The result has the rows of `right`, `most` times one under the other, with its columns, the columns
    `carried` of `left`, zero where there is no match, and the bit `matched`. NULL keys match nothing; no row
    stops counting, but of the second and later copies of `right` only the rows that match count.
    """

    left: int
    right: int
    keys: tuple[tuple[str, str], ...]
    carried: tuple[str, ...]
    matched: str
    most: int = 1


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Give every row of `table` columns `carried` of the first row of `one`; zero if that does not count."""

    one: int
    table: int
    carried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compute:
    """Add the column `column` = `operation` of `operands`, row by row."""

    table: int
    column: Column
    operation: Operation
    operands: tuple[str, ...]
    constant: int = 0


@dataclass(frozen=True, slots=True)
class Filter:
    """Rows count no more where the bit is 0."""

    table: int
    bit: str


@dataclass(frozen=True, slots=True)
class Project:
    """The same rows with the columns (name before, name now) alone."""

    table: int
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One row for each different `keys` among the rows that count, in the order of the keys, then empty rows.

    Without keys there is one row, which counts even if no row of the table does. Columns: the keys; `count`,
    if named, the number of rows; the sums of numbers (before, now); with `order`, of each column of `last`,
    in any kind, the value in the last row of the group in that order, or, with `countable`, in the last of
    the rows whose bit `countable` is 1, and `distinct`, if named, the number of different values of `order`
    among rows whose bit `countable` is 1. `last` without an order takes any row: for columns that the keys
    determine.
    """

    table: int
    keys: tuple[str, ...]
    count: str | None = None
    sums: tuple[tuple[str, str], ...] = ()
    order: str | None = None
    last: tuple[tuple[str, str], ...] = ()
    distinct: str | None = None
    countable: str | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """Of each group the row at place ⌈p·c⌉ of c rows whose bit `countable` is 1, in the order of `order`.

    p = `numerator` / `denominator`. `lower` are the columns (before, now) of that row. With `upper` also
    those of the row at place ⌊p·c⌋ + 1: both middle rows of a median. Groups as in `Group`.
    """

    table: int
    keys: tuple[str, ...]
    order: str
    countable: str
    numerator: int
    denominator: int
    lower: tuple[tuple[str, str], ...]
    upper: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """Columns of tables that have the same groups in the same places, side by side."""

    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Sort rows by partition and order, and add a column for each function (function, argument, name).

    Keys of `order` are (column, descending). `rows` is the size of the partition; `sum` and `count` are over
    the whole partition, `running_…` over the rows before with their peers (RANGE, SQL's default).
    """

    table: int
    partition: tuple[str, ...]
    order: tuple[tuple[str, bool], ...]
    functions: tuple[tuple[WindowFunction, str | None, str], ...]


@dataclass(frozen=True, slots=True)
class First:
    """The first `rows` rows that count, by `order` (column, descending); in any order where there is none.

    `sorted` says that the rows that count stand first already. With `whole`, a table of which more rows count
    spoils the job: its result is withheld.
    """

    table: int
    rows: int
    order: tuple[tuple[str, bool], ...] = ()
    sorted: bool = False
    whole: bool = False


Step: TypeAlias = (
    Input | Stack | Join | Broadcast | Compute | Filter | Project | Group | Select | Beside | Window | First
)


@dataclass(frozen=True, slots=True)
class TableShape:
    """Public shape of a table: its number of rows and its columns by name, in order."""

    rows: int
    columns: Mapping[str, Column]


def to_json(step: Step) -> dict[str, Json]:
    """Return a step as a document: its kind, and its fields."""
    values = {item.name: _json(getattr(step, item.name)) for item in fields(step)}
    return {"step": type(step).__name__.lower(), **values}


def _json(value: object) -> Json:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if isinstance(value, Column):
        return {"name": value.name, "kind": value.kind, "bits": value.bits}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return str(value)  # canonical JSON holds integers up to 2^53
    return cast("Json", value)
