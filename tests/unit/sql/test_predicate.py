# ruff: noqa: S608 - queries are what these tests make
from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from sandbox.sql.plan import plan
from tests.unit.sql.flights import Row, answer, catalogue, run, table

LARGEST = 2**63 - 1
ROWS: list[Row] = [
    ("AA", LARGEST, 1.0, None, None, None, True, "p"),
    ("BB", 0, 2.0, None, None, None, False, "q"),
    ("CC", 7, None, None, None, None, None, "r"),
]


def carriers(condition: str, rows: list[Row] = ROWS) -> list[str]:
    query = f"select carrier from ana.flights where {condition}"
    derived = plan(query, catalogue(), technique="auto", max_groups=100)
    names: list[str] = answer(derived, [table(rows)])["carrier"].to_pylist()
    return names


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("dep_delay + dep_delay >= 0", "Overflow"),
        ("dep_delay * dep_delay >= 0", "Overflow"),
        ("7 // dep_delay >= 0", "zero"),
        ("7 % dep_delay >= 0", "zero"),
    ],
)
def test_a_row_that_would_fail_does_not_pass_and_does_not_show(condition: str, error: str) -> None:
    with pytest.raises(duckdb.Error, match=error):
        run(f"select carrier from flights where {condition}", table(ROWS))  # the control: an oracle
    assert "CC" in carriers(condition)
    assert len(carriers(condition)) == 2


def test_comparisons_that_cannot_fail_are_left_to_the_engine() -> None:
    plain = plan(
        "select carrier from ana.flights where dep_delay > 3", catalogue(), technique="auto", max_groups=9
    )
    guarded = plan(
        "select carrier from ana.flights where fee > 3", catalogue(), technique="auto", max_groups=9
    )
    assert "TRY" not in plain.parts[0].sql
    assert "TRY" in guarded.parts[0].sql


def test_decimals_meet_integers_without_an_error() -> None:
    derived = plan(
        "select carrier from ana.flights where fee < dep_delay", catalogue(), technique="auto", max_groups=9
    )
    rows = pa.table(
        {
            **{name: table(ROWS)[name] for name in table(ROWS).column_names},
            "fee": pa.array([1, 1, 1], pa.decimal128(38, 38 - 2)),
        }
    )
    assert answer(derived, [rows])["carrier"].to_pylist() in (["AA", "CC"], ["CC"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("dep_delay = 7", ["CC"]),
        ("not dep_delay = 7", ["AA", "BB"]),
        ("dep_delay - (3 - 2) = 6", ["CC"]),
        ("(dep_delay - 3) - 2 = 2", ["CC"]),
        ("-(-dep_delay) = 7", ["CC"]),
        ("cancelled", ["AA"]),
        ("cancelled is not true", ["BB", "CC"]),
        ("cancelled is null", ["CC"]),
        ("cancelled = false", ["BB"]),
        ("carrier between 'AB' and 'BZ'", ["BB"]),
        ("distance is null or carrier = 'AA'", ["AA", "CC"]),
        ("false", []),
    ],
)
def test_predicates_mean_what_sql_says(condition: str, expected: list[str]) -> None:
    assert carriers(condition) == expected
