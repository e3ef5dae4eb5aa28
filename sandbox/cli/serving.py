"""A server's life as a process: start, say so, serve until SIGTERM or SIGINT, stop gracefully."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.5


class Server(Protocol):
    """What is served."""

    async def stop(self) -> None:
        """Stop serving; nothing is lost."""


S = TypeVar("S", bound=Server)


def serve(
    start: Callable[[], Awaitable[S]], announce: Callable[[S], None], identity: Path | None = None
) -> None:
    """Serve until a signal says otherwise; `announce` is called once, when the first call can come.

    When the file `identity` changes (the party's keys were rotated), the server starts again inside of the
    same process, so that nobody has to enter a passphrase.
    """
    asyncio.run(_serve(start, announce, identity))


async def _serve(
    start: Callable[[], Awaitable[S]], announce: Callable[[S], None], identity: Path | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    first = True
    while not stop.is_set():
        version = _version(identity)
        server = await start()
        try:
            if first:
                announce(server)
            logger.info("serving" if first else "serving with the rotated keys")
            first = False
            await _stopped_or_changed(stop, identity, version)
        finally:
            await server.stop()
    logger.info("stopped")


async def _stopped_or_changed(
    stop: asyncio.Event, identity: Path | None, version: tuple[int, int] | None
) -> None:
    while not stop.is_set() and _version(identity) in (version, None):
        try:
            await asyncio.wait_for(stop.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            continue


def _version(path: Path | None) -> tuple[int, int] | None:
    """Return what changes with the file; None where there is none, as for a moment within a rotation."""
    if path is None:
        return None
    try:
        # A file system may give the number of a removed file to the next one, so it alone says too little.
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
