"""All 22 queries of TPC-H over three providers, every party a process of its own, beside plain DuckDB.

Each result is compared with DuckDB's over all tables together. A second table shows what becomes of the same
queries where customers are the protected unit; a third how time and bytes grow with the data.

    python -m benchmarks.tpch --sf 0.01 --json FILE [--queries 1,6] [--runs 5] [--growth-sf 0.1]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from benchmarks import loopback
from benchmarks.report import Row, facts, publish, write_part
from benchmarks.tpch import data, queries, sheets
from benchmarks.tpch.market import Market
from benchmarks.tpch.measurement import (
    GROWING,
    GrowthRow,
    Oracle,
    QueryRow,
    growth,
    measure,
    measure_protected,
    total,
)
from benchmarks.tpch.published import ORQ_SETTING

WARM_UP = 12
"""A joint query that runs once before all others: then connections are open and kernels compiled."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sf", default="0.01", help="scale factor, at least 0.01")
    parser.add_argument("--json", default=None, help="write the report here; `-` is stdout")
    parser.add_argument("--queries", type=_numbers, default=tuple(queries.NUMBERS), help="such as 1,6,22")
    parser.add_argument("--runs", type=int, default=5, help="timed jobs of each query")
    parser.add_argument("--second-table", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--growth-sf", default=None, help="compare with this larger scale factor")
    parser.add_argument("--growth-runs", type=int, default=1, help="timed jobs of each query at that scale")
    parser.add_argument("--markdown", action="store_true", help="write the tables into benchmarks/README.md")
    arguments = parser.parse_args()
    run = _Run(Console(stderr=True))
    measured = run.measured(arguments.sf, arguments.queries, arguments.runs)
    whole = total(measured)
    tables = [sheets.of_queries(measured, whole, arguments.sf)]
    rows: list[Row] = [*measured, whole]
    if arguments.second_table:
        protected = run.protected(arguments.sf, arguments.queries)
        tables.append(sheets.of_protected(protected, arguments.sf))
        rows += protected
    if arguments.growth_sf:
        grown = run.grown(arguments.growth_sf, measured, arguments.growth_runs)
        tables.append(sheets.of_growth(grown, arguments.sf, arguments.growth_sf))
        rows += grown
    settings = {
        "scale_factor": arguments.sf,
        "runs": arguments.runs,
        "growth_runs": arguments.growth_runs if arguments.growth_sf else 0,
        "value": "median of the jobs, each from its text to the opened result",
        "transport": "mTLS on loopback; exchange, notary and three providers are processes of their own",
        "peers": {"duckdb": "in one process, all tables in memory, 2 threads", "orq": ORQ_SETTING},
    }
    if arguments.markdown:
        lines = [line for table in tables for line in table.markdown()]
        write_part("tpch", [*facts(settings), "", *lines])
    publish(settings, rows, arguments.json, [table.rich() for table in tables])


class _Run:
    """The measuring itself, telling on `console` what it is at."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._loopback = loopback.measure()

    def measured(self, scale: str, numbers: Sequence[int], runs: int) -> list[QueryRow]:
        """Time queries at a scale."""
        with self._market(scale) as (market, oracle):
            market.ask(queries.query(WARM_UP, scale))
            rows = []
            for number in numbers:
                query = queries.query(number, scale)
                rows.append(measure(market, oracle, query, runs, self._loopback))
                self._say(rows[-1])
            return rows

    def protected(self, scale: str, numbers: Sequence[int]) -> list[QueryRow]:
        """Run each query once with customers protected."""
        with self._market(scale, protect_customers=True) as (market, oracle):
            rows = []
            for number in numbers:
                rows.append(measure_protected(market, oracle, queries.query(number, scale)))
                self._say(rows[-1])
            return rows

    def grown(self, larger: str, small: Sequence[QueryRow], runs: int) -> list[GrowthRow]:
        """Time those of the queries that are to grow at a larger scale."""
        by_name = {row.name: row for row in small}
        numbers = [number for number in GROWING if f"q{number:02}" in by_name]
        return [growth(by_name[row.name], row) for row in self.measured(larger, numbers, runs)]

    @contextmanager
    def _market(self, scale: str, *, protect_customers: bool = False) -> Iterator[tuple[Market, Oracle]]:
        source = data.generate(scale)
        oracle = Oracle(data.connect(source), data.row_counts(source))
        with (
            tempfile.TemporaryDirectory(prefix="usufruct-tpch-") as folder,
            Market(Path(folder), source, scale, protect_customers=protect_customers) as market,
        ):
            yield market, oracle

    def _say(self, row: QueryRow) -> None:
        text = f"{row.name}: {row.outcome} in {row.value:.2f} s; {row.checked}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if not set(numbers) <= set(queries.NUMBERS):
        raise argparse.ArgumentTypeError("queries have the numbers 1 to 22")
    return numbers


if __name__ == "__main__":
    main()
