"""Where the time of one attempt goes, for the node's own log: durations by name, never what was computed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


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

    def measure_each(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Yield `items`, and add to `name` the time that they take to come, not what is done with them."""
        while True:
            with self.measure(name):
                item = next(items, None)
            if item is None:
                return
            yield item

    def milliseconds(self) -> dict[str, int]:
        """Return {`<name>_ms`: whole milliseconds}."""
        return {f"{name}_ms": round(1000 * spent_s) for name, spent_s in self._spent_s.items()}
