"""Window functions in shares against DuckDB: partitions, peers, filters, ties, directions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows, row_openings
from mpc.relational.windows import (
    DENSE_RANK,
    PARTITION_ROWS,
    RANK,
    ROW_NUMBER,
    WindowFunction,
    sort_windows,
    window_columns,
    window_openings,
)
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import columns_of, either_sort, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

FUNCTIONS = {
    ROW_NUMBER: "row_number() OVER (p ORDER BY {order} ROWS UNBOUNDED PRECEDING)",
    RANK: "rank() OVER w",
    DENSE_RANK: "dense_rank() OVER w",
    PARTITION_ROWS: "count(*) OVER p",
    WindowFunction("rows", "peers"): "count(*) OVER w",
    WindowFunction(0, "current"): "sum(amount) OVER (p ORDER BY {order} ROWS UNBOUNDED PRECEDING)",
    WindowFunction(0, "peers"): "sum(amount) OVER w",
    WindowFunction(1, "partition"): "sum(size) OVER p",
}
"""What each function is in SQL; rows have a number, which makes the order total."""


@dataclass(frozen=True)
class Plain:
    """Rows in plain: keys of partitions (`None`: one partition), an order, which rows count, and numbers."""

    city: list[int] | None
    day: list[int]
    descending: bool
    valid: list[int] | None
    amount: list[int]

    @property
    def count(self) -> int:
        return len(self.day)

    @property
    def key_bits(self) -> list[int]:
        return [*([] if self.valid is None else [1]), *([] if self.city is None else [17]), 64]

    def expected(self) -> list[list[int]]:
        """Return number, city and functions of the valid rows, in the order of the windows."""
        frame = pd.DataFrame({"number": np.arange(self.count), "day": self.day, "amount": self.amount})
        frame["city"] = 0 if self.city is None else self.city
        frame["size"] = frame["amount"] % 7
        frame = frame[np.array(self.valid or [1] * self.count, dtype=bool)]
        direction = "DESC" if self.descending else "ASC"
        columns = ", ".join(sql.format(order=f"day {direction}, number") for sql in FUNCTIONS.values())
        with duckdb.connect() as connection:
            connection.register("frame", frame)
            return [
                list(row)
                for row in connection.execute(
                    f"SELECT number, city, {columns} FROM frame "  # noqa: S608 - text of this file
                    f"WINDOW p AS (PARTITION BY city), w AS (PARTITION BY city ORDER BY day {direction}) "
                    f"ORDER BY city, day {direction}, number"
                ).fetchall()
            ]


@st.composite
def tables(draw: st.DrawFn) -> Plain:
    count = draw(st.integers(1, 16))

    def column(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=count, max_size=count))

    bits = st.integers(0, 1)
    return Plain(
        column(st.sampled_from([0, 1, 1 << 16])) if draw(st.booleans()) else None,
        column(st.sampled_from([0, 1, 2, (1 << 63) - 1])),
        draw(st.booleans()),
        column(bits) if draw(st.booleans()) else None,
        column(st.integers(-(1 << 40), 1 << 40)),
    )


ALONE = Plain([5], [3], descending=False, valid=[1], amount=[-1])
EDGES = [
    ALONE,
    replace(ALONE, valid=[0]),
    Plain([5] * 9, [3] * 9, descending=True, valid=[0] * 9, amount=[1] * 9),
    Plain([5] * 9, [3] * 9, descending=True, valid=None, amount=[1] * 9),
    Plain(list(range(9)), [0] * 9, descending=False, valid=[1] * 8 + [0], amount=list(range(9))),
]


def check_windows(table: Plain) -> None:
    numbers = np.arange(table.count)
    valid = shared_words(table.valid or [1] * table.count, np.uint8)
    city, day = shared_words(table.city or numbers * 0), shared_words(table.day, np.uint64)
    number = shared_words(numbers, np.uint16)
    amounts = np.array(table.amount, dtype=np.int64)
    amount, size = shared(amounts), shared(amounts % 7, WORD32)
    functions = list(FUNCTIONS)

    def program(party: Party) -> list[Shared]:
        i = party.index
        keys = () if table.city is None else (SortKey(city[i], 17),)
        rows = Rows(keys, None if table.valid is None and keys else valid[i])
        by = [SortKey(day[i], 64, table.descending)]
        windows = sort_windows(party, rows, by, words=[number[i]], numbers=[amount[i], size[i]], prefix="w")
        columns = window_columns(party, windows, functions, "w")
        party.finish()
        return columns_of([windows.valid], windows.words, windows.partition, columns)

    bits = [1, 64] if table.city is None else table.key_bits
    openings = row_openings("w", table.count, bits), window_openings("w", table.count, functions)
    counts, moved, *columns = opened(run(program, Manifest((*openings[0], *openings[1]))))
    expected = table.expected()
    np.testing.assert_array_equal(counts, np.arange(table.count) < len(expected))
    if table.city is None:
        columns = [np.zeros_like(moved), *columns]
    rows = zip(moved, columns[0], *(decode(column) for column in columns[1:]), strict=True)
    assert [[int(value) for value in row] for row in rows][: len(expected)] == expected


@settings(max_examples=15, deadline=None)
@given(tables())
def test_window_functions_agree_with_sql(table: Plain) -> None:
    check_windows(table)


@pytest.mark.parametrize("table", EDGES)
def test_window_functions_hold_for_one_row_one_partition_and_none_that_counts(table: Plain) -> None:
    check_windows(table)


def test_without_an_order_all_rows_of_a_partition_are_peers() -> None:
    city, amount = shared_words([2, 1, 2, 1, 2]), shared([1, 10, 2, 20, 4])
    functions = [RANK, DENSE_RANK, WindowFunction(0, "peers"), WindowFunction(0, "partition")]

    def program(party: Party) -> list[Shared]:
        i = party.index
        table = sort_windows(party, Rows((SortKey(city[i], 2),)), (), numbers=[amount[i]], prefix="w")
        return columns_of(window_columns(party, table, functions, "w"))

    openings = (*row_openings("w", 5, [2]), *window_openings("w", 5, functions))
    rank, dense, peers, total = opened(run(program, Manifest(openings)))
    assert rank.tolist() == dense.tolist() == [1] * 5
    assert peers.tolist() == total.tolist() == [30, 30, 7, 7, 7]


def test_a_window_without_a_function_is_refused() -> None:
    city = shared_words([2, 1])

    def program(party: Party) -> object:
        table = sort_windows(party, Rows((SortKey(city[party.index], 2),)), (), prefix="w")
        return window_columns(party, table, [], "w")

    with pytest.raises(InputError, match="at least one"):
        run(program, Manifest((*row_openings("w", 2, [2]), *window_openings("w", 2, []))))
