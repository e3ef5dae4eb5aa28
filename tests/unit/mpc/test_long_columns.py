"""Groups, windows and medians of many rows against NumPy: places of 16 and of 32 bits, and compiled loops."""

from __future__ import annotations

import numpy as np
import pytest

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.aggregation import group_openings, group_rows
from mpc.relational.radix_sort import SortKey
from mpc.relational.selection import UPPER_MEDIAN, group_select, select_openings
from mpc.relational.tables import Rows, row_openings
from mpc.relational.windows import RANK, WindowFunction, sort_windows, window_columns, window_openings
from mpc.sharing import Shared, decode
from tests.unit.mpc.relations import columns_of, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

FUNCTIONS = [RANK, WindowFunction(0, "peers")]


@pytest.mark.long
@pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1])
def test_many_rows_are_grouped_ranked_and_halved(count: int) -> None:
    generator = np.random.default_rng(20_261_122)
    city, day = generator.integers(0, 300, count), generator.integers(0, 16, count)
    amount, counts = generator.integers(-(1 << 40), 1 << 40, count), generator.integers(0, 2, count)
    keys, order = shared_words(city, np.uint16), shared_words(day, np.uint8)
    number, valid = shared(amount), shared_words(counts, np.uint8)

    def program(party: Party) -> list[Shared]:
        i = party.index
        rows, by = Rows((SortKey(keys[i], 9),), valid[i]), SortKey(order[i], 4)
        groups = group_rows(party, rows, order=[by], sums=[number[i]], prefix="g")
        medians = group_select(party, rows, by, [UPPER_MEDIAN], columns=[order[i]], prefix="m")
        windows = sort_windows(party, rows, [by], numbers=[number[i]], prefix="w")
        columns = window_columns(party, windows, FUNCTIONS, "w")
        assert groups.distinct is not None
        grouped = [*groups.keys, groups.counts, *groups.sums, groups.distinct, *medians.at[0]]
        return columns_of(grouped, windows.partition, windows.order, columns)

    manifest = Manifest(
        (
            *group_openings("g", count, [1, 9, 4]),
            *select_openings("m", count, [1, 9, 4], [UPPER_MEDIAN]),
            *row_openings("w", count, [1, 9, 4]),
            *window_openings("w", count, FUNCTIONS),
        )
    )
    found = [decode(column) for column in opened(run(program, manifest, timeout_s=120))]
    kept = counts == 1
    city, day, amount = city[kept], day[kept], amount[kept]
    for row, group in enumerate(np.unique(city)):
        days = np.sort(day[city == group])
        total = amount[city == group].sum()
        expected = [group, days.size, total, np.unique(days).size, days[days.size // 2]]
        assert [int(column[row]) for column in found[:5]] == expected
    place = np.lexsort((day, city))
    city, day, amount = city[place], day[place], amount[place]
    rank = np.searchsorted(city * 16 + day, city * 16 + day) - np.searchsorted(city, city) + 1
    sums = np.concatenate([[0], np.cumsum(amount)])
    peers = (
        sums[np.searchsorted(city * 16 + day, city * 16 + day, "right")] - sums[np.searchsorted(city, city)]
    )
    for column, values in zip(found[5:], (city, day, rank, peers), strict=True):
        np.testing.assert_array_equal(column[: city.size], values)
