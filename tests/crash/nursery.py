"""Servers forked from one warm process: python -m tests.crash.nursery.

A server imports for two seconds before it serves; a sweep restarts one at every point. The warm process has
imported everything and serves nothing: what is forked from it is a fresh server in a process of its own.
It reads one JSON line for each server, `{"arguments": [...], "log": FILE}`, and answers with the process id.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

WARM = ("sandbox.cli.exchange", "sandbox.cli.node", "sandbox.cli.serving", "sandbox.cli.logs")
LOOK_AGAIN_S = 0.02


class Nursery:
    """The warm process, from outside."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crash.nursery"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def fork(self, arguments: list[str], log: Path) -> Forked:
        """Start a server with the arguments of `usufruct`."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"arguments": arguments, "log": str(log)}) + "\n")
            self._process.stdin.flush()
            return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        """End the warm process; what was forked from it goes on."""
        self._process.communicate()


class Forked:
    """A forked server: the part of `subprocess.Popen` that a deployment uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return None while it runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("a forked server", timeout or 0)
            time.sleep(LOOK_AGAIN_S)
        return 0

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _serve(arguments: list[str], log: Path) -> None:
    from sandbox.cli.main import run
    from tests.crash.server import arm

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with log.open("ab") as sink, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    arm(Path(arguments[-1]))
    sys.argv = ["usufruct", *arguments]
    run()


def _main() -> None:
    from importlib import import_module

    for name in WARM:
        import_module(name)
    import sandbox.exchange.site
    import sandbox.node.site  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are gone as soon as they end
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _serve(order["arguments"], Path(order["log"]))
            finally:
                os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
