"""The one shape of a benchmark: a table on the terminal, a JSON document, and an exit code."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

README = Path(__file__).parent / "README.md"
LIBRARIES = ("numpy", "duckdb", "grpcio", "cryptography", "sqlalchemy", "sqlglot", "pyarrow")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `value` is in the base unit; `verified` says that the timed runs gave right results.

    `goal` is text such as `<= 3`; `limit` is the physical limit in the same unit, measured in this run;
    `peers`, `ratio` and `ratio_goals` map a peer to its value (None: it never published one), to how many
    times better ours is, and to how many times better it should be. `n`, `bytes` (all parties together) and
    `rounds` are of one run.
    """

    name: str
    value: float
    unit: str
    goal: str | None
    verified: bool
    checked: str
    peers: Mapping[str, float | None] = field(default_factory=dict)
    ratio: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None
    n: int | None = None
    bytes: int | None = None
    rounds: int | None = None
    ratio_goals: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met, and that beside each peer with a ratio; None where there is no goal.

        A figure that is not verified meets no goal.
        """
        if self.goal is None:
            return None
        sign, _, bound = self.goal.partition(" ")
        met = self.value <= float(bound) if sign == "<=" else self.value >= float(bound)
        return (
            self.verified
            and met
            and all(ratio >= self.ratio_goals.get(peer, 0) for peer, ratio in self.ratio.items())
        )


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


TABLE_WIDTH = 180
HEADINGS = (
    "row",
    "value",
    "unit",
    "goal",
    "holds",
    "verified",
    "peers",
    "ratio",
    "limit",
    "n",
    "rounds",
    "bytes",
)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as text, under `HEADINGS`."""

    def count(number: int | None) -> str:
        return "" if number is None else f"{number:,}"

    return (
        row.name,
        f"{row.value:.4g}",
        row.unit,
        row.goal or "",
        "" if row.holds is None else str(row.holds),
        str(row.verified),
        ", ".join(f"{name} {value:.4g}" for name, value in row.peers.items() if value is not None),
        ", ".join(f"{name} {value:.3g}{_wanted(row, name)}" for name, value in row.ratio.items()),
        "" if row.limit is None else f"{row.limit:.4g}",
        count(row.n),
        count(row.rounds),
        count(row.bytes),
    )


def _wanted(row: Row, peer: str) -> str:
    return f" (>= {row.ratio_goals[peer]:g})" if peer in row.ratio_goals else ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def publish(
    settings: Mapping[str, Any], rows: Sequence[Row], file: str | None, tables: Sequence[Table] = ()
) -> None:
    """Print `tables`, or one of all rows; write the JSON; exit non-zero where a row is not verified."""
    console = Console(stderr=file == "-")
    console.width = max(console.width, TABLE_WIDTH)
    for table in tables or [_table(rows)]:
        console.print(table)
    document = {
        "machine": machine(),
        "settings": dict(settings),
        "rows": [{**asdict(row), "holds": row.holds} for row in rows],
    }
    text = json.dumps(document, indent=2)
    if file == "-":
        print(text)
    elif file is not None:
        Path(file).write_text(text)
    sys.exit(0 if all(row.verified for row in rows) else 1)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*HEADINGS)
    for row in rows:
        table.add_row(*cells(row))
    return table


def render(settings: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write machine, settings and table of the engine into `benchmarks/README.md`."""
    notes = [f"- `{row.name}`: {row.checked}" for row in rows]
    write_part("measured", [*facts(settings), "", *markdown(HEADINGS, map(cells, rows)), "", *notes])


def facts(settings: Mapping[str, Any]) -> list[str]:
    """Return machine and settings as lines of Markdown."""
    return [f"- {name}: {_text(value)}" for name, value in {**machine(), **settings}.items()]


def markdown(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Return a table as lines of Markdown."""
    rows = (headings, ["---"] * len(headings), *lines)
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in escaped]


def write_part(mark: str, lines: Sequence[str]) -> None:
    """Write `lines` into `benchmarks/README.md`, between `<!-- begin: MARK -->` and `<!-- end: MARK -->`."""
    begin, end = f"<!-- begin: {mark} -->", f"<!-- end: {mark} -->"
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(before + begin + "\n".join(["", *lines, ""]) + end + after)


def _text(value: Any) -> str:
    return (
        ", ".join(f"{key} {_text(each)}" for key, each in value.items())
        if isinstance(value, dict)
        else str(value)
    )
