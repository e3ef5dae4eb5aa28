# ruff: noqa: S608 - queries are what these tests make
from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.errors import LimitExceeded
from sandbox.sql.finish import finish
from sandbox.sql.partials import encode_partials, require_rows
from sandbox.sql.plan import Plan, plan
from tests.unit.sql.flights import answer, catalogue, run_part, table

INT64 = st.integers(-(2**63), 2**63 - 1)


def derive(query: str, max_groups: int = 100) -> Plan:
    return plan(query, catalogue(providers=("ana", "bo")), technique="auto", max_groups=max_groups)


def sums(**columns: Sequence[int | None]) -> dict[str, pa.Array]:
    return {name: pa.array(values, pa.int64()) for name, values in columns.items()}


@given(INT64, st.integers(1, 2**40))
def test_average_is_the_nearest_double(total: int, count: int) -> None:
    result = finish(derive("select avg(dep_delay) as a from flights"), [], sums(m0=[total], m1=[count]))
    assert result["a"].to_pylist() == [float(Fraction(total, count))]


@given(INT64, st.integers(1, 2**40))
def test_average_of_scaled_values_is_rounded_once(total: int, count: int) -> None:
    for column, scale in (("fee", 100), ("distance", 1 << 20)):
        result = finish(derive(f"select avg({column}) as a from flights"), [], sums(m0=[total], m1=[count]))
        assert result["a"].to_pylist() == [float(Fraction(total, count * scale))]


@given(INT64)
def test_sums_of_decimals_are_exact(total: int) -> None:
    result = finish(derive("select sum(fee) as s from flights"), [], sums(m0=[total]))
    assert result["s"].type == pa.decimal128(38, 2)
    assert Fraction(result["s"].to_pylist()[0]) == Fraction(total, 100)


def test_suppressed_and_empty_cells_are_null_and_never_zero() -> None:
    derived = derive("select sum(fee) as s, avg(fee) as a, count(fee) as n from flights")
    assert finish(derived, [], sums(m0=[None], m1=[None])).to_pylist() == [{"s": None, "a": None, "n": None}]
    assert finish(derived, [], sums(m0=[None], m1=[0])).to_pylist() == [{"s": None, "a": None, "n": 0}]
    assert finish(derived, [], sums(m0=[0], m1=[2])).to_pylist() == [{"s": Decimal("0.00"), "a": 0.0, "n": 2}]


def order(clause: str, values: Sequence[int | None]) -> list[Any]:
    derived = derive(f"select carrier, sum(dep_delay) as s from flights group by carrier order by {clause}")
    keys = [pa.array([f"k{index}" for index in range(len(values))])]
    result: list[Any] = finish(derived, keys, sums(m0=values))["s"].to_pylist()
    return result


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("s", [1, 2, 3, None]),
        ("s desc", [3, 2, 1, None]),
        ("s nulls first", [None, 1, 2, 3]),
        ("s desc nulls first", [None, 3, 2, 1]),
        ("s desc limit 2", [3, 2]),
        ("s limit 0", []),
    ],
)
def test_order_and_nulls_are_those_of_duckdb(clause: str, expected: list[Any]) -> None:
    assert order(clause, [2, None, 3, 1]) == expected


def test_nan_is_the_greatest_number_as_in_duckdb() -> None:
    query = "select distance from ana.flights order by distance {} nulls first"
    rows = table(
        [
            (None, None, value, None, None, None, None, "p")
            for value in (float("nan"), None, 1.0, float("inf"))
        ]
    )
    for direction, expected in (("asc", "[None, 1.0, inf, nan]"), ("desc", "[None, nan, inf, 1.0]")):
        assert str(answer(derive(query.format(direction)), [rows])["distance"].to_pylist()) == expected


def test_rows_without_order_by_do_not_show_whose_they_were() -> None:
    derived = derive("select carrier, count(*) as n from flights group by carrier")
    one = finish(derived, [pa.array(["b", None, "a"])], sums(m0=[1, 2, 3]))
    other = finish(derived, [pa.array(["a", "b", None])], sums(m0=[3, 1, 2]))
    assert one == other
    assert one["carrier"].to_pylist() == ["a", "b", None]


def test_a_local_sum_beyond_64_bits_is_refused_by_a_constant_message() -> None:
    rows = table([("A", 2**63 - 1, None, None, None, None, None, "p")] * 2)
    with pytest.raises(LimitExceeded, match="does not fit 64 bits"):
        answer(derive("select sum(dep_delay) from ana.flights"), [rows])


def test_partial_sums_are_bounded_so_that_the_total_cannot_wrap() -> None:
    derived = derive("select sum(dep_delay) as s from flights")
    bound = (2**63 - 1) // 2
    for value, fits in ((bound, True), (-bound, True), (bound + 1, False), (-bound - 1, False)):
        part = run_part(derived.parts[0], table([("A", value, None, None, None, None, None, "p")]))
        if fits:
            assert encode_partials(derived, part)["m0"].tolist() == [value]
            continue
        with pytest.raises(LimitExceeded, match="does not fit 64 bits"):
            encode_partials(derived, part)


def test_a_sum_beyond_128_bits_of_fixed_point_is_no_partial() -> None:
    derived = derive("select sum(distance) as s from flights")
    part = run_part(derived.parts[0], table([("A", None, 2.0**50, None, None, None, None, "p")]))
    with pytest.raises(LimitExceeded):
        encode_partials(derived, part)


def test_partials_are_units_measures_and_supports() -> None:
    derived = derive("select sum(fee) as s, count(*) as n from flights")
    rows = [
        (None, None, None, fee, None, None, None, "p") for fee in (Decimal("1.25"), None, Decimal("-0.05"))
    ]
    partials = encode_partials(derived, run_part(derived.parts[0], table(rows)))
    assert {name: values.tolist() for name, values in partials.items()} == {
        "u": [3],
        "m0": [120],
        "m1": [3],
        "c0": [2],
    }
    assert all(values.dtype == np.int64 for values in partials.values())


def test_a_sum_over_no_values_enters_as_zero_with_no_support() -> None:
    derived = derive("select sum(fee) as s from flights")
    partials = encode_partials(derived, run_part(derived.parts[0], table([])))
    assert {name: values.tolist() for name, values in partials.items()} == {"u": [0], "m0": [0], "c0": [0]}


def test_an_excess_of_groups_is_refused() -> None:
    derived = derive("select carrier, count(*) as n from flights group by carrier", max_groups=2)
    rows = [(name, 1, None, None, None, None, None, "p") for name in "abcd"]
    enough, excess = (run_part(derived.parts[0], table(rows[:count])) for count in (2, 4))
    require_rows(derived, enough)
    assert excess.num_rows == 3
    with pytest.raises(LimitExceeded, match="more than 2 rows"):
        encode_partials(derived, excess)
