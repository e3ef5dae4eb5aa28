"""Where the time of one attempt goes, for the node's own log: durations by name, never what was computed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Sums durations by name. One thread uses it at a time."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._spent_s: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`, also when it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._spent_s[name] += time.perf_counter() - started

    def milliseconds(self) -> dict[str, int]:
        """Return {`<name>_ms`: whole milliseconds}."""
        return {f"{name}_ms": round(1000 * spent_s) for name, spent_s in self._spent_s.items()}
