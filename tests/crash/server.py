"""A real server that fails once at a named point.

What is to fail stands in FOLDER/faults.json, as {point: "kill" | "refuse"}. The file is looked at whenever a
point is passed, so that a running server can be told.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

from records.errors import EvidenceError
from sandbox.exchange import site as exchange_site
from sandbox.exchange.driver import Patience
from sandbox.node import site as node_site
from sandbox.wire import transfer
from tests.crash.points import ALL_POINTS, Point

FAULTS_FILE = "faults.json"
UNDER_WAY_S = 0.05
LONGEST_PAUSE_S = 0.5
ASK_AGAIN_S = 1.0


class Fuse:
    """Burns through when an armed point is passed for the nth time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FAULTS_FILE
        self._passed: Counter[str] = Counter()
        self._one_by_one = asyncio.Lock()

    def armed(self, points: Iterable[Point]) -> list[Point]:
        """Return which of these points are to fail."""
        if not self._file.exists():
            return []
        faults = json.loads(self._file.read_text())
        return [point for point in points if point.name in faults]

    def turn(self, points: Iterable[Point]) -> Any:
        """Return what makes calls wait for each other where an armed point wants it."""
        return self._one_by_one if any(point.alone for point in self.armed(points)) else nullcontext()

    def passing(self, points: Iterable[Point], when: str, *args: object, **named: object) -> None:
        """Fail if an armed point is reached."""
        for point in self.armed(points):
            if point.when == when and point.matches(*args, **named):
                self._passed[point.name] += 1
                if self._passed[point.name] == point.nth:
                    self._burn(point)

    def _burn(self, point: Point) -> NoReturn:
        faults = json.loads(self._file.read_text())
        action = faults.pop(point.name)
        self._passed.pop(point.name)
        self._file.write_text(json.dumps(faults))
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        raise EvidenceError("refused, as the test wants it")


def _in_several(pieces: Callable[..., list[bytes]]) -> Callable[..., list[bytes]]:
    return lambda chunk: pieces(chunk, min(transfer.CHUNK_BYTES, 1 + len(chunk) // 3))


def arm(folder: Path, points: Iterable[Point] = ALL_POINTS) -> None:
    """Wrap every function that a point names; shorten pauses and chunks.

    A server that is back is soon asked again, and a small result takes several chunks.
    """
    exchange_site.Patience = functools.partial(  # type: ignore[assignment, attr-defined]
        Patience, longest_pause_s=LONGEST_PAUSE_S
    )
    node_site.ASK_AGAIN_S = ASK_AGAIN_S
    transfer.pieces = _in_several(transfer.pieces)
    fuse = Fuse(folder)
    by_target: dict[str, list[Point]] = {}
    for point in points:
        by_target.setdefault(point.target, []).append(point)
    for target, of_target in by_target.items():
        module, _, path = target.partition(":")
        owner_path, _, name = path.rpartition(".")
        owner = import_module(module)
        owner = attrgetter(owner_path)(owner) if owner_path else owner
        setattr(owner, name, _wrapped(getattr(owner, name), of_target, fuse))


def _wrapped(original: Callable[..., Any], points: list[Point], fuse: Fuse) -> Callable[..., Any]:
    @functools.wraps(original)
    def at_once(*args: Any, **named: Any) -> Any:
        fuse.passing(points, "before", *args, **named)
        answer = original(*args, **named)
        fuse.passing(points, "after", *args, **named)
        return answer

    @functools.wraps(original)
    async def awaited(*args: Any, **named: Any) -> Any:
        async with fuse.turn(points):
            fuse.passing(points, "before", *args, **named)
            if any(point.when == "during" for point in fuse.armed(points)):
                call = asyncio.ensure_future(original(*args, **named))
                await asyncio.sleep(UNDER_WAY_S)
                fuse.passing(points, "during", *args, **named)
                return await call
            answer = await original(*args, **named)
            fuse.passing(points, "after", *args, **named)
            return answer

    return awaited if inspect.iscoroutinefunction(original) else at_once
