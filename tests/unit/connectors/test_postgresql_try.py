"""TRY on PostgreSQL gives what DuckDB gives: the value, or NULL where a step would be an error.

DuckDB computes here without its optimiser, which may know a result without computing the step that fails.
"""

# ruff: noqa: S608 - the expressions are the subject

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from connectors.connector import Connector
from connectors.sources import open_source
from records.errors import InputError, NotPermitted, SourceUnreadable
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

MOST = (1 << 63) - 1
INTEGERS = (0, 1, -1, 7, -(1 << 31), (1 << 31) - 1, 3_037_000_500, MOST, -MOST - 1, None)
AMOUNTS = ("0.00", "1.00", "-0.05", "9999999999999.99", "-9999999999999.99", "1234.56", None)
WIDE = ("0", "1e33", "-1e33", "0.0005", "-1", "123456789012345678901234567890.1234", None)
ROWS = pa.table(
    {
        "a": pa.array(INTEGERS * 7, pa.int64()),
        "b": pa.array([value for value in INTEGERS for _ in range(7)], pa.int64()),
        "d": pa.array([value and Decimal(value) for value in AMOUNTS * 10], pa.decimal128(15, 2)),
        "w": pa.array([value and Decimal(value) for value in WIDE for _ in range(10)], pa.decimal128(38, 4)),
        "x": pa.array([0.5, -1.5, 1e300, None, float("inf"), float("nan"), 9.3e18] * 10),
        "t": pa.array(["1", "q"] * 35),
    }
)


@pytest.fixture(scope="module")
def source() -> Iterator[Connector]:
    with running_server() as uri:
        place = PostgresqlPlace(uri)
        place.write(ROWS)
        yield place.open()


def expected(expression: str) -> list[object]:
    with duckdb.connect() as plain:
        plain.execute("PRAGMA disable_optimizer")
        plain.from_arrow(ROWS).create("t")
        return [value for (value,) in plain.execute(f"SELECT {expression} AS v FROM t").fetchall()]


def fails_without_rows(expression: str) -> bool:
    """Say whether constants alone make it an error."""
    try:
        open_source(ROWS.slice(0, 0)).execute(f"SELECT {expression} AS v FROM t", "t")
    except InputError:
        return True
    return False


def answered(source: Connector, expression: str) -> list[object]:
    rows = source.execute(f"SELECT {expression} AS v FROM t", "t").to_pylist()
    return [row["v"] for row in rows]


@pytest.mark.parametrize(
    "expression",
    [
        "a + b", "a - b", "a * b", "a // b", "a % b", "-a", "abs(a)", "(a + b) - b", "a * b // b",
        "d * d", "d * (1 - d)", "d * (1 - d) * (1 + d)", "d + a", "w + d", "w * d", "w - 0.5", "-w", "w * a",
        "CAST(a AS INTEGER) + 1", "CAST(a AS SMALLINT)", "CAST(d AS BIGINT) * b", "CAST(d AS DECIMAL(5, 1))",
        "CAST(a AS DECIMAL(12, 3))", "CAST(a + b AS DOUBLE)", "(a + b) / 4", "round(d * d, 1)",
        "CASE WHEN b = 0 THEN 5 WHEN a // b > 2 THEN a + b ELSE d END",
        "CASE WHEN d > 0 THEN d * d * d ELSE a END", "greatest(a + b, 3)", "least(d * d, b)",
        "a + b > d", "a + b = 0 OR d > 1", "NOT (a - b < 5 AND d < 7)", "a * 2 BETWEEN b AND 100",
        "DATE '2020-01-31' + INTERVAL 1 MONTH > TIMESTAMP '2020-02-01' AND a + 1 > 0",
    ],
)  # fmt: skip
def test_value_or_null_is_that_of_duckdb(expression: str, source: Connector) -> None:
    assert answered(source, f"TRY({expression})") == expected(f"TRY({expression})")


NUMBERS = st.recursive(
    st.sampled_from(["a", "b", "d", "2", "0", "(-3)", "0.25", "9223372036854775807"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({' '.join(t)})"),
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["//", "%"]), st.sampled_from(["a", "b"])).map(
            lambda t: f"({' '.join(t)})"
        ),
        inner.map(lambda e: f"(-{e})"),
        st.tuples(inner, st.sampled_from(["BIGINT", "INTEGER", "DECIMAL(9, 1)", "DECIMAL(18, 2)"])).map(
            lambda t: f"CAST({t[0]} AS {t[1]})"
        ),
        st.tuples(inner, inner, inner, inner).map(
            lambda t: f"CASE WHEN {t[0]} > {t[1]} THEN {t[2]} ELSE {t[3]} END"
        ),
    ),
    max_leaves=6,
)


@given(expression=NUMBERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_arithmetic_is_that_of_duckdb_or_is_refused(expression: str, source: Connector) -> None:
    query = f"TRY({expression} + 0 * a)"
    assume(not fails_without_rows(query))
    try:
        found = answered(source, query)
    except NotPermitted:
        return
    assert found == expected(query)


@pytest.mark.parametrize(
    "expression",
    [
        "x * 2", "x + a", "CAST(x AS BIGINT)", "CAST(t AS BIGINT)", "a + b IN (1, 2)", "a + b IS NULL",
        "sqrt(a)", "coalesce(a + b, 0)", "d % 2", "TRY(a + b) + 1", "w > 0.00001 AND a + b > 0",
    ],
)  # fmt: skip
def test_what_is_not_said_exactly_is_refused(expression: str, source: Connector) -> None:
    with pytest.raises(NotPermitted):
        answered(source, f"TRY({expression})")


def test_without_try_the_same_is_an_error(source: Connector) -> None:
    with pytest.raises(SourceUnreadable, match="could not answer"):
        answered(source, "a + b")
