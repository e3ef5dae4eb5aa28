from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox.cli import results
from tests.unit.cli.running import invoke, new_provider

TABLE = pa.table(
    {
        "city": ["Berlin", None],
        "people": pa.array([Decimal(7), Decimal(8)], pa.decimal128(38, 0)),
        "mean": [1.5, float("nan")],
        "day": [date(2026, 1, 31), None],
    }
)


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_provider(tmp_path_factory.mktemp("parties") / "alice")


@pytest.mark.parametrize(
    "options",
    [
        ("--purpose", "p"),
        ("--purpose", "p", "--max-price", "-1"),
        ("--purpose", "p", "--max-price", "1.5"),
        ("--purpose", "p", "--max-price", "1", "--out", "result.xlsx"),
        ("--purpose", "p", "--max-price", "1", "--out", "/no/such/folder/result.csv"),
        ("--purpose", "p", "--max-price", "1", "--detach", "--receipt", "r.json"),
        ("--purpose", "p", "--max-price", "1", "--technique", "magic"),
        ("--purpose", "p", "--max-price", "1", "--max-groups", "0"),
    ],
)
def test_a_command_that_could_not_end_well_is_not_begun(alice: Path, options: tuple[str, ...]) -> None:
    assert invoke("run", "SELECT 1", *options, "--as", alice).exit_code == 2


@pytest.mark.parametrize("option", ["--watch", "--cancel", "--out=r.csv", "--receipt=r.json"])
def test_one_job_is_named_by_its_id(alice: Path, option: str) -> None:
    assert invoke("jobs", option, "--as", alice).exit_code == 2


def test_rows_are_plain_json() -> None:
    assert json.loads(json.dumps(results.rows(TABLE), allow_nan=False)) == [
        {"city": "Berlin", "people": 7, "mean": 1.5, "day": "2026-01-31"},
        {"city": None, "people": 8, "mean": "nan", "day": None},
    ]


def test_a_result_is_written_as_its_ending_says(tmp_path: Path) -> None:
    results.write(TABLE, tmp_path / "r.parquet")
    assert pq.read_table(tmp_path / "r.parquet").num_rows == 2
    results.write(TABLE, tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text().startswith('"city","people","mean","day"')


def test_a_long_result_says_what_it_leaves_out() -> None:
    assert len(results.on_screen(TABLE)) == 1
    _, rest = results.on_screen(pa.table({"n": list(range(results.ROWS_SHOWN + 3))}))
    assert "3 more rows" in str(rest)
