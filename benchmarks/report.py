"""The one shape of a benchmark: a table on the terminal, a JSON document, and an exit code."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

LIBRARIES = ("numpy", "duckdb", "grpcio", "cryptography", "sqlalchemy", "sqlglot", "pyarrow")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `value` is in the base unit; `verified` says that the timed runs gave right results.

    `goal` is text such as `<= 3`; `limit` is the physical limit in the same unit, measured in this run;
    `peers` and `ratio` map a peer to its value and to how many times better ours is.
    """

    name: str
    value: float
    unit: str
    goal: str | None
    verified: bool
    checked: str
    peers: Mapping[str, float] = field(default_factory=dict)
    ratio: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        sign, _, bound = self.goal.partition(" ")
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def publish(settings: Mapping[str, Any], rows: Sequence[Row], file: str | None) -> None:
    """Print the table, write the JSON, and exit non-zero where a row is not verified."""
    table = Table("row", "value", "unit", "goal", "holds", "verified", "peers", "limit")
    for row in rows:
        peers = ", ".join(f"{name} {value:.4g}" for name, value in row.peers.items())
        limit = "" if row.limit is None else f"{row.limit:.4g}"
        holds = "" if row.holds is None else str(row.holds)
        table.add_row(
            row.name, f"{row.value:.4g}", row.unit, row.goal or "", holds, str(row.verified), peers, limit
        )
    Console(stderr=file == "-").print(table)
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
