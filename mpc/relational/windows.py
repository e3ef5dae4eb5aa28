"""Window functions over sorted rows in shares: row numbers, ranks, running sums, sums of a partition.

Every one is a difference of running sums: at a row, or before or behind the run of rows that it belongs to.
Runs are partitions, which agree in the keys of the rows, and peers, which agree in the order besides.
The sums at the bounds of runs are carried to all their rows; the rest is local. All three parties run each
function; they learn uniform permutations (`docs/mpc-leaks.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np

from mpc.conversion import bits_to_arithmetic
from mpc.manifest import Opening
from mpc.multiplication import and_, constant, public
from mpc.party import Party
from mpc.relational.bit_columns import byte_column
from mpc.relational.radix_sort import SortKey
from mpc.relational.runs import (
    carry_openings,
    goes_on,
    run_ends,
    run_starts,
    run_sums,
    same_as_next,
    sums_before,
)
from mpc.relational.tables import Rows, sort_rows
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean

Frame: TypeAlias = Literal["current", "peers", "before", "partition"]
Measure: TypeAlias = Literal["rows", "peers"] | int
Bounds: TypeAlias = tuple[int, int]
"""How often the running sum before a run counts, and the one behind it."""


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """The sum of a measure over a frame of the partition, and a constant.

    The measure is 1 for each row (`rows`), 1 for the first row of each set of peers (`peers`), or a column of
    numbers by its place. The frame begins where the partition does. It ends with the row itself (`current`:
    ROWS … CURRENT ROW), with its last peer (`peers`: RANGE … CURRENT ROW), before its first peer (`before`),
    or where the partition ends.
    """

    measure: Measure
    frame: Frame
    plus: int = 0


ROW_NUMBER: Final = WindowFunction("rows", "current")
RANK: Final = WindowFunction("rows", "before", 1)
DENSE_RANK: Final = WindowFunction("peers", "current")
PARTITION_ROWS: Final = WindowFunction("rows", "partition")

PARTITION_BOUNDS: Final[Mapping[Frame, Bounds]] = MappingProxyType(
    {"current": (-1, 0), "peers": (-1, 0), "before": (-1, 0), "partition": (-1, 1)}
)
PEER_BOUNDS: Final[Mapping[Frame, Bounds]] = MappingProxyType({"peers": (0, 1), "before": (1, 0)})


@dataclass(frozen=True, slots=True)
class SortedWindows:
    """Columns (n,) sorted by partition and order, invalid rows last; `valid` is a byte 0 or 1 for each row.

    `partition_starts` and `peer_starts`, packed, mark where such a run begins.
    """

    valid: Boolean
    partition: tuple[Boolean, ...]
    order: tuple[Boolean, ...]
    words: tuple[Boolean, ...]
    numbers: tuple[Arithmetic, ...]
    partition_starts: Boolean
    peer_starts: Boolean


def sort_windows(
    party: Party,
    rows: Rows,
    order: Sequence[SortKey],
    *,
    words: Sequence[Boolean] = (),
    numbers: Sequence[Arithmetic] = (),
    prefix: str,
) -> SortedWindows:
    """Sort rows by their keys, which are those of partitions, then by `order`; columns (n,) move along.

    Rows without keys are one partition; without an order all its rows are peers. The openings are
    `tables.row_openings` of the keys and the order.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: columns of different lengths.
    """
    count = rows.count
    table = sort_rows(party, rows, (*rows.keys, *order), numbers, prefix, words=words)
    keys, by = table.keys[: len(rows.keys)], table.keys[len(rows.keys) :]
    same = goes_on(party, rows.keys, keys, table.valid, count)
    peers = and_(party, same, same_as_next(party, order, by)) if order else same
    every = public(party, Boolean, np.ones(count, dtype=BYTE))
    starts, peer_starts = (run_starts(party, run_ends(party, x, table.valid), count) for x in (same, peers))
    return SortedWindows(
        every if table.valid is None else byte_column(table.valid, count),
        keys,
        by,
        table.words,
        table.numbers,
        starts,
        peer_starts,
    )


def window_columns(
    party: Party, table: SortedWindows, functions: Sequence[WindowFunction], prefix: str
) -> tuple[Arithmetic, ...]:
    """Return a column (n,) for each function, at least one: of 64 bits, or of the ring of its numbers.

    Where a row is not valid, the columns hold anything.

    Raises:
        EvidenceError: the manifest does not have the openings of `window_openings` now, or a peer deviates.
        InputError: no function.
    """
    measures = {f.measure: _measure(party, table, f.measure) for f in functions}
    running = {name: sums_before(column) for name, column in measures.items()}
    starts = table.partition_starts
    bounds = _carried(
        party, starts, running, window_terms(functions, PARTITION_BOUNDS), f"{prefix}/partition"
    )
    peers = window_terms(functions, PEER_BOUNDS)
    at_peers = _carried(party, table.peer_starts, running, peers, f"{prefix}/peers") if peers else {}
    columns = []
    for function in functions:
        column = bounds[function.measure, PARTITION_BOUNDS[function.frame]]
        if function.frame == "current":
            column += running[function.measure][1:]
        elif function.frame in PEER_BOUNDS:
            column += at_peers[function.measure, PEER_BOUNDS[function.frame]]
        columns.append(column + constant(party, function.plus, column.shape, column.dtype))
    return tuple(columns)


def window_openings(prefix: str, count: int, functions: Sequence[WindowFunction]) -> tuple[Opening, ...]:
    """Return the openings of `window_columns`, in order."""
    peers = carry_openings(f"{prefix}/peers", count) if window_terms(functions, PEER_BOUNDS) else ()
    return (*carry_openings(f"{prefix}/partition", count), *peers)


def window_terms(
    functions: Sequence[WindowFunction], bounds: Mapping[Frame, Bounds]
) -> tuple[tuple[Measure, Bounds], ...]:
    """Return which sums at bounds of runs the functions need, each once: partitions or peers by `bounds`."""
    return tuple(dict.fromkeys((f.measure, bounds[f.frame]) for f in functions if f.frame in bounds))


def _carried(
    party: Party,
    starts: Boolean,
    running: Mapping[Measure, Arithmetic],
    terms: Sequence[tuple[Measure, Bounds]],
    prefix: str,
) -> dict[tuple[Measure, Bounds], Arithmetic]:
    measures = list(dict.fromkeys(measure for measure, _ in terms))
    wanted = [(measures.index(measure), *bounds) for measure, bounds in terms]
    found = run_sums(party, starts, [running[measure] for measure in measures], wanted, prefix)
    return dict(zip(terms, found, strict=True))


def _measure(party: Party, table: SortedWindows, measure: Measure) -> Arithmetic:
    count = table.valid.size
    if measure == "rows":
        return public(party, Arithmetic, np.ones(count, dtype=WORD))
    if measure == "peers":
        return bits_to_arithmetic(party, table.peer_starts, count)
    return table.numbers[measure]
