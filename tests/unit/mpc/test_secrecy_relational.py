"""What whole relational operators show is uniform orders: every permutation that a party lacks is tried.

A view of a sort, a grouping or a join has masked messages and opened orders. For each order in turn, and for
each of two tables, all permutations that a party lacks are tried, with the rest of the tape as it was: they
must show each order of the rows exactly once, and must not move an order opened before. So the orders are
uniform, independent of each other and of the table, exactly. That the messages are masked is shown here for
`move_by_known` alone, and for what the others are made of in `test_views.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from math import factorial
from typing import Any

import numpy as np
import pytest

from mpc.manifest import Manifest, Opening
from mpc.opening import open_to_parties
from mpc.party import Party
from mpc.prg import Shape, Words, WordStream
from mpc.relational import shuffle as shuffling
from mpc.relational import sorting
from mpc.relational.aggregation import group_openings, group_rows, total_openings, total_rows
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.known_order import move_by_known
from mpc.relational.permutation import random_permutation
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.runs import carry_forward, carry_openings
from mpc.relational.selection import UPPER_MEDIAN, group_select, select_openings
from mpc.relational.tables import Rows, row_openings
from mpc.relational.windows import RANK, sort_windows, window_columns, window_openings
from mpc.sharing import BYTE, WORD, WORD32, Arithmetic
from tests.unit.mpc.test_views import Draw, Program, World, bits, held, masks, spans

BITS = 3
TABLES = ([1, 4, 3], [6, 2, 6])
"""Keys of three rows."""
MEDIAN = (UPPER_MEDIAN,)
OPERATORS = (
    "sorted_places",
    "group_rows",
    "total_rows",
    "carry_forward",
    "windows",
    "group_select",
    "join",
)
Orders = list[Words]


def rows(x: Arithmetic) -> Rows:
    return Rows((SortKey(bits(x), BITS),))


def lowest(x: Arithmetic) -> SortKey:
    return SortKey(bits(x), 2)


def joined(party: Party, x: Arithmetic) -> object:
    """Join two left rows and one right row."""
    return join(party, LeftTable(rows(x[:2]), numbers=(x[:2],)), rows(x[2:]), "j")


def ordered_groups(party: Party, x: Arithmetic) -> object:
    """Group by two bits, and order each group by them."""
    return group_rows(party, Rows((lowest(x),)), order=[lowest(x)], sums=[x], prefix="g")


def ordered_total(party: Party, x: Arithmetic) -> object:
    """Take the distinct values and the last row of all rows."""
    return total_rows(party, rows(x), order=[lowest(x)], last=[x], prefix="g")


def carried(party: Party, x: Arithmetic) -> object:
    """Carry a column from the rows whose keys are odd."""
    marks = bits(x).map(lambda words: (words & 1).astype(BYTE))
    return carry_forward(party, marks, [x], "c")


def windows(party: Party, x: Arithmetic) -> object:
    """Rank rows that are one partition each."""
    return window_columns(
        party, sort_windows(party, Rows((lowest(x),)), [lowest(x)], prefix="w"), [RANK], "w"
    )


def median(party: Party, x: Arithmetic) -> object:
    """Take the upper middle row of each key."""
    return group_select(party, Rows((lowest(x),)), lowest(x), MEDIAN, columns=[x], prefix="m")


def operators() -> dict[str, tuple[Program, tuple[Opening, ...]]]:
    """Return operators and their openings, whose number depends on how rows are sorted."""
    return {
        "sorted_places": (lambda p, x: sorted_places(p, rows(x).keys, "s"), sort_openings("s", 3, [BITS])),
        "group_rows": (ordered_groups, group_openings("g", 3, [2, 2])),
        "total_rows": (ordered_total, total_openings("g", 3, [2])),
        "carry_forward": (carried, carry_openings("c", 3)),
        "windows": (windows, (*row_openings("w", 3, [2, 2]), *window_openings("w", 3, [RANK]))),
        "group_select": (median, select_openings("m", 3, [2, 2], MEDIAN)),
        "join": (joined, join_openings("j", (2, 1), [BITS])),
    }


class Recorder:
    """Records the orders that are opened in a run."""

    def __init__(self) -> None:
        self.orders: Orders = []

    def open(self, party: Party, x: Arithmetic, opening_id: str) -> Words:
        words = open_to_parties(party, x, opening_id)
        if party.index == 0:
            self.orders.append(words)
        return words

    def shown_by(self, world: World, tape: dict[Draw, Words]) -> Orders:
        self.orders = []
        world.view(tape)
        return self.orders


def received_orders(frames: list[bytes]) -> Orders:
    """Return the messages that are orders of rows, in words of 32 bits."""
    columns = [np.frombuffer(frame, "<u4") for frame in frames if frame and len(frame) % 4 == 0]
    return [words for words in columns if np.array_equal(np.sort(words), np.arange(words.size))]


def permutation_tapes(count: int) -> Iterator[Words]:
    """Yield words from which `random_permutation` draws each permutation once: place i takes each target."""
    for targets in product(*(range(place + 1) for place in range(count))):
        yield np.array([((2 * t + 1) << 31) // (i + 1) for i, t in enumerate(targets)], dtype=WORD32)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record opened orders, and sort by digits however few the rows are."""
    recording = Recorder()
    monkeypatch.setattr(shuffling, "open_to_parties", recording.open)
    monkeypatch.setattr(sorting, "PAIRWISE_ROWS", -1)
    return recording


def orders_are_uniform(name: str, party: int, recorder: Recorder) -> bool:
    """Return whether each opened order takes each value once, whatever the table and the orders before."""
    program, openings = operators()[name]
    own, following = held()
    for keys in TABLES:
        missing = np.array(keys, dtype=WORD) ^ own ^ following
        world = World(program, party, missing, Manifest(openings))
        plain = recorder.shown_by(world, {})
        assert len(plain) >= 1
        for k, order in enumerate(plain):
            tapes = permutation_tapes(order.size)
            shown = [recorder.shown_by(world, {("permutation", k): words}) for words in tapes]
            if any(not np.array_equal(orders[j], plain[j]) for orders in shown for j in range(k)):
                return False
            if len({orders[k].tobytes() for orders in shown}) < factorial(order.size):
                return False
    return True


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("name", OPERATORS)
def test_each_opened_order_is_uniform_whatever_the_table(name: str, party: int, recorder: Recorder) -> None:
    assert orders_are_uniform(name, party, recorder)


@pytest.mark.parametrize("name", OPERATORS)
def test_control_an_order_opened_behind_one_known_shuffle_is_not_uniform(
    name: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = random_permutation

    def still(stream: WordStream, count: int) -> object:
        drawn(stream, count)
        return drawn(Still(), count)

    monkeypatch.setattr(shuffling, "random_permutation", still)
    assert not orders_are_uniform(name, 0, recorder)


class Still:
    """A stream that always yields one word, so that every permutation drawn from it is the same."""

    position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[Any]) -> Words:
        return np.full(shape, 0x5EED5EED, dtype=dtype)


def known_order_world(party: int, knower: int, order: tuple[int, ...]) -> World:
    def program(p: Party, x: Arithmetic) -> object:
        known = np.array(order, dtype=WORD32) if p.index == knower else None
        return move_by_known(p, x.reshape(1, -1), known, knower)

    return World(program, party, np.array([5, 1 << 63, 77], dtype=WORD))


@pytest.mark.parametrize("knower", [0, 1, 2])
def test_a_part_of_a_known_order_is_uniform_whatever_the_order(knower: int) -> None:
    for order in permutations(range(3)):
        world = known_order_world((knower + 1) % 3, knower, order)
        views = [world.view({("permutation", 0): words})[0] for words in permutation_tapes(3)]
        parts = [[words.tobytes() for words in received_orders(view)] for view in views]
        assert [len(found) for found in parts] == [1] * 6
        assert len({found[0] for found in parts}) == 6


@pytest.mark.parametrize("knower", [0, 1, 2])
@pytest.mark.parametrize("party", [0, 1, 2])
def test_all_else_that_moves_by_a_known_order_is_masked(party: int, knower: int) -> None:
    world = known_order_world(party, knower, (2, 0, 1))
    frames, _ = world.view({})
    parts = {words.tobytes() for words in received_orders(frames)}
    assert len(parts) == (party == (knower + 1) % 3)
    covered = sorted((mask.frame, mask.block.start, mask.block.stop) for mask in masks(world))
    hidden = [k for k, frame in enumerate(frames) if frame not in parts]
    assert covered == [(k, *span) for k in hidden for span in spans(covered, k, len(frames[k]))]
