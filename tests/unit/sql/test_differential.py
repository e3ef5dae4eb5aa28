# ruff: noqa: S608 - queries are what these tests make
"""Random data over random queries: plan, parts and finish against DuckDB on the union of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.sql.plan import plan
from tests.unit.sql.flights import PROVIDERS, Row, answer, catalogue, run, table

ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "AA", "a'b", "ü", ""]),
        st.none() | st.integers(-1000, 1000),
        # Multiples of 2^-10: sums are exact in doubles and in fixed point alike.
        st.none() | st.integers(-(2**20), 2**20).map(lambda value: value / 1024),
        st.none() | st.integers(-99999, 99999).map(lambda value: Decimal(value).scaleb(-2)),
        st.none() | st.dates(date(2020, 1, 1), date(2020, 1, 3)),
        st.sampled_from([None, datetime(2020, 1, 1, 1, 2, 3), datetime(1969, 1, 1, 0, 0, 0, 5)]),  # noqa: DTZ001
        st.sampled_from([None, True, False]),
        st.sampled_from(["p", "q", "r"]),
    ),
    max_size=12,
)
ATOMS = (
    "dep_delay > 3",
    "DEP_DELAY <> -5",
    "dep_delay between -10 and 500",
    "dep_delay * 2 - 1 < 77",
    "dep_delay // 7 = 0",
    "dep_delay % 2 = 1",
    "dep_delay / 4 >= distance",
    "fee < dep_delay",
    "fee >= 12.5",
    "fee in (1, 2.5, -3)",
    "distance < 1e2",
    "day = '2020-01-02'",
    "day > date '2020-01-01'",
    "moment <= '2020-01-01'",
    "moment < timestamp '2020-01-01 01:02:03.5'",
    "day <= moment",
    "cancelled",
    "cancelled is not true",
    "not cancelled",
    "carrier is null",
    "carrier like 'a%'",
    "carrier not like '_'",
    "carrier in ('AA', 'ü', null)",
    "carrier not in ('AA', 'ü')",
    "carrier < 'a'",
    "fee is not null",
    "true",
    "dep_delay = null",
    "-dep_delay > -(fee + 1)",
    "carrier = 'a''b'",
)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, st.sampled_from(["and", "or"]), inner)
    return pairs.map(lambda parts: f"({' '.join(parts)})") | inner.map(lambda part: f"not ({part})")


CONDITIONS = st.recursive(st.sampled_from(ATOMS), _combined, max_leaves=5)
KEYS = st.lists(
    st.sampled_from(["carrier", "day", "moment", "cancelled", "fee", "dep_delay"]), unique=True, max_size=2
)
JOINT = ("count(*)", "count(distance)", "sum(dep_delay)", "sum(fee)", "sum(distance)", "avg(dep_delay)",
         "avg(distance)", "count(carrier)")  # fmt: skip
LOCAL = (
    *JOINT,
    "min(carrier)",
    "max(moment)",
    "min(day)",
    "max(cancelled)",
    "max(fee)",
    "min(distance)",
)


@st.composite
def queries(draw: st.DrawFn, aggregates: Sequence[str]) -> str:
    keys = draw(KEYS)
    measures = draw(st.lists(st.sampled_from(aggregates), unique=True, min_size=1, max_size=4))
    items = [f"{key} as key{index}" for index, key in enumerate(keys)]
    items += [f"{measure} as value{index}" for index, measure in enumerate(measures)]
    where = draw(st.none() | CONDITIONS)
    total_order = draw(st.permutations(range(1, len(items) + 1)))
    sides = [draw(st.sampled_from(["", " desc", " nulls first", " desc nulls first"])) for _ in total_order]
    return (
        f"select {', '.join(items)} from flights"
        + (f" where {where}" if where else "")
        + (f" group by {', '.join(keys)}" if keys else "")
        + f" order by {', '.join(f'{place}{side}' for place, side in zip(total_order, sides, strict=True))}"
        + draw(st.sampled_from(["", " limit 3", " limit 0"]))
    )


def content(result: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in result.columns), strict=True))


@settings(max_examples=80, deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=3), queries(JOINT))
def test_sums_over_providers_equal_duckdb_on_the_union(parts: list[list[Row]], query: str) -> None:
    known = catalogue(providers=PROVIDERS[: len(parts)])
    derived = plan(query, known, technique="auto", max_groups=1000)
    result = answer(derived, [table(rows) for rows in parts])
    expected = run(query, table([row for rows in parts for row in rows]))
    assert derived.technique == "secret-sharing"
    assert content(result) == content(expected)


@settings(max_examples=80, deadline=None)
@given(ROWS, queries(LOCAL))
def test_aggregates_of_one_product_equal_duckdb(rows: list[Row], query: str) -> None:
    derived = plan(
        query.replace("from flights", "from bo.flights"), catalogue(), technique="auto", max_groups=1000
    )
    assert derived.technique == "local"
    assert content(answer(derived, [table(rows)])) == content(run(query, table(rows)))


@settings(max_examples=40, deadline=None)
@given(ROWS, CONDITIONS, st.integers(0, 6))
def test_rows_of_one_product_equal_duckdb(rows: list[Row], condition: str, limit: int) -> None:
    query = (
        "select day, carrier as c, dep_delay, distance, moment, cancelled, fee, person"
        f" from flights where {condition}"
        " order by dep_delay desc, distance nulls first, 2, 1, moment, cancelled, fee, person"
        f" limit {limit}"
    )
    derived = plan(
        query.replace("from flights", "from bo.flights"), catalogue(), technique="auto", max_groups=1000
    )
    assert content(answer(derived, [table(rows)])) == content(run(query, table(rows)))


@settings(max_examples=30, deadline=None)
@given(ROWS, ROWS)
def test_average_of_decimals_is_the_nearest_double(first: list[Row], second: list[Row]) -> None:
    # DuckDB rounds more than once here, and not always alike: 0.07 / 5 may be 0.014000000000000002.
    known = catalogue(providers=("ana", "bo"))
    derived = plan("select avg(fee) as a from flights", known, technique="auto", max_groups=1)
    fees = [Fraction(row[3]) for row in (*first, *second) if row[3] is not None]
    expected = float(sum(fees) / len(fees)) if fees else None
    assert content(answer(derived, [table(first), table(second)])) == [(expected,)]
    local = plan("select avg(fee) as a from ana.flights", known, technique="auto", max_groups=1)
    assert content(answer(local, [table([*first, *second])])) == [(pytest.approx(expected),)]


@pytest.mark.parametrize("function", ["var", "variance", "var_samp", "stddev", "stddev_samp"])
def test_variance_of_one_product_equals_duckdb(function: str) -> None:
    engine = {"var": "var_samp"}.get(function, function)
    rows = table(
        [(name, delay, None, None, None, None, None, "p") for name, delay in (("A", 1), ("A", 4), ("B", 9))]
    )
    query = "select carrier, {}(dep_delay) from {} group by carrier order by 1"
    derived = plan(query.format(function, "bo.flights"), catalogue(), technique="auto", max_groups=9)
    assert content(answer(derived, [rows])) == content(run(query.format(engine, "flights"), rows))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(2000, 5000))
def test_average_equals_duckdb_bit_for_bit(seed: int, count: int) -> None:
    delays = np.random.default_rng(seed).integers(-(2**40), 2**40, count).tolist()
    parts = [
        table([("A", delay, None, None, None, None, None, "p") for delay in delays[start::2]])
        for start in (0, 1)
    ]
    known = catalogue(providers=("ana", "bo"))
    derived = plan("select avg(dep_delay) as a from flights", known, technique="auto", max_groups=1)
    expected = run("select avg(dep_delay) as a from flights", pa.concat_tables(parts))
    assert content(answer(derived, parts)) == content(expected)
