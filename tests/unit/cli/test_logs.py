from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

from records.errors import MalformedDocument
from sandbox.cli import logs

CANARY = "4711-canary"
PROCESS = """
import logging, sys, threading, warnings
from sandbox.cli import logs

logs.configure()
canary = sys.argv[1]
thread = threading.Thread(target=int, args=(canary,))
thread.start()
thread.join()
logging.getLogger("sandbox.cli").info("bad format %d", canary)
logging.getLogger("some.library").warning(canary)
warnings.warn(canary)
"""


def line(logger: str, message: str, *args: object, error: bool = False, **extra: object) -> dict[str, Any]:
    record = logging.getLogger(logger).makeRecord(
        logger, logging.INFO, __file__, 1, message, args, sys.exc_info() if error else None, extra=extra
    )
    entry: dict[str, Any] = json.loads(logs.JsonLines().format(record))
    return entry


def test_our_own_records_have_their_text_and_the_fields_of_the_list() -> None:
    entry = line("sandbox.exchange.driver", "job %s", "advanced", job="j1", attempt=2, row=CANARY)
    assert entry["message"] == "job advanced"
    assert (entry["job"], entry["attempt"], entry["level"]) == ("j1", 2, "info")
    assert "row" not in entry
    assert entry["time"].endswith("Z")


def test_a_librarys_text_is_withheld() -> None:
    entry = line("asyncio", f"Task exception was never retrieved: ValueError('{CANARY}')", job=CANARY)
    assert CANARY not in json.dumps(entry)
    assert entry["message"] == logs.WITHHELD
    assert entry["at"] == "test_logs:1"


def test_an_exception_is_its_type_and_its_places() -> None:
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as error:
            raise MalformedDocument("the terms do not parse") from error
    except MalformedDocument:
        entry = line("sandbox.node.site", "a product is not offered", error=True)
    ours, foreign = entry["errors"]
    assert ours["message"] == "the terms do not parse"
    assert ours["at"][0].startswith("tests/unit/cli/test_logs.py:")
    assert foreign["type"] == "ValueError"
    assert "message" not in foreign
    assert CANARY not in json.dumps(entry)


def test_a_configured_process_writes_json_lines_only() -> None:
    done = subprocess.run([sys.executable, "-c", PROCESS, CANARY], capture_output=True, text=True, check=True)
    assert CANARY not in done.stderr
    messages = [json.loads(text)["message"] for text in done.stderr.splitlines()]
    assert messages == ["a thread ended", logs.WITHHELD, logs.WITHHELD]
