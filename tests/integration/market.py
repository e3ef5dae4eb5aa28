"""A small market on loopback, set up and run through the command line alone; its servers are processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from sandbox.cli.main import app

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - a test's
ENVIRONMENT = "test.market"
QUERY = (
    "SELECT origin, COUNT(*) AS flights, SUM(dep_delay) AS delay FROM flights GROUP BY origin ORDER BY origin"
)
TERMS = """\
grade: general
unit: row
purposes: [insurance-pricing]
buyers: {allow: ["*"]}
columns:
  origin: {reveal: [plain]}
  dep_delay: {reveal: [after-aggregate], functions: [sum, count]}
  tailnum: {reveal: [never], roles: [join]}
release: {min_units: 10}
price: {currency: CNY, per_use: 500, per_cell: 2}
"""
PROVIDERS = ("alice", "bob")
NODES = (*PROVIDERS, "notary")
START_TIMEOUT_S = 30.0


def invoke(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def asked(*arguments: object, exit_code: int = 0) -> Any:
    """Run a command with `--json -`, and return its one document."""
    result = invoke(*arguments, "--json", "-")
    assert result.exit_code == exit_code, (arguments[:3], result.stdout, result.stderr, result.exception)
    return json.loads(result.stdout)


def insisted(*arguments: object) -> Any:
    """Run a command again while its peer is too busy to answer; enrolment and rotation may be repeated."""
    for _ in range(10):
        result = invoke(*arguments, "--json", "-")
        document = json.loads(result.stdout)
        if document.get("error", {}).get("code") != "peer-unavailable":
            break
    assert result.exit_code == 0, (arguments[:3], result.stdout)
    return document


def wait_until(holds: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.2)


class Market:
    """An exchange, two providers with flights, a notary; buyers enrol as tests need them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exchange = folder / "exchange"
        self._servers: dict[str, subprocess.Popen[str]] = {}
        self._ports = free_ports(2 + len(NODES))
        self.rows = {name: flights(folder / f"{name}.csv", seed) for seed, name in enumerate(PROVIDERS)}

    def open_exchange(self) -> None:
        addresses = [f"127.0.0.1:{self._ports.pop()}" for _ in range(2)]
        options = {
            "--name": "exchange",
            "--controller": "operator",
            "--region": "CN",
            "--environment": ENVIRONMENT,
            "--address": addresses[0],
            "--enrolment-address": addresses[1],
        }
        keep_passphrase(self.exchange)
        asked("exchange", "init", self.exchange, *(item for pair in options.items() for item in pair))
        self.launch("exchange", "exchange")
        self.wait_for("exchange")

    def open_nodes(self) -> None:
        for name in NODES:
            self.enrol(name, "notary" if name == "notary" else "provider", f"127.0.0.1:{self._ports.pop()}")
            asked("node", "init", self.folder / name)
        for name in NODES:
            for other in NODES:
                if other != name:
                    self.pin(name, other)
        (self.folder / "terms.yaml").write_text(TERMS)
        for name in NODES:
            self.launch(name, "node")
        for name in NODES:
            self.wait_for(name)

    def offer(self) -> None:
        """Register the first table with its collection, and propose and join with the others."""
        for name in PROVIDERS:
            table = (self.folder / name, "flights", self.folder / f"{name}.csv", self.folder / "terms.yaml")
            asked("product", "register", *table)
        asked("collection", "propose", self.folder / "alice", "flights", "flights")
        wait_until(
            lambda: invoke("collection", "join", self.folder / "bob", "flights", "flights").exit_code == 0
        )

    def enrol(self, name: str, role: str, address: str | None = None) -> Path:
        folder, invitation = self.folder / name, self.folder / f"{name}.invitation"
        keep_passphrase(folder)
        about = ["--party", name, "--role", role, "--controller", f"{name}-holding", "--region", "CN"]
        where = ["--address", address] if address else []
        asked("identity", "new", folder, *about, "--environment", ENVIRONMENT, *where)
        asked("exchange", "invite", self.exchange, name, role, "--out", invitation)
        insisted("identity", "enrol", folder, invitation)
        return folder

    def buyer(self, name: str, amount_minor: int = 100_000) -> Path:
        folder = self.enrol(name, "buyer")
        asked("exchange", "deposit", self.exchange, name, amount_minor, "CNY", "--id", "opening")
        return folder

    def pin(self, node: str, party: str) -> None:
        key_id = asked("identity", "show", self.folder / party)["key_id"]
        asked("node", "pin", self.folder / node, party, key_id)

    def launch(self, name: str, group: str) -> None:
        """Start a server."""
        log = (self.folder / f"{name}.log").open("a")
        command = [sys.executable, "-m", "sandbox.cli.main", group, "run", str(self.folder / name)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        )
        log.close()
        self._servers[name] = process

    def wait_for(self, name: str) -> None:
        """Wait for a server's ready line."""
        process = self._servers[name]
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready: "), self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def pid(self, name: str) -> int:
        assert self._servers[name].poll() is None, self.log(name)
        return self._servers[name].pid

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to all servers; return their exit codes."""
        for process in self._servers.values():
            process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self._servers.items():
            codes[name] = process.wait(timeout=20)
            if process.stdout is not None:
                process.stdout.close()
        self._servers.clear()
        return codes


def keep_passphrase(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    path = folder / "passphrase"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)


def flights(path: Path, seed: int) -> list[tuple[str, int]]:
    """Write a provider's flights; return them as (origin, delay)."""
    source = random.Random(seed)  # noqa: S311 - made-up flights
    rows = [(source.choice(["JFK", "LGA"]), source.randint(-10, 200)) for _ in range(100)]
    lines = [f"{origin},{delay},N{index:04d}" for index, (origin, delay) in enumerate(rows)]
    path.write_text("\n".join(["origin,dep_delay,tailnum", *lines]) + "\n")
    return rows


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def alone(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own in `folder`, without any home."""
    command = [sys.executable, "-m", "sandbox.cli.main", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
