# ruff: noqa: S608 - queries are what these tests make
"""Conditions over rows that would fail: they are NULL there, and no error tells of a row."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from connectors.sources import open_source
from records.errors import SourceUnreadable
from sandbox.sql import placeholders
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source, Unit
from sandbox.sql.planner import plan
from tests.unit.sql.flights import Row, answer, derive_written, part_of, run, table

LARGEST = 2**63 - 1
ROWS: list[Row] = [
    ("AA", LARGEST, 1.0, Decimal("2.50"), None, None, True, "p"),
    ("BB", 0, 2.0, None, None, None, False, "q"),
    ("CC", 7, None, None, None, None, None, "7"),
]


def carriers(condition: str) -> list[str]:
    found: list[str] = answer(
        f"select carrier from ana.flights where {condition} order by 1", table(ROWS)
    )["carrier"].to_pylist()  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("condition", "error", "expected"),
    [
        ("dep_delay + dep_delay >= 0", "Overflow", ["BB", "CC"]),
        ("dep_delay * dep_delay >= 0", "Overflow", ["BB", "CC"]),
        ("cast(person as bigint) = 7", "Could not convert", ["CC"]),
        ("cast(person as date) is null", "format", []),
        ("not (dep_delay + dep_delay < 0)", "Overflow", ["BB", "CC"]),
        ("case when dep_delay + dep_delay > 0 then true else false end", "Overflow", ["CC"]),
    ],
)
def test_a_row_that_would_fail_does_not_pass_and_does_not_show(
    condition: str, error: str, expected: list[str]
) -> None:
    with pytest.raises(duckdb.Error, match=error):
        run(f"select carrier from flights where {condition}", table(ROWS))  # the control: an oracle
    assert carriers(condition) == expected


@pytest.mark.parametrize(
    "query",
    [
        "select carrier, dep_delay + dep_delay as x from ana.flights",
        "select carrier from ana.flights order by dep_delay + dep_delay, carrier",
        "select dep_delay + dep_delay as k, count(*) as n from ana.flights group by 1",
        "select sum(dep_delay + dep_delay) as s from ana.flights",
        "select max(cast(person as bigint)) as s from ana.flights",
        "select count(*) filter (where dep_delay + dep_delay > 0) as s from ana.flights",
        "select carrier from ana.flights group by carrier having max(dep_delay + dep_delay) > 0",
        "select carrier, row_number() over (order by dep_delay + dep_delay, carrier) as n from ana.flights",
        "select a.carrier from ana.flights a join ana.flights b on a.dep_delay + b.dep_delay = 14",
        "select carrier from ana.flights where dep_delay in (select dep_delay + dep_delay from ana.flights)",
        "select q.x from (select dep_delay + dep_delay as x from ana.flights) as q",
    ],
)
def test_no_clause_fails_on_a_row(query: str) -> None:
    with pytest.raises(duckdb.Error):
        run(query.replace("ana.flights", "flights"), table(ROWS))  # the control
    units: dict[str, Unit] = {"ana": None, "bo": None, "cy": None}
    assert part_of(query, table(ROWS), units).num_rows >= 1


@pytest.mark.parametrize("condition", ["dep_delay > 3", "carrier like 'A%'", "fee > 3", "day is null"])
def test_comparisons_that_cannot_fail_are_left_to_the_engine(condition: str) -> None:
    plain, _ = derive_written(f"select carrier from ana.flights where {condition}")
    guarded, _ = derive_written(f"select carrier from ana.flights where {condition} and dep_delay + 1 > 2")
    assert "TRY" not in plain.parts[0].sql
    assert "TRY" in guarded.parts[0].sql


def test_decimals_meet_integers_without_an_error() -> None:
    amounts = [2**63 - 1, 2, None]
    rows = pa.table(
        {"fee": pa.array([1, 1, 1], pa.decimal128(38, 36)), "amount": pa.array(amounts, pa.int64())}
    )
    product = ProductFacts("ana.fees", "ana", (("fee", "DECIMAL(38,36)"), ("amount", "BIGINT")), None)
    text, literals = placeholders.extract("select amount from ana.fees where fee < amount")
    made = plan(
        text, Catalogue((Source("ana.fees", (product,)),)), technique="auto", max_rows=9, values=literals
    )
    with closing(open_source(rows)) as source:
        # The engine has no DECIMAL for both: where one does not fit, the comparison is NULL.
        assert source.execute(made.parts[0].sql, "fees").column("k0").to_pylist() == [2]
        with pytest.raises(SourceUnreadable):  # the control
            source.execute('SELECT "amount" FROM "fees" WHERE "fee" < "amount"', "fees")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("dep_delay = 7", ["CC"]),
        ("not dep_delay = 7", ["AA", "BB"]),
        ("dep_delay - (3 - 2) = 6", ["CC"]),
        ("(dep_delay - 3) - 2 = 2", ["CC"]),
        ("-(-dep_delay) = 7", ["CC"]),
        ("7 // dep_delay = 1", ["CC"]),
        ("7 % dep_delay = 0", ["CC"]),
        ("cancelled", ["AA"]),
        ("not cancelled", ["BB"]),
        ("cancelled is not true", ["BB", "CC"]),
        ("cancelled is null", ["CC"]),
        ("cancelled = false", ["BB"]),
        ("cancelled is distinct from true", ["BB", "CC"]),
        ("carrier between 'AB' and 'BZ'", ["BB"]),
        ("distance is null or carrier = 'AA'", ["AA", "CC"]),
        ("dep_delay not in (0, null)", []),
        ("fee <> 2.5", []),
        ("fee = 2.5", ["AA"]),
        ("false", []),
    ],
)
def test_predicates_mean_what_sql_says(condition: str, expected: list[str]) -> None:
    assert carriers(condition) == expected
