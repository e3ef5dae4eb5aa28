"""The report as tables for people: on the terminal with Rich, and in `benchmarks/README.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from benchmarks.report import Row, markdown
from benchmarks.tpch.measurement import GrowthRow, QueryRow

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def rich(self) -> Table:
        """Return it for the terminal."""
        table = Table(*self.headings, title=self.title)
        for line in self.lines:
            table.add_row(*map(escape, line))
        return table

    def markdown(self) -> list[str]:
        """Return it as lines of Markdown."""
        return [f"**{self.title}**", "", *markdown(self.headings, self.lines), ""]


def of_queries(rows: Sequence[QueryRow], total: Row, scale: str) -> Sheet:
    """Return the queries beside DuckDB and what ORQ published."""
    return Sheet(
        f"TPC-H at SF {scale}: all tables without a protected unit",
        (
            "query", "seconds", "goal", "holds", "equal", "technique", "rounds", "MiB sent", "rows in",
            "rows out", "declared s", "peak MiB", "DuckDB s", "limit s", "ORQ s at SF 1",
        ),
        (*(_query_line(row) for row in rows), _total_line(total)),
    )  # fmt: skip


def of_protected(rows: Sequence[QueryRow], scale: str) -> Sheet:
    """Return what becomes of the queries where customers are protected."""
    lines = (
        (
            row.name.removeprefix("protected_"),
            row.outcome,
            f"{row.rows_out}",
            f"{row.rows_missing}",
            f"{row.suppressed}",
            f"{row.value:.3g}",
            str(row.verified),
            "; ".join(row.reasons),
        )
        for row in rows
    )
    headings = ("query", "outcome", "rows", "rows not shown", "null cells", "seconds", "verified", "why")
    return Sheet(
        f"TPC-H at SF {scale}: customers are the protected unit, groups of at least 10",
        headings,
        tuple(lines),
    )


def of_growth(rows: Sequence[GrowthRow], scale: str, larger: str) -> Sheet:
    """Return how the queries grow."""
    lines = (
        (
            row.name.removeprefix("growth_"),
            f"{row.peers['smaller_scale']:.3g}",
            f"{row.value:.3g}",
            f"{row.times_s:.1f}",
            f"{row.times_bytes:.1f}" if row.times_bytes else "",
            f"{row.times_rows:.1f}",
            _mib(row.bytes),
            str(row.verified),
        )
        for row in rows
    )
    headings = (
        "query", f"s at SF {scale}", f"s at SF {larger}", "times s", "times bytes", "times rows",
        f"MiB at SF {larger}", "equal",
    )  # fmt: skip
    return Sheet(f"Growth from SF {scale} to SF {larger}", headings, tuple(lines))


def _query_line(row: QueryRow) -> tuple[str, ...]:
    orq = row.peers["orq_sf1"]
    return (
        row.name,
        f"{row.value:.3g}",
        row.goal or "",
        str(row.holds),
        str(row.verified),
        row.technique or row.outcome,
        f"{row.rounds:,}",
        _mib(row.bytes),
        f"{row.n:,}",
        f"{row.rows_out:,}",
        f"{row.declared_s:.3g}",
        f"{row.peak_mib:.0f}",
        f"{row.peers['duckdb']:.2g}",
        f"{row.limit:.2g}",
        "" if orq is None else f"{orq:g}",
    )


def _total_line(total: Row) -> tuple[str, ...]:
    duckdb_s = f"{total.peers['duckdb']:.2g}"
    holds = "" if total.holds is None else str(total.holds)
    head = (total.name, f"{total.value:.3g}", total.goal or "", holds, str(total.verified))
    return (*head, "", "", "", "", "", "", "", duckdb_s, "", "")


def _mib(size_bytes: int | None) -> str:
    return f"{(size_bytes or 0) / MIB:.1f}"
