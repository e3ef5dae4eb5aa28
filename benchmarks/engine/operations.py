"""What is timed: one function per row. Each shares its input, says how to run, and what must come out.

All three parties build the same problem from one seed, and each keeps its own shares of it: test data, so
the generator need not be a cryptographic one. Sharing, and opening the result to check it, are not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow.csv import read_csv, write_csv

from mpc import comparison, multiplication
from mpc.conversion import arithmetic_to_bits
from mpc.manifest import Opening
from mpc.matching.intersection import IdLists, intersection
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.ranking import counts_at_most, kth_openings, kth_ranked
from mpc.relational.shuffle import disclose_order
from mpc.relational.tables import Rows
from mpc.sharing import Arithmetic, Boolean, split

SEED: Final = 20_261_122


class Place:
    """One party's seat at a problem of size `count`."""

    def __init__(self, party: int, count: int, folder: Path) -> None:
        self.party = party
        self.count = count
        self.folder = folder
        self.generator = np.random.default_rng(SEED)

    def words(self, bits: int, dtype: type[np.unsignedinteger[Any]] = np.uint64) -> Words:
        """Draw a column of uniform words below 2^`bits`."""
        return self.generator.integers(0, 1 << bits, self.count, dtype=dtype)

    def share(self, words: Words) -> Arithmetic:
        """Return this party's shares of `words`."""
        return split(words, self.generator.bytes, words.dtype)[self.party]

    def share_bits(self, words: Words) -> Boolean:
        """Return this party's shares of the bits of `words`."""
        first, second = (self.generator.integers(0, 1 << 32, words.size, words.dtype) for _ in range(2))
        shares = (first, second, words ^ first ^ second)
        return Boolean(shares[self.party], shares[(self.party + 1) % 3])


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem at one party: what is timed, and the plaintext that opening its result must give."""

    run: Callable[[Party], Arithmetic]
    expected: Words
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: its size, its unit, its goals. A rate is elements per second, `count` of them per run."""

    name: str
    pose: Callable[[Place], Problem]
    count: int
    unit: str
    goal: str
    ratio_goal: float | None = None
    memory_goal: str | None = None

    def value(self, seconds: float, count: int) -> float:
        """Return the figure that a run of `seconds` means, in the row's unit."""
        return {"1/s": count / seconds, "ms": 1000 * seconds, "s": seconds}[self.unit]

    def better(self, ours: float, theirs: float) -> float:
        """Return how many times better one figure of this row is than another."""
        return ours / theirs if self.unit == "1/s" else theirs / ours


def _multiply_u64(place: Place) -> Problem:
    x, y = place.words(64), place.words(64)
    shared_x, shared_y = place.share(x), place.share(y)
    return Problem(lambda party: multiplication.multiply(party, shared_x, shared_y), x * y)


def _less_than(place: Place, dtype: type[np.unsignedinteger[Any]]) -> Problem:
    # As with SPU, the difference stays within the signed range: one sign decides.
    x, y = (place.words(8 * np.dtype(dtype).itemsize - 2, dtype) for _ in range(2))
    shared_x, shared_y = place.share(x), place.share(y)
    return Problem(
        lambda party: comparison.less_than(party, shared_x, shared_y, full_range=False), (x < y).astype(dtype)
    )


def _less_than_u64(place: Place) -> Problem:
    return _less_than(place, np.uint64)


def _less_than_u32(place: Place) -> Problem:
    return _less_than(place, np.uint32)


def _equality_u64(place: Place) -> Problem:
    x, y = place.words(64), place.words(64)
    y[::2] = x[::2]
    shared_x, shared_y = place.share(x), place.share(y)
    return Problem(lambda party: comparison.equal(party, shared_x, shared_y), (x == y).astype(np.uint64))


def _matmul(place: Place) -> Problem:
    side = place.count
    x, y = (place.generator.integers(0, 1 << 64, (side, side), dtype=np.uint64) for _ in range(2))
    shared_x, shared_y = place.share(x), place.share(y)
    return Problem(lambda party: multiplication.matmul(party, shared_x, shared_y), x @ y)


def _sort(place: Place) -> Problem:
    keys = place.words(32, np.uint32)
    shared = place.share(keys)
    order = Opening("order", "parties", (place.count,))

    def run(party: Party) -> Arithmetic:
        bits = arithmetic_to_bits(party, shared)
        places = sorted_places(party, [SortKey(bits, 32)], "sort")
        _, (ordered,) = disclose_order(party, places, order.id, [shared])
        return ordered

    return Problem(run, np.sort(keys), (*sort_openings("sort", place.count, [32]), order))


def _intersection(place: Place) -> Problem:
    # Two lists of which half is common, each in a file of its own; parties 0 and 1 own one each.
    ids = place.generator.permutation(3 * place.count // 2)
    owned = {0: ids[: place.count], 1: ids[place.count // 2 :]}.get(place.party)
    file = place.folder / f"ids-{place.party}.csv"
    if owned is not None:
        write_csv(pa.table({"id": owned}), file)
    lists = IdLists((0, 1), (place.count, place.count))

    def run(party: Party) -> Arithmetic:
        column = read_csv(file)["id"].to_numpy() if owned is not None else None
        return intersection(party, lists, column).size

    return Problem(run, np.array([place.count // 2], dtype=np.uint64))


def _join(place: Place) -> Problem:
    # A quarter as many primary keys as foreign ones, of which half find theirs; one column is carried over.
    keys = place.generator.permutation(place.count // 2).astype(np.uint32)[: place.count // 4]
    foreign = place.generator.integers(0, place.count // 2, place.count, dtype=np.uint32)
    payload = place.generator.integers(0, 1 << 64, keys.size, dtype=np.uint64)
    left = LeftTable(Rows((SortKey(place.share_bits(keys), 32),)), numbers=(place.share(payload),))
    right = Rows((SortKey(place.share_bits(foreign), 32),))
    found = np.zeros(place.count // 2, dtype=np.uint64)
    found[keys] = payload
    return Problem(
        lambda party: join(party, left, right, "join")[0].numbers[0],
        found[foreign],
        join_openings("join", (keys.size, foreign.size), [32]),
    )


def _kth_ranked(place: Place) -> Problem:
    # The median of all rows; each party holds `count` of them in plain, and counts them in the timed run.
    held = place.generator.integers(0, 1 << 32, (3, place.count), dtype=np.uint64)
    median = 3 * place.count // 2
    own = held[place.party]

    def run(party: Party) -> Arithmetic:
        value = kth_ranked(party, counts_at_most(own), median, 32, "median")
        return multiplication.constant(party, value, (1,))

    return Problem(run, np.sort(held, axis=None)[median - 1 : median], kth_openings("median", 32))


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            Operation("multiply_u64", _multiply_u64, 1 << 20, "1/s", ">= 16e6", 2),
            Operation("less_than_u64", _less_than_u64, 1 << 20, "1/s", ">= 3e6", 10),
            Operation("less_than_u32", _less_than_u32, 1 << 20, "1/s", ">= 5e6"),
            Operation("equality_u64", _equality_u64, 1 << 20, "1/s", ">= 5e6", 2.5),
            Operation("matmul_256", _matmul, 256, "ms", "<= 25", 3),
            Operation("sort_2e16", _sort, 1 << 16, "s", "<= 0.7", 12),
            Operation("sort_2e20", _sort, 1 << 20, "s", "<= 10", memory_goal="<= 1024"),
            Operation("join_2e18_2e20", _join, 1 << 20, "s", "<= 20"),
            Operation("psi_2e20", _intersection, 1 << 20, "s", "<= 3"),
            Operation("kth_ranked", _kth_ranked, 1 << 20, "s", "<= 0.3"),
        )
    }
)
