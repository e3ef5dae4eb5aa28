from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
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


def soon(holds: Callable[[], bool]) -> None:
    """Wait until `holds`, for ten seconds at most."""
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_server_gracefully(number: signal.Signals) -> None:
    diary: list[str] = []

    def stop() -> None:
        soon(lambda: "ready" in diary)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=stop)
    thread.start()
    serve(diary)
    thread.join()
    assert diary == ["start", "ready", "stop"]


def test_a_rotated_identity_is_taken_up_and_announced_once(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    path.write_text("old")
    diary: list[str] = []

    def rotate_and_stop() -> None:
        try:
            soon(lambda: "ready" in diary)
            path.unlink()
            time.sleep(2 * serving.LOOK_AGAIN_S)  # between two renames there is no identity
            diary.append("rotated")
            (tmp_path / "next").write_text("new")
            (tmp_path / "next").rename(path)
            soon(lambda: diary.count("start") == 2)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=rotate_and_stop)
    thread.start()
    serve(diary, path)
    thread.join()
    assert diary == ["start", "ready", "rotated", "stop", "start", "stop"]


def test_a_server_that_does_not_start_ends_the_command() -> None:
    async def start() -> Clockwork:
        raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        serving.serve(start, lambda _: None)
