"""What the servers of a deployment say of themselves: where an attempt's time went, and their memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.cli.deployment import Deployment

PHASES = ("local_sql_ms", "protocol_ms", "wire_ms", "seal_ms")


def log_sizes(deployment: Deployment) -> dict[str, int]:
    """Return how long each server's log is now: a mark to read from later."""
    return {name: _log(deployment, name).stat().st_size for name in deployment.servers}


def phases(deployment: Deployment, marks: Mapping[str, int]) -> dict[str, float]:
    """Return where the time since `marks` went, in seconds: the slowest node of each phase."""
    spent = dict.fromkeys(PHASES, 0.0)
    ledger: list[float] = []
    for record in _records(deployment, marks):
        if record.get("message") == "attempt ended":
            for phase in PHASES:
                spent[phase] = max(spent[phase], float(record.get(phase, 0)))
        if record.get("message") == "job advanced":
            ledger.append(float(record["writing_ms"]))
    # `protocol` is wall time of the gate; the part of it spent waiting for peers is the wire's.
    return {
        "local_sql": spent["local_sql_ms"] / 1000,
        "shares": max(0.0, spent["protocol_ms"] - spent["wire_ms"]) / 1000 + spent["seal_ms"] / 1000,
        "wire": min(spent["wire_ms"], spent["protocol_ms"]) / 1000,
        "ledger": (max(ledger) - min(ledger)) / 1000 if ledger else 0.0,
    }


def peaks_mib(deployment: Deployment) -> dict[str, float]:
    """Return the peak of resident memory of each running server (VmHWM), in MiB."""
    return {name: _peak_mib(pid) for name, pid in deployment.pids.items()}


def forget_peaks(deployment: Deployment) -> None:
    """Let the peaks begin anew from what each server holds now (proc(5), clear_refs)."""
    for pid in deployment.pids.values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _log(deployment: Deployment, name: str) -> Path:
    return deployment.folder / name / "server.log"


def _records(deployment: Deployment, marks: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for name, mark in marks.items():
        with _log(deployment, name).open("rb") as file:
            file.seek(mark)
            for line in file.read().splitlines():
                yield _record(line)


def _record(line: bytes) -> dict[str, Any]:
    try:
        record: Any = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
