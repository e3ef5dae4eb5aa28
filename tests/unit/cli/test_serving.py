from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from sandbox.cli import serving


class Clockwork:
    """A server that notes its own starts and stops."""

    def __init__(self, diary: list[str]) -> None:
        self._diary = diary
        diary.append("start")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self._diary.append("stop")


def serve(diary: list[str], identity: Path | None = None) -> None:
    async def start() -> Clockwork:
        await asyncio.sleep(0)
        return Clockwork(diary)

    serving.serve(start, lambda _: diary.append("ready"), identity)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_server_gracefully(number: signal.Signals) -> None:
    diary: list[str] = []
    timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
    timer.start()
    serve(diary)
    timer.join()
    assert diary == ["start", "ready", "stop"]


def test_a_rotated_identity_is_taken_up_and_announced_once(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    path.write_text("old")
    diary: list[str] = []

    def rotate_and_stop() -> None:
        path.unlink()
        wait(0.7)  # between two renames there is no identity: the server goes on as it was
        assert diary == ["start", "ready"]
        (tmp_path / "next").write_text("new")
        (tmp_path / "next").rename(path)
        while diary.count("start") < 2:
            wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    wait = threading.Event().wait
    thread = threading.Timer(0.2, rotate_and_stop)
    thread.start()
    serve(diary, path)
    thread.join()
    assert diary == ["start", "ready", "stop", "start", "stop"]


def test_a_server_that_does_not_start_ends_the_command() -> None:
    async def start() -> Clockwork:
        raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        serving.serve(start, lambda _: None)
