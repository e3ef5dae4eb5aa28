"""Made-up rows keep what the terms declare to everybody, and are made of nothing else."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc
import pytest

from connectors.column_types import arrow_type
from policies import terms as policy
from records.parties import ColumnRecord
from sandbox.buyer.twin import DEFAULT_ROWS, twin
from tests.unit.sandbox import registered

KINDS = {
    "open": "BOOLEAN",
    "visits": "BIGINT",
    "fee": "DECIMAL(10,2)",
    "share": "DECIMAL(2,2)",
    "total": "DECIMAL(38,4)",
    "weight": "DOUBLE",
    "day": "DATE",
    "seen": "TIMESTAMP",
    "name": "VARCHAR",
}
DECLARED: dict[str, Any] = {
    "rows": 300,
    "ranges": {
        "visits": [-3, 7],
        "fee": ["0.05", "0.10"],
        "share": ["-0.5", "0.5"],
        "total": ["0", "9999999999999999999999999999999999.9999"],
        "weight": ["1.5", "2.5"],
        "day": ["2024-02-28", "2024-03-01"],
        "seen": ["2024-01-01T00:00:00", "2024-01-01T00:00:02"],
    },
    "bytes": {"name": 1},
}
BOUNDS: dict[str, tuple[Any, Any]] = {
    "visits": (-3, 7),
    "fee": (Decimal("0.05"), Decimal("0.10")),
    "share": (Decimal("-0.5"), Decimal("0.5")),
    "total": (Decimal(0), Decimal("9999999999999999999999999999999999.9999")),
    "weight": (1.5, 2.5),
    "day": (date(2024, 2, 28), date(2024, 3, 1)),
    "seen": (datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 2)),  # noqa: DTZ001 - UTC, as every TIMESTAMP
}


def made(public: dict[str, Any], columns: dict[str, Any] | None = None, **options: int) -> Any:
    terms = policy.parse(
        {**registered.TERMS, "columns": columns or {}, "public": public}, product="alice.people"
    )
    kinds = tuple(ColumnRecord(name=name, type=kind) for name, kind in KINDS.items())
    return twin(registered.product("alice", "people", columns=kinds).document, terms, **options)


def test_a_twin_keeps_the_declared_ranges_and_reaches_all_of_a_small_one() -> None:
    rows = made(DECLARED)
    assert rows.num_rows == 300
    for name, (least, greatest) in BOUNDS.items():
        ends = pc.min_max(rows[name])
        assert least <= ends["min"].as_py() <= ends["max"].as_py() <= greatest, name
    assert set(rows["visits"].to_pylist()) == set(range(-3, 8))
    assert len(set(rows["fee"].to_pylist())) == 6
    assert len(set(rows["day"].to_pylist())) == len(set(rows["seen"].to_pylist())) == 3
    assert {len(name) for name in rows["name"].to_pylist()} == {1}


@pytest.mark.parametrize(
    ("declared", "asked", "given"), [(300, 1000, 300), (300, 50, 50), (None, 1000, 1000)]
)
def test_a_twin_has_no_more_rows_than_declared(declared: int | None, asked: int, given: int) -> None:
    assert made({} if declared is None else {"rows": declared}, rows=asked).num_rows == given


def test_a_twin_without_declarations_has_every_type_and_the_clamps_of_the_terms() -> None:
    clamped = {"visits": {"reveal": ["after-aggregate"], "functions": ["sum"], "clamp": [40, 45]}}
    rows = made({}, clamped)
    assert rows.num_rows == DEFAULT_ROWS
    assert {field.name: field.type for field in rows.schema} == {
        name: arrow_type(kind) for name, kind in KINDS.items()
    }
    assert set(rows["visits"].to_pylist()) == set(range(40, 46))
    assert max(rows["share"].to_pylist()) <= Decimal("0.99")


def test_a_range_without_a_whole_number_still_gives_rows() -> None:
    assert made({"ranges": {"visits": ["0.1", "0.2"]}}, rows=3).num_rows == 3


def test_equal_arguments_give_equal_rows_and_another_seed_gives_others() -> None:
    assert made(DECLARED).equals(made(DECLARED))
    assert not made(DECLARED).equals(made(DECLARED, seed=1))
