"""A server's log: one JSON object per line on stderr, without data values.

What our own code says is constant text with fields on an allow-list. What a library says, and the text of
a foreign exception, may quote a row or a literal: of these only types and places in the code are written.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from records import clock
from records.errors import UsufructError

OWN = frozenset({"sandbox", "federated", "mpc", "dp", "policies", "connectors", "billing", "records"})
FIELDS = (
    "job", "node", "party", "attempt", "fault", "product", "incident", "address", "state",
    "writing_ms", "attempt_ms", "local_sql_ms", "protocol_ms", "wire_ms", "seal_ms",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
WITHHELD = "a library's message, not written: it may hold data values"


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        own = record.name.partition(".")[0] in OWN
        entry: dict[str, Any] = {
            "time": clock.to_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if own else WITHHELD,
        }
        if own:
            entry |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        else:
            entry["at"] = f"{record.module}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            entry["errors"] = [_described(error) for error in _chain(record.exc_info[1])]
        return json.dumps(entry, ensure_ascii=False, default=lambda value: type(value).__name__)


def configure() -> None:
    """Let everything that is logged in this process go to stderr as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in OWN:
        logging.getLogger(package).setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    # A failing log call would print its arguments, and gRPC's core its own lines, past the formatter.
    logging.raiseExceptions = False
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    threading.excepthook = _log_thread


def positions(error: BaseException) -> list[str]:
    """Return the places in the code that an exception passed through, outermost first."""
    return [
        f"{_relative(frame.filename)}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]


def _described(error: BaseException) -> dict[str, Any]:
    described: dict[str, Any] = {"type": type(error).__name__, "at": positions(error)}
    if isinstance(error, UsufructError):
        described["message"] = str(error)  # by rule without data values
    return described


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what caused it, as Python's own traceback would."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context


def _relative(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _log_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        logging.getLogger(__name__).error("a thread ended", exc_info=args.exc_value)
