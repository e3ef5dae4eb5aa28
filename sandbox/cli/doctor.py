"""`usufruct doctor`: what this machine offers, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from sandbox.cli import output

CPU_FLAGS = ("aes", "vaes", "pclmulqdq", "sha_ni", "avx2", "avx512f", "bmi2")
ARM_FLAGS = ("aes", "pmull", "sha2", "asimd")
LIBRARIES = (
    "cryptography",
    "duckdb",
    "grpcio",
    "numpy",
    "pandas",
    "protobuf",
    "pyarrow",
    "pydantic",
    "rfc8785",
    "sqlalchemy",
    "sqlglot",
    "typer",
)
LEAST_PYTHON = (3, 11)
NOT_BUILT = "program jobs are not part of this version"
BACKENDS = {"embedded": None, "docker": "docker", "docker-runsc": "runsc", "kubernetes": "kubectl"}
"""Isolation backends, with the command that each needs."""


def doctor() -> None:
    """Report what this machine offers; exit code 1 where something that is needed is missing."""
    checks = [
        _python(),
        _post_quantum_sealing(),
        _folder(Path.cwd()),
        _folder(Path(tempfile.gettempdir())),
        _loopback(),
    ]
    document: dict[str, Any] = {
        "machine": _machine(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "checks": checks,
        "backends": {name: _backend(program) for name, program in BACKENDS.items()},
        "probes": [],
        "inert": [],
    }
    shown = [(item["name"], "ok" if item["holds"] else "MISSING", item["found"]) for item in checks]
    backends = [(name, item["state"], item["reason"]) for name, item in document["backends"].items()]
    machine = [(name, "", value) for name, value in document["machine"].items()]
    libraries = [(name, "", version) for name, version in document["libraries"].items()]
    output.answer(
        document, output.table(("what", "state", "found"), [*machine, *libraries, *shown, *backends])
    )
    if not all(item["holds"] for item in checks):
        raise typer.Exit(1)


def _machine() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_flags": _cpu_flags(),
        "python": platform.python_version(),
    }


def _cpu_flags() -> list[str]:
    """Return which of the flags that speed up our cryptography the processor has; empty if not told."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    present = set(lines[0].partition(":")[2].split()) if lines else set()
    return [flag for flag in dict.fromkeys((*CPU_FLAGS, *ARM_FLAGS)) if flag in present]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _python() -> dict[str, Any]:
    found = platform.python_version()
    return _checked(
        "python", found, holds=tuple(map(int, platform.python_version_tuple()[:2])) >= LEAST_PYTHON
    )


def _post_quantum_sealing() -> dict[str, Any]:
    """Tell whether results can be sealed (HPKE with MLKEM768-X25519): it depends on how OpenSSL was built."""
    from cryptography.exceptions import UnsupportedAlgorithm

    from sandbox.hpke import SealingKey

    try:
        SealingKey.generate()
    except UnsupportedAlgorithm:
        return _checked("post-quantum sealing", "no MLKEM768-X25519 in this OpenSSL", holds=False)
    return _checked("post-quantum sealing", "HPKE MLKEM768-X25519", holds=True)


def _folder(path: Path) -> dict[str, Any]:
    try:
        with tempfile.TemporaryFile(dir=path):
            holds = True
    except OSError:
        holds = False
    free = f"{shutil.disk_usage(path).free >> 20} MiB free"
    return _checked(f"writable: {path}", free if holds else "not writable", holds=holds)


def _loopback() -> dict[str, Any]:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            with socket.create_connection(listener.getsockname(), timeout=1):
                return _checked("loopback ports", "a server can be reached on 127.0.0.1", holds=True)
    except OSError:
        return _checked("loopback ports", "no server can be reached on 127.0.0.1", holds=False)


def _backend(program: str | None) -> dict[str, str]:
    if program is None:
        return {"state": "unavailable", "reason": NOT_BUILT}
    there = "is installed" if shutil.which(program) else "is not installed"
    return {"state": "unavailable", "reason": f"{NOT_BUILT}; `{program}` {there}"}


def _checked(name: str, found: str, *, holds: bool) -> dict[str, Any]:
    return {"name": name, "holds": holds, "found": found}
