"""Cost contracts of relational operators: declared is what the links count, and sizes tell no data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc.costs import Cost, bits_to_arithmetic
from mpc.manifest import Manifest, Opening
from mpc.matching.intersection import IdLists
from mpc.multiplication import constant
from mpc.party import Party
from mpc.relational import costs, window_costs
from mpc.relational.aggregation import (
    distinct,
    group_openings,
    group_rows,
    total_openings,
    total_rows,
)
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.partition import marks_of, partition_places
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.ranking import counts_at_most, kth_openings, kth_ranked, quantile, top_rows
from mpc.relational.runs import carry_backward, carry_openings
from mpc.relational.selection import LOWER_MEDIAN, UPPER_MEDIAN, Place, group_select, select_openings
from mpc.relational.shuffle import disclose_order, shuffle
from mpc.relational.tables import Rows, row_openings
from mpc.relational.tag_join import tag_join
from mpc.relational.windows import (
    DENSE_RANK,
    RANK,
    ROW_NUMBER,
    WindowFunction,
    sort_windows,
    window_columns,
    window_openings,
)
from mpc.sharing import WORD32, Boolean
from tests.unit.mpc.relations import either_sort, shared_words
from tests.unit.mpc.three_parties import run

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

Program = Callable[[Party, Boolean], object]
Declared = Callable[[int], Cost]
Openings = Callable[[int], Sequence[Opening]]


def _octets(words: Boolean) -> Boolean:
    return words.map(lambda x: x.astype(np.uint8))


def _rows(words: Boolean, *, filtered: bool = False) -> Rows:
    octets = _octets(words)
    keys = (SortKey(words, 5), SortKey(octets, 2))
    return Rows(keys, octets if filtered else None)


def _table(party: Party, words: Boolean) -> LeftTable:
    numbers = (constant(party, 1, words.shape), constant(party, 2, words.shape, WORD32))
    return LeftTable(_rows(words, filtered=True), (words,), numbers)


def _ids(party: Party, words: Boolean) -> object:
    count = words.size
    ids = np.arange(count)
    inputs = ((ids, ids[:, np.newaxis]), (ids * 0, None), (None, None))[party.index]
    return tag_join(party, IdLists((0, 1), (count, count), 1), *inputs)


KEYS = [(5, 4), (2, 1)]
WANTED = costs.Grouped([(9, 4)], sums=[8], last_words=[4], last_numbers=[8, 4], countable=True)


def _wanted(party: Party, words: Boolean) -> dict[str, Any]:
    """Return what `WANTED` costs, of any rows."""
    wide, narrow = constant(party, 1, words.shape), constant(party, 2, words.shape, WORD32)
    return {
        "order": [SortKey(words, 9)],
        "sums": [wide],
        "last": [wide, words, narrow],
        "countable": _octets(words),
    }


WINDOWS = [DENSE_RANK, RANK, ROW_NUMBER, WindowFunction(0, "peers"), WindowFunction(1, "partition")]
PLACES = [LOWER_MEDIAN, UPPER_MEDIAN, Place(1, 3)]


def _windows(party: Party, rows: Rows, functions: Sequence[WindowFunction]) -> object:
    words = rows.keys[0].words
    numbers = [constant(party, 1, words.shape), constant(party, 2, words.shape, WORD32)]
    order = [SortKey(words, 9)]
    table = sort_windows(party, rows, order, words=[rows.keys[1].words], numbers=numbers, prefix="w")
    return window_columns(party, table, functions, "w")


OPERATORS: dict[str, tuple[Program, Declared, Openings]] = {
    "shuffle": (
        lambda p, x: shuffle(p, [x, x.map(lambda w: w.astype(np.uint8))]),
        lambda n: costs.shuffle(n, [4, 1]),
        lambda _: (),
    ),
    "partition_places": (
        lambda p, x: partition_places(p, marks_of(p, x.map(lambda w: w.astype(np.uint8)), x.size)),
        lambda n: costs.partition_places(n) + bits_to_arithmetic(n, 2),
        lambda _: (),
    ),
    "sorted_places": (
        lambda p, x: sorted_places(p, [SortKey(x, 7), SortKey(x, 1)], "s"),
        lambda n: costs.sorted_places(n, [(7, 4), (1, 4)]),
        lambda n: sort_openings("s", n, [7, 1]),
    ),
    "disclose_order": (
        lambda p, x: disclose_order(p, sorted_places(p, [SortKey(x, 2)], "s"), "o", [x]),
        lambda n: costs.sorted_places(n, [(2, 4)]) + costs.disclose_order(n, [4]),
        lambda n: (*sort_openings("s", n, [2]), Opening("o", "parties", (n,))),
    ),
    "top_rows": (
        lambda p, x: top_rows(p, _rows(x, filtered=True), (constant(p, 1, x.shape),), 3, "t"),
        lambda n: costs.sort_rows(n, KEYS, [8], filtered=True),
        lambda n: row_openings("t", n, [1, 5, 2]),
    ),
    "distinct": (
        lambda p, x: distinct(p, _rows(x), "d"),
        lambda n: costs.distinct(n, KEYS, filtered=False),
        lambda n: row_openings("d", n, [5, 2]),
    ),
    "group_rows": (
        lambda p, x: group_rows(p, _rows(x, filtered=True), sums=[constant(p, 1, x.shape)], prefix="g"),
        lambda n: costs.group_rows(n, KEYS, costs.Grouped(sums=[8]), filtered=True),
        lambda n: group_openings("g", n, [1, 5, 2]),
    ),
    "group_rows by an order": (
        lambda p, x: group_rows(p, _rows(x), **_wanted(p, x), prefix="g"),
        lambda n: costs.group_rows(n, KEYS, WANTED, filtered=False),
        lambda n: group_openings("g", n, [5, 2, 1, 9]),
    ),
    "total_rows": (
        lambda p, x: total_rows(p, _rows(x), sums=[constant(p, 1, x.shape)] * 2, prefix="g"),
        lambda n: costs.total_rows(n, costs.Grouped(sums=[8, 8])),
        lambda _: (),
    ),
    "total_rows by an order": (
        lambda p, x: total_rows(p, _rows(x, filtered=True), **_wanted(p, x), prefix="g"),
        lambda n: costs.total_rows(n, WANTED),
        lambda n: total_openings("g", n, [1, 9]),
    ),
    "carry_backward": (
        lambda p, x: carry_backward(p, _octets(x), [x, constant(p, 1, x.shape), _octets(x)], "c"),
        lambda n: window_costs.carry(n, [4, 1], [8]),
        lambda n: carry_openings("c", n),
    ),
    "windows": (
        lambda p, x: _windows(p, _rows(x, filtered=True), WINDOWS[:1]),
        lambda n: (
            window_costs.sort_windows(n, KEYS, [(9, 4)], [1, 8, 4], filtered=True)
            + window_costs.window_columns(n, WINDOWS[:1], [8, 4])
        ),
        lambda n: (*row_openings("w", n, [1, 5, 2, 9]), *window_openings("w", n, WINDOWS[:1])),
    ),
    "windows of peers": (
        lambda p, x: _windows(p, _rows(x), WINDOWS),
        lambda n: (
            window_costs.sort_windows(n, KEYS, [(9, 4)], [1, 8, 4], filtered=False)
            + window_costs.window_columns(n, WINDOWS, [8, 4])
        ),
        lambda n: (*row_openings("w", n, [5, 2, 9]), *window_openings("w", n, WINDOWS)),
    ),
    "group_select": (
        lambda p, x: group_select(p, _rows(x), SortKey(x, 9), PLACES[:1], columns=[x], prefix="g"),
        lambda n: window_costs.group_select(n, KEYS, (9, 4), PLACES[:1], [4], [], filtered=False),
        lambda n: select_openings("g", n, [5, 2, 9], PLACES[:1]),
    ),
    "group_select of some rows": (
        lambda p, x: group_select(
            p,
            _rows(x, filtered=True),
            SortKey(x, 9),
            PLACES,
            columns=[constant(p, 1, x.shape), x],
            countable=_octets(x),
            prefix="g",
        ),
        lambda n: window_costs.group_select(n, KEYS, (9, 4), PLACES, [4], [8], filtered=True, countable=True),
        lambda n: select_openings("g", n, [1, 5, 2, 1, 9], PLACES),
    ),
    "join": (
        lambda p, x: join(p, _table(p, x), _rows(x[: x.size // 2]), "j", most=20),
        lambda n: costs.join((n, n // 2), KEYS, ([4], [8, 4]), filtered=(True, False), most=20),
        lambda n: join_openings("j", (n, n // 2), [1, 5, 2]),
    ),
    "tag_join": (_ids, lambda n: costs.tag_join(IdLists((0, 1), (n, n), 1)), lambda _: ()),
    "kth_ranked": (
        lambda p, x: kth_ranked(p, counts_at_most(np.arange(9)), 3, 16, "k"),
        lambda _: costs.kth_ranked(16),
        lambda _: kth_openings("k", 16),
    ),
    "quantile": (
        lambda p, x: quantile(p, counts_at_most(np.arange(9)), (1, 2), 8, "k"),
        lambda _: costs.kth_ranked(8),
        lambda _: kth_openings("k", 8),
    ),
}
OF_SOME_ROW = {"total_rows", "total_rows by an order"}
"""Operators that refuse a table of no rows."""


@pytest.mark.parametrize(
    ("name", "count"),
    [(name, count) for name in OPERATORS for count in (0, 1, 8, 13) if count or name not in OF_SOME_ROW],
)
def test_declared_costs_and_openings_are_the_real_ones(name: str, count: int) -> None:
    operate, declared, openings = OPERATORS[name]
    x = shared_words(np.arange(count))

    def program(party: Party) -> None:
        operate(party, x[party.index])
        party.finish()  # raises if an opening of the manifest did not happen

    session = run(program, Manifest(tuple(openings(count))))
    assert session.cost == declared(count)
    # Rounds overlap where a party need not wait, so the longest chain of frames may be shorter.
    assert session.depth <= declared(count).rounds


@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_sent_has_the_same_sizes_and_order_for_any_data(name: str) -> None:
    operate, _, openings = OPERATORS[name]
    traces = []
    for world in ([0] * 9, [31, 1, 30, 2, 5, 5, 5, 0, 7]):
        x = shared_words(world)
        session = run(
            lambda party, x=x: operate(party, x[party.index]),  # type: ignore[misc]
            Manifest(tuple(openings(9))),
        )
        traces.append(session.trace())
    assert traces[0] == traces[1]


def test_a_sort_of_32_bits_costs_what_the_reference_says_or_less() -> None:
    cost = costs.sorted_places(1 << 20, [(32, 4)])
    assert cost.bytes / (1 << 20) < 1472
    assert cost.rounds == 124


def test_the_documented_costs_are_the_declared_ones() -> None:
    n, key = 1 << 20, [(32, 4)]
    declared = {
        "shuffle": (costs.shuffle(n, [8]), n),
        "disclose_order": (costs.disclose_order(n, [8]), n),
        "sorted_places": (costs.sorted_places(n, key), n),
        "sort_rows": (costs.sort_rows(n, key, [8], filtered=False), n),
        "distinct": (costs.distinct(n, key, filtered=False), n),
        "group_rows": (costs.group_rows(n, key, costs.Grouped(sums=[8]), filtered=False), n),
        "total_rows": (costs.total_rows(n, costs.Grouped(sums=[8])), n),
        "carry_forward": (window_costs.carry(n, [], [8]), n),
        "sort_windows": (window_costs.sort_windows(n, key, [(16, 2)], [8], filtered=False), n),
        "window_columns": (window_costs.window_columns(n, [RANK], []), n),
        "group_select": (
            window_costs.group_select(n, key, (16, 2), PLACES[:2], [2], [], filtered=False),
            n,
        ),
        "join": (costs.join((n // 4, n), key, ([], [8])), n + n // 4),
        "tag_join": (costs.tag_join(IdLists((0, 1), (n // 4, n), 1)), n + n // 4),
    }
    page = (Path(__file__).parents[3] / "docs/mpc-leaks.md").read_text()
    for name, (cost, rows) in declared.items():
        assert f"| `{name}` | {cost.rounds} | {cost.bytes / rows:.0f} |" in page
    short = costs.sorted_places(1 << 16, key).bytes / (1 << 16)
    pair = costs.compared_places(512, key)
    assert f"costs {short:.0f} bytes a row" in page
    assert f"takes {pair.rounds} rounds and {pair.bytes / (256 * 511):.0f} bytes a pair" in page
    assert costs.kth_ranked(32) == Cost(48, 103_680)
