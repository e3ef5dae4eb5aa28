"""Cost contracts of relational operators: declared is what the links count, and sizes tell no data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from mpc.costs import Cost, bits_to_arithmetic
from mpc.manifest import Manifest, Opening
from mpc.matching.intersection import IdLists
from mpc.multiplication import constant
from mpc.party import Party
from mpc.relational import costs
from mpc.relational.aggregation import distinct, group_extremes, group_openings, group_sums
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.partition import marks_of, partition_places
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.ranking import counts_at_most, kth_openings, kth_ranked, quantile, top_rows
from mpc.relational.shuffle import disclose_order, shuffle
from mpc.relational.tables import Rows, row_openings
from mpc.relational.tag_join import tag_join
from mpc.sharing import WORD32, Boolean
from tests.unit.mpc.relations import either_sort, shared_words
from tests.unit.mpc.three_parties import run

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

Program = Callable[[Party, Boolean], object]
Declared = Callable[[int], Cost]
Openings = Callable[[int], Sequence[Opening]]


def _rows(words: Boolean, *, filtered: bool = False) -> Rows:
    octets = words.map(lambda x: x.astype(np.uint8))
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
    "group_sums": (
        lambda p, x: group_sums(p, _rows(x, filtered=True), [constant(p, 1, x.shape)], "g"),
        lambda n: costs.group_sums(n, KEYS, [8], filtered=True),
        lambda n: group_openings("g", n, [1, 5, 2]),
    ),
    "group_extremes": (
        lambda p, x: group_extremes(p, _rows(x), SortKey(x, 9), "g"),
        lambda n: costs.group_extremes(n, KEYS, (9, 4), filtered=False),
        lambda n: group_openings("g", n, [5, 2, 9]),
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


@pytest.mark.parametrize("count", [0, 1, 8, 13])
@pytest.mark.parametrize("name", OPERATORS)
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
        "group_sums": (costs.group_sums(n, key, [8], filtered=False), n),
        "group_extremes": (costs.group_extremes(n, key, (32, 4), filtered=False), n),
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
