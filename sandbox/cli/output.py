"""What a command says: one JSON document with `--json FILE`, else text by Rich; errors go to stderr.

Names and sentences of other parties reach the terminal here: what is not printable is replaced, so that no
document can steer the terminal of who reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from records.errors import RefusedError, UsufructError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

JSON_KEY = "usufruct.json"
STDOUT = Path("-")
PIPE_WIDTH = 200
"""Columns of a table that goes into a file or another program."""

NEXT_STEP: Mapping[str, str] = {
    "document-malformed": "correct the document and run the command again",
    "signature-invalid": "check the passphrase, or obtain the document again from its signer",
    "object-unknown": "check the name; `usufruct catalogue` lists what is on offer",
    "request-expired": "ask for a new one",
    "request-replayed": "look at what stands there already; use another id for something new",
    "source-unreadable": "write the file again, and register it again",
    "not-permitted": "use the identity that may do this, or ask the operator of the exchange",
    "state-conflict": "look at the present state, and run the command again",
    "evidence": "keep the files, do not go on, and ask the operator of the exchange for an explanation",
    "peer-unavailable": "check that its server runs (`usufruct exchange run`, `usufruct node run`)",
    "limit-exceeded": "ask for less at once, or later",
    "error": "quote the message to the operator of the exchange",
}
"""What to do about an error, by its code; refusals carry their remedies themselves."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that writes text as it is: no mark-up, no colours of its own choice."""
    from rich.console import Console

    screen = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not screen.is_terminal:
        screen.width = PIPE_WIDTH
    return screen


def answer(document: Mapping[str, Any], *text: str | Table) -> None:
    """Give the answer of the running command: `document` with `--json`, else `text` (or its fields)."""
    target = _json_target()
    if target is not None:
        _write_json(document, target)
        return
    screen = console()
    for part in text or _lines(document):
        screen.print(printable(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str))


def fail(error: UsufructError) -> None:
    """Say on stderr what went wrong and what to do next; with `--json`, also as a document."""
    reasons = error.reasons if isinstance(error, RefusedError) else ()
    remedy = NEXT_STEP.get(error.code, "")
    screen = console(stderr=True)
    for line in _error_lines(error, reasons):
        screen.print(printable(line), soft_wrap=True)
    if remedy:
        screen.print(f"next: {remedy}", soft_wrap=True)
    target = _json_target()
    if target is not None:
        entries = [reason.to_json() for reason in reasons]
        _write_json({"error": {"code": error.code, "message": str(error), "reasons": entries}}, target)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table for the terminal; cells of the last column are folded, so that ids stay whole."""
    from rich.table import Table
    from rich.text import Text

    result = Table(box=None, pad_edge=False)
    for column in columns:
        result.add_column(Text(printable(column)), overflow="fold", no_wrap=column != columns[-1])
    for row in rows:
        result.add_row(*(Text(printable(str(cell))) for cell in row))
    return result


@contextmanager
def progress(total: int | None = None) -> Iterator[Callable[[str, int], None]]:
    """Yield `show(what, done)`, which keeps a line on the terminal up to date; it goes away at the end."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    screen = console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as line:
        task = line.add_task("", total=total)
        yield lambda what, done: line.update(task, description=what, completed=done)


def printable(text: str) -> str:
    """Return `text` with every control character but newlines replaced."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text
    )


def _lines(document: Mapping[str, Any]) -> list[str]:
    """Return one line for each field that says something; those of an object are indented under its name."""
    shown = {name: value for name, value in document.items() if value not in (None, [], (), {}, "")}
    width = max(map(len, shown), default=0)
    lines: list[str] = []
    for name, value in shown.items():
        title = name.replace("_", " ")
        match value:
            case Mapping():
                lines += [title, *(f"  {line}" for line in _lines(value))]
            case list() | tuple():
                lines += [
                    f"{title if first else '':<{width}}  {_text(item)}" for first, item in _marked(value)
                ]
            case _:
                lines.append(f"{title:<{width}}  {_text(value)}")
    return lines


def _marked(values: Sequence[Any]) -> Iterator[tuple[bool, Any]]:
    return ((index == 0, value) for index, value in enumerate(values))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error_lines(error: UsufructError, reasons: Sequence[object]) -> list[str]:
    if not reasons:
        return [f"error: {error}"]
    return [f"error: {error.code.replace('-', ' ')}", *(f"  {reason}" for reason in reasons)]


def _json_target() -> Path | None:
    context = click.get_current_context(silent=True)
    return context.meta.get(JSON_KEY) if context else None


def _write_json(document: Mapping[str, Any], target: Path) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if target == STDOUT:
        # Flushed at once: a server's ready line is read while it runs.
        print(text, flush=True)
    else:
        target.write_text(text + "\n", encoding="utf-8")
