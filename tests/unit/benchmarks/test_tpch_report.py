"""The rows of the TPC-H report: a total over what was measured, tables with a cell under each heading."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.tpch.measurement import QueryRow, growth, total
from benchmarks.tpch.published import ORQ_SF1_S
from benchmarks.tpch.queries import NUMBERS
from benchmarks.tpch.sheets import of_growth, of_protected, of_queries

ROW = QueryRow(
    "q06", 1.5, "s", "<= 2", True, "", {"duckdb": 0.01, "orq_sf1": ORQ_SF1_S[6]}, limit=0.02, n=100,
    bytes=1 << 20, rounds=7, outcome="answered", technique="secret-sharing",
)  # fmt: skip


def test_the_goal_of_the_total_is_for_all_queries() -> None:
    assert total([ROW]).goal is None
    whole = total([ROW] * len(NUMBERS))
    assert (whole.goal, whole.value, whole.holds) == ("<= 480", 33.0, True)


def test_one_wrong_query_makes_the_total_unverified() -> None:
    whole = total([ROW] * 21 + [replace(ROW, verified=False)])
    assert not whole.verified
    assert whole.holds is False
    assert whole.checked == "21 of 22 queries equal plain DuckDB"


def test_growth_is_how_many_times_the_smaller_scale() -> None:
    grown = growth(ROW, replace(ROW, value=6.0, n=1000, bytes=12 << 20))
    assert (grown.name, grown.times_s, grown.times_bytes, grown.times_rows) == ("growth_q06", 4, 12, 10)
    assert not growth(replace(ROW, verified=False), ROW).verified


def test_every_table_has_a_cell_under_each_heading() -> None:
    sheets = (
        of_queries([ROW, replace(ROW, peers={"duckdb": 0.01, "orq_sf1": None})], total([ROW]), "0.01"),
        of_protected([replace(ROW, reasons=("shop: unit: [wanted] a | b",))], "0.01"),
        of_growth([growth(ROW, ROW)], "0.01", "0.1"),
    )
    for sheet in sheets:
        assert all(len(line) == len(sheet.headings) for line in sheet.lines)
        assert sheet.rich().row_count == len(sheet.lines)
    assert r"[wanted] a \| b" in "\n".join(sheets[1].markdown())
