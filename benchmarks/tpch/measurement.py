"""The rows of the report: each query timed and held against DuckDB, protected customers, and growth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from benchmarks.loopback import Loopback
from benchmarks.report import Row
from benchmarks.tpch import queries
from benchmarks.tpch.equality import difference, shown_difference
from benchmarks.tpch.market import Answer, Market, Outcome
from benchmarks.tpch.published import ORQ_SF1_S
from benchmarks.tpch.queries import Query

FAST = (1, 6)
GOAL_S, FAST_GOAL_S, TOTAL_GOAL_S = 60, 2, 480
GROWING = (1, 3, 4, 5, 6, 10, 12, 14, 19)


@dataclass(frozen=True, slots=True)
class QueryRow(Row):
    """A query: `value` is seconds from text to opened result; `n` the rows of the tables it reads.

    `rounds`, `bytes` and `declared_s` are the quote's; `phases` (seconds of the slowest node) and `peak_mib`
    (of the largest server) belong to the slowest run. `rows_missing` are those of DuckDB that are not shown.
    """

    outcome: Outcome = "failed"
    technique: str = ""
    rows_out: int = 0
    cells: int = 0
    suppressed: int = 0
    rows_missing: int = 0
    declared_s: float = 0.0
    peak_mib: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GrowthRow(Row):
    """A query at the larger scale: how many times the rows, seconds and bytes of the smaller."""

    times_rows: float = 0.0
    times_s: float = 0.0
    times_bytes: float = 0.0


class Oracle:
    """Plain DuckDB over all tables together."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, rows: Mapping[str, int]) -> None:
        """`rows` are the sizes of the products."""
        self._connection = connection
        self.rows = rows

    def seconds(self, query: Query, runs: int) -> float:
        """Return the median time of `runs` runs after one to warm up."""
        timed = []
        for _ in range(runs + 1):
            started = time.perf_counter()
            self._answer(query.text)
            timed.append(time.perf_counter() - started)
        return statistics.median(timed[1:])

    def unlimited(self, query: Query) -> pa.Table:
        """Return the answer to `query` without its LIMIT."""
        return self._answer(query.unlimited)

    def _answer(self, text: str) -> pa.Table:
        answer: pa.Table = self._connection.sql(text).to_arrow_table()
        return answer


def measure(market: Market, oracle: Oracle, query: Query, runs: int, loopback: Loopback) -> QueryRow:
    """Return the row of `query` over `runs` jobs, every result compared; the first failure ends them."""
    expected = oracle.unlimited(query)
    answers: list[Answer] = []
    fault: str | None = None
    while fault is None and len(answers) < runs:
        answers.append(market.ask(query))
        fault = _fault(answers[-1], expected, query)
    return _query_row(query, oracle, answers, fault, _checked(query, expected, len(answers), fault), loopback)


def _fault(answer: Answer, expected: pa.Table, query: Query) -> str | None:
    if answer.table is None:
        return f"{answer.outcome}: {'; '.join(answer.reasons)}"
    if answer.suppressed:
        return f"{answer.suppressed} cells are suppressed"
    return difference(answer.table, expected, query.order, query.limit)


def _checked(query: Query, expected: pa.Table, runs: int, fault: str | None) -> str:
    if fault is not None:
        return f"run {runs} is not DuckDB's result: {fault}"
    cells = _due(query, expected) * expected.num_columns
    return f"every result of {runs} jobs equals plain DuckDB, {cells} cells"


def _due(query: Query, unlimited: pa.Table) -> int:
    """Return how many rows DuckDB's result has."""
    rows: int = unlimited.num_rows
    return rows if query.limit is None else min(query.limit, rows)


def _query_row(
    query: Query,
    oracle: Oracle,
    answers: Sequence[Answer],
    fault: str | None,
    checked: str,
    loopback: Loopback,
) -> QueryRow:
    slowest = max(answers, key=lambda answer: answer.seconds)
    seconds = statistics.median(answer.seconds for answer in answers)
    duckdb_s = oracle.seconds(query, 5)
    table = answers[-1].table
    return QueryRow(
        query.name,
        seconds,
        "s",
        f"<= {FAST_GOAL_S if query.number in FAST else GOAL_S}",
        fault is None,
        checked,
        {"duckdb": duckdb_s, "orq_sf1": ORQ_SF1_S.get(query.number)},
        {"duckdb": duckdb_s / seconds} if fault is None else {},
        limit=duckdb_s + loopback.seconds(slowest.rounds, slowest.wire_bytes),
        n=sum(oracle.rows[product] for product in query.products),
        bytes=slowest.wire_bytes,
        rounds=slowest.rounds,
        outcome=answers[-1].outcome,
        technique=slowest.technique,
        rows_out=0 if table is None else table.num_rows,
        cells=0 if table is None else table.num_rows * table.num_columns,
        suppressed=answers[-1].suppressed,
        declared_s=slowest.declared_s,
        peak_mib=slowest.peak_mib,
        phases=slowest.phases,
        reasons=answers[-1].reasons,
    )


def total(rows: Sequence[QueryRow]) -> Row:
    """Return the sum of the queries' seconds; its goal is for all 22."""
    whole = len(rows) == len(queries.NUMBERS)
    return Row(
        "total_s",
        sum(row.value for row in rows),
        "s",
        f"<= {TOTAL_GOAL_S}" if whole else None,
        all(row.verified for row in rows),
        f"{sum(row.verified for row in rows)} of {len(rows)} queries equal plain DuckDB",
        {"duckdb": sum(row.peers["duckdb"] or 0.0 for row in rows)},
    )


def measure_protected(market: Market, oracle: Oracle, query: Query) -> QueryRow:
    """Return what becomes of `query` where customers are protected; what is shown must be DuckDB's.

    It is verified where the gate or a refusal kept everything back, and where every row shown agrees with one
    of DuckDB's in all cells that are shown. A job that failed is not verified.
    """
    answer, expected = market.ask(query), oracle.unlimited(query)
    fault = "the job failed" if answer.outcome == "failed" else None
    table = answer.table
    if table is not None:
        # Groups that the gate removed may let others in below LIMIT, so order and LIMIT do not count.
        fault = shown_difference(table, expected)
    rows_out = 0 if table is None else table.num_rows
    rows_missing = _due(query, expected) - rows_out
    shown = f"each of {rows_out} rows agrees with one of DuckDB's where it is shown"
    return QueryRow(
        f"protected_{query.name}",
        answer.seconds,
        "s",
        None,
        fault is None,
        fault or (shown if table is not None else "nothing was shown"),
        n=sum(oracle.rows[product] for product in query.products),
        bytes=answer.wire_bytes,
        rounds=answer.rounds,
        outcome="suppressed" if answer.outcome == "answered" and rows_missing else answer.outcome,
        technique=answer.technique,
        rows_out=rows_out,
        cells=0 if table is None else rows_out * table.num_columns,
        suppressed=answer.suppressed,
        rows_missing=rows_missing,
        declared_s=answer.declared_s,
        peak_mib=answer.peak_mib,
        phases=answer.phases,
        reasons=answer.reasons,
    )


def growth(small: QueryRow, large: QueryRow) -> GrowthRow:
    """Return how a query grew between two scales; it is verified where both results were."""
    assert small.n
    assert large.n
    return GrowthRow(
        f"growth_{large.name}",
        large.value,
        "s",
        None,
        small.verified and large.verified,
        large.checked if small.verified else f"at the smaller scale, {small.checked}",
        {"smaller_scale": small.value},
        n=large.n,
        bytes=large.bytes,
        rounds=large.rounds,
        limit=large.limit,
        times_rows=large.n / small.n,
        times_s=large.value / small.value,
        times_bytes=(large.bytes or 0) / small.bytes if small.bytes else 0.0,
    )
