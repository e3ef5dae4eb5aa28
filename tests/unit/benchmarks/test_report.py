from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.engine.cluster import Calibration, Run
from benchmarks.engine.operations import OPERATIONS
from benchmarks.report import HEADINGS, Row, cells

ROW = Row("row", 5.0, "s", "<= 6", verified=True, checked="")


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (ROW, True),
        (replace(ROW, value=6.0), True),
        (replace(ROW, value=6.1), False),
        (replace(ROW, goal=">= 6"), False),
        (replace(ROW, verified=False), False),
        (replace(ROW, goal=None), None),
        (replace(ROW, ratio={"spu": 2.0}, ratio_goals={"spu": 2.0}), True),
        (replace(ROW, ratio={"spu": 1.9}, ratio_goals={"spu": 2.0}), False),
        (replace(ROW, ratio={"mpyc": 1.9}, ratio_goals={"spu": 2.0}), True),
        (replace(ROW, value=7.0, ratio={"spu": 9.0}, ratio_goals={"spu": 2.0}), False),
    ],
)
def test_a_row_holds_if_it_and_each_measured_ratio_meet_their_goals(row: Row, holds: bool | None) -> None:
    assert row.holds is holds


def test_a_row_has_a_cell_under_each_heading() -> None:
    row = replace(ROW, n=1 << 20, bytes=3, rounds=1, limit=2.5, ratio={"spu": 2.25}, ratio_goals={"spu": 2.0})
    shown = dict(zip(HEADINGS, cells(row), strict=True))
    assert shown["n"] == "1,048,576"
    assert shown["ratio"] == "spu 2.25 (>= 2)"
    assert shown["limit"] == "2.5"


def test_figures_are_in_the_unit_of_their_row() -> None:
    rate, milliseconds = OPERATIONS["multiply_u64"], OPERATIONS["matmul_256"]
    assert rate.value(0.5, 1000) == 2000
    assert milliseconds.value(0.5, 256) == 500
    assert rate.better(4.0, 2.0) == 2
    assert milliseconds.better(4.0, 2.0) == 0.5


def test_the_network_limit_is_rounds_and_bytes_alone() -> None:
    run = Run(seconds=9.0, cpu_s=1.0, rounds=4, bytes=1000, peak_mib=1.0, verified=True)
    assert Calibration(round_s=0.25, byte_s=0.002).limit_s(run) == 3.0
