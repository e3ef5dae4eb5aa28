# ruff: noqa: S608 - queries are what these tests make
"""The last step, on released values alone: types, order, NULL, overflow, literals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.column_types import arrow_type
from records.errors import LimitExceeded, MalformedDocument
from sandbox.sql import placeholders
from sandbox.sql.finish import finish
from sandbox.sql.plan import Plan
from tests.unit.sql.flights import answer, derive, derive_written, table

INT64 = st.integers(-(2**63), 2**63 - 1)


def released(made: Plan, **named: Sequence[Any]) -> dict[str, pa.Array]:
    """Return the columns of the released table, in the order of the plan, which names them."""
    return {
        column.name: pa.array(values, arrow_type(column.type))
        for column, values in zip(made.columns, named.values(), strict=True)
    }


@settings(max_examples=12, deadline=None)
@given(INT64, st.integers(1, 2**40))
def test_an_average_of_shares_is_a_quotient_of_doubles(total: int, count: int) -> None:
    made = derive("select avg(dep_delay) as a from flights")
    result = finish(made, released(made, total=[total], count=[count]))
    assert result["a"].to_pylist() == [pytest.approx(float(Fraction(total, count)), rel=1e-15)]


@settings(max_examples=12, deadline=None)
@given(st.integers(-(10**36), 10**36))
def test_sums_of_decimals_are_exact(total: int) -> None:
    made = derive("select sum(fee) as s from flights")
    result = finish(made, released(made, total=[Decimal(f"{total}E-2")]))
    assert result["s"].type == pa.decimal128(38, 2)
    assert Fraction(result["s"].to_pylist()[0]) == Fraction(total, 100)


def test_suppressed_and_empty_cells_are_null_and_never_zero() -> None:
    made = derive("select sum(fee) as s, avg(fee) as a, count(fee) as n from flights")
    names = [column.name for column in made.columns]
    for values in ([None] * len(names), [Decimal(0), *[None] * (len(names) - 1)]):
        result = finish(made, released(made, **{name: [v] for name, v in zip(names, values, strict=True)}))
        assert result.to_pylist()[0]["n"] is None
        assert result.to_pylist()[0]["a"] is None


def order(clause: str, values: Sequence[int | None]) -> list[Any]:
    made = derive(f"select carrier, sum(dep_delay) as s from flights group by carrier order by {clause}")
    keys = [f"k{index}" for index in range(len(values))]
    found: list[Any] = finish(made, released(made, keys=keys, sums=values))["s"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("s", [1, 2, 3, None]),
        ("s desc", [3, 2, 1, None]),
        ("s nulls first", [None, 1, 2, 3]),
        ("s desc nulls first", [None, 3, 2, 1]),
        ("-s", [3, 2, 1, None]),
        ("2 desc", [3, 2, 1, None]),
    ],
)
def test_order_and_nulls_are_those_of_duckdb(clause: str, expected: list[Any]) -> None:
    assert order(clause, [2, None, 3, 1]) == expected


@pytest.mark.parametrize(("limit", "expected"), [(2, [3, 2]), (0, [])])
def test_a_limit_of_one_providers_groups_cuts_what_the_gate_has_released(
    limit: int, expected: list[int]
) -> None:
    made = derive(
        f"select carrier, sum(dep_delay) as s from ana.flights group by carrier order by s desc limit {limit}"
    )
    result = finish(made, released(made, keys=["a", "b", "c", "d"], sums=[2, None, 3, 1]))
    assert result["s"].to_pylist() == expected


def test_nan_is_the_greatest_number_as_in_duckdb() -> None:
    query = "select distance from ana.flights order by distance {} nulls first"
    values = (float("nan"), None, 1.0, float("inf"))
    rows = table([(None, None, value, None, None, None, None, "p") for value in values])
    for direction, expected in (("asc", "[None, 1.0, inf, nan]"), ("desc", "[None, nan, inf, 1.0]")):
        assert str(answer(query.format(direction), rows)["distance"].to_pylist()) == expected


def test_rows_without_order_by_do_not_show_whose_they_were() -> None:
    made = derive("select carrier, count(*) as n from flights group by carrier")
    one = finish(made, released(made, keys=["b", None, "a"], counts=[1, 2, 3]))
    other = finish(made, released(made, keys=["a", "b", None], counts=[3, 1, 2]))
    assert one == other
    assert one["carrier"].to_pylist() == ["a", "b", None]


def test_outputs_have_their_names_and_types() -> None:
    made = derive(
        "select carrier as C, count(*), sum(fee), avg(fee) as a, max(day), count(*) > 3 as many,"
        " min(moment) as m from ana.flights group by 1"
    )
    empty = {column.name: pa.array([], arrow_type(column.type)) for column in made.columns}
    result = finish(made, empty, ("3",)) if "$n" in made.finish else finish(made, empty)
    assert result.column_names == ["C", "count_star()", "sum(fee)", "a", "max(day)", "many", "m"]
    kinds = ["VARCHAR", "BIGINT", "DECIMAL(38,2)", "DOUBLE", "DATE", "BOOLEAN", "TIMESTAMP"]
    assert [output.type for output in made.outputs] == kinds
    assert [field.type for field in result.schema] == [arrow_type(kind) for kind in kinds]


@pytest.mark.parametrize("source", ["flights", "ana.flights"])
def test_literals_are_put_in_at_the_end(source: str) -> None:
    text, values = placeholders.extract(f"select sum(dep_delay) * 3 + 0.5 as s, 'x''; --' as t from {source}")
    made = derive(text)
    assert "x'" not in made.finish
    found = finish(made, released(made, sums=[7]), values)
    assert found.to_pylist() == [{"s": Decimal("21.5"), "t": "x'; --"}]
    for wrong in ((), values[:-1], ("3.5", *values[1:])):
        with pytest.raises(MalformedDocument):
            finish(made, released(made, sums=[7]), wrong)


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("sum(dep_delay) + sum(dep_delay)", 2**62 + 1),
        ("sum(dep_delay) * 9223372036854775", 2**62),
        ("cast(sum(dep_delay) as decimal(3, 2))", 1000),
    ],
)
def test_an_expression_that_fails_on_released_values_is_refused_by_a_constant_message(
    output: str, value: int
) -> None:
    made, values = derive_written(f"select {output} as s from flights")
    with pytest.raises(LimitExceeded, match="does not fit 64 bits, or an expression") as refused:
        finish(made, released(made, sums=[value]), values)
    assert str(value) not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_sum_at_a_provider_that_does_not_fit_64_bits_is_refused() -> None:
    rows = table([("A", 2**63 - 1, None, None, None, None, None, "p")] * 2)
    with pytest.raises(LimitExceeded, match="does not fit 64 bits"):
        answer("select sum(dep_delay) as s from ana.flights", rows)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.none() | st.integers(-9, 9), min_size=2, max_size=8), st.integers(0, 9))
def test_the_finish_of_rows_changes_no_row(values: list[int | None], bound: int) -> None:
    assume(any(value is not None for value in values))
    made = replace(derive("select dep_delay, person from ana.flights"), max_rows=bound + 1)
    rows = released(made, delays=values, persons=["p"] * len(values))
    found = finish(made, rows)["Dep_Delay"].to_pylist()
    assert sorted(found, key=str) == sorted(values, key=str)
