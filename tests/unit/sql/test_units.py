"""The counts that the gate rules on, computed by DuckDB from the SQL of the parts."""

from __future__ import annotations

from datetime import date

import pytest

from sandbox.sql.catalogue import Unit
from sandbox.sql.plan import plan
from tests.unit.sql.flights import Row, catalogue, run_part, table

DAY = date(2020, 1, 1)


def counts(unit: Unit, rows: list[tuple[int | None, str | None, bool]]) -> tuple[int, int]:
    """Return units, and units with a value, of one group of rows (delay, person, has a day)."""
    full: list[Row] = [
        ("A", delay, None, None, DAY if dated else None, None, None, person) for delay, person, dated in rows
    ]
    derived = plan(
        "select sum(dep_delay) as s from ana.flights",
        catalogue({"ana": unit, "bo": "row", "cy": "row"}),
        technique="auto",
        max_groups=1,
    )
    part = run_part(derived.parts[0], table(full)).to_pylist()[0]
    return part["u"], part["c0"]


ROWS = [(1, "p", True), (2, "p", True), (None, "q", True), (3, None, True), (None, None, False)]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("row", (5, 3)),
        (None, (5, 3)),
        (("person",), (2, 1)),
        (("person", "day"), (2, 1)),
    ],
)
def test_units_are_counted_distinctly_and_only_where_known(unit: Unit, expected: tuple[int, int]) -> None:
    assert counts(unit, ROWS) == expected


@pytest.mark.parametrize("unit", [("person",), ("person", "day")])
def test_rows_without_a_unit_never_pass_for_absent(unit: Unit) -> None:
    assert counts(unit, [(1, None, False), (2, None, False)]) == (1, 1)
    assert counts(unit, []) == (0, 0)
