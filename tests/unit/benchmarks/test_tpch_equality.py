"""The comparison with DuckDB's result: what it lets pass, and that it lets nothing else pass."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tpch.equality import difference, shown_difference

ORDER = ("place",)


def _table(*rows: tuple[Any, ...], value: pa.DataType | None = None) -> pa.Table:
    places, values = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table({"place": pa.array(places, pa.int64()), "value": pa.array(values, value or pa.string())})


ANSWER = _table((1, "a"), (2, "b"), (2, "c"), (3, "d"))


def test_a_result_equals_itself() -> None:
    assert difference(ANSWER, ANSWER, ORDER, None) is None


def test_rows_of_a_tie_may_stand_in_any_order() -> None:
    assert difference(_table((1, "a"), (2, "c"), (2, "b"), (3, "d")), ANSWER, ORDER, None) is None


def test_rows_that_order_by_tells_apart_may_not() -> None:
    ours = _table((2, "b"), (1, "a"), (2, "c"), (3, "d"))
    assert difference(ours, ANSWER, ORDER, None) == "rows 1 to 1 differ in 1 of 1 rows"
    assert difference(ours, ANSWER, (), None) is None


@pytest.mark.parametrize("chosen", ["b", "c"])
def test_any_row_of_a_tie_may_stand_last_where_limit_cuts_through_it(chosen: str) -> None:
    assert difference(_table((1, "a"), (2, chosen)), ANSWER, ORDER, 2) is None


def test_a_row_behind_the_tie_that_limit_cuts_may_not() -> None:
    assert difference(_table((1, "a"), (3, "d")), ANSWER, ORDER, 2) is not None


def test_a_row_counts_as_often_as_it_stands_there() -> None:
    doubled = _table((1, "a"), (2, "b"), (2, "b"), (3, "d"))
    assert difference(doubled, ANSWER, ORDER, None) == "rows 2 to 3 differ in 1 of 2 rows"


@pytest.mark.parametrize("rows", [3, 0])
def test_missing_rows_are_a_difference(rows: int) -> None:
    assert difference(ANSWER.slice(0, rows), ANSWER, ORDER, None) == f"{rows} rows, DuckDB has 4"


def test_other_names_are_a_difference() -> None:
    assert difference(ANSWER.rename_columns(["place", "worth"]), ANSWER, ORDER, None) is not None


def test_a_null_equals_nothing_but_a_null() -> None:
    answer = _table((1, None), value=pa.int64())
    assert difference(_table((1, None), value=pa.int64()), answer, ORDER, None) is None
    assert difference(_table((1, 0), value=pa.int64()), answer, ORDER, None) is not None
    assert difference(answer, _table((1, 0), value=pa.int64()), ORDER, None) is not None


@pytest.mark.parametrize(
    ("ours", "theirs", "equal"),
    [
        (1.0 + 9e-7, 1.0, True),
        (1.0 + 2e-6, 1.0, False),
        (Decimal("0.333333"), 1 / 3, True),
        (Decimal("0.3333"), 1 / 3, False),
        (1e-9, 0.0, False),
        (Decimal("2.50"), Decimal("2.5"), True),
        (Decimal("2.51"), Decimal("2.50"), False),
        (2.5, Decimal("2.5"), False),
        (3, Decimal(3), True),
        (3.0, 3, False),
        (True, 1, False),
    ],
)
def test_floats_are_close_where_duckdb_has_floats_and_all_else_is_exact(
    ours: Any, theirs: Any, equal: bool
) -> None:
    tables = [pa.table({"value": pa.array([each])}) for each in (ours, theirs)]
    assert (difference(tables[0], tables[1], (), None) is None) is equal


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=8), st.data())
def test_one_changed_value_never_passes(rows: list[tuple[int, str]], data: st.DataObject) -> None:
    rows.sort(key=lambda row: row[0])
    shuffled = sorted(data.draw(st.permutations(rows)), key=lambda row: row[0])
    answer = _table(*rows)
    assert difference(_table(*shuffled), answer, ORDER, None) is None
    at = data.draw(st.integers(0, len(rows) - 1))
    shuffled[at] = (shuffled[at][0], "z")
    assert difference(_table(*shuffled), answer, ORDER, None) is not None


def test_what_is_suppressed_agrees_with_anything_and_what_is_shown_does_not() -> None:
    assert shown_difference(_table((2, None), (1, "a")), ANSWER) is None
    assert shown_difference(_table((2, None), (2, None), (2, "c")), ANSWER) is not None
    assert shown_difference(_table((2, None), (1, "b")), ANSWER) is not None


def test_a_row_with_a_gap_leaves_the_full_row_its_partner() -> None:
    assert shown_difference(_table((2, None), (2, "b")), ANSWER) is None
