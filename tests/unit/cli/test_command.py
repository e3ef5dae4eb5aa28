from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from records.errors import JobRefused, MalformedDocument, Reason, UsufructError
from sandbox.cli import output
from sandbox.cli.command import Command, JsonCommand

SECRET = "4711-canary"  # noqa: S105 - a value that must not be shown


def run(error: Exception | None, *arguments: str, cls: type[Command] = JsonCommand) -> Result:
    app = typer.Typer()

    @app.command(cls=cls)
    def act() -> None:
        if error is not None:
            raise error
        output.answer(
            {"name": "x", "count": 3, "nothing": None, "parts": ["a", "b"], "inner": {"key_id": "k"}}
        )

    return CliRunner().invoke(app, list(arguments))


def test_an_answer_is_text_or_one_document(tmp_path: Path) -> None:
    said = run(None)
    assert said.exit_code == 0
    assert said.stdout.splitlines() == [
        "name   x",
        "count  3",
        "parts  a",
        "       b",
        "inner",
        "  key id  k",
    ]
    document = {"name": "x", "count": 3, "nothing": None, "parts": ["a", "b"], "inner": {"key_id": "k"}}
    assert json.loads(run(None, "--json", "-").stdout) == document
    written = run(None, "--json", str(tmp_path / "answer.json"))
    assert written.stdout == ""
    assert json.loads((tmp_path / "answer.json").read_text()) == document


def test_an_error_is_one_sentence_with_a_next_step_and_no_traceback() -> None:
    said = run(MalformedDocument("the field `unit` is missing"))
    assert said.exit_code == 1
    assert said.stdout == ""
    assert said.stderr.splitlines() == [
        "error: the field `unit` is missing",
        f"next: {output.NEXT_STEP['document-malformed']}",
    ]


def test_a_refusal_shows_every_reason_and_its_remedy() -> None:
    reasons = (Reason("alice", "purposes", "fun", "work", "ask"), Reason("bob", "uses", "1", "0", "wait"))
    said = run(JobRefused(reasons), "--json", "-")
    assert said.exit_code == 1
    assert all(str(reason) in said.stderr for reason in reasons)
    error = json.loads(said.stdout)["error"]
    assert error["code"] == "job-refused"
    assert error["reasons"] == [reason.to_json() for reason in reasons]


def test_every_error_has_a_next_step() -> None:
    def kinds(kind: type[UsufructError]) -> list[type[UsufructError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]

    abstract = {"input-invalid", "refused"}
    with_reasons = {"job-refused", "result-withheld", "job-ended"}
    codes = {kind.code for kind in kinds(UsufructError) if kind.__module__ == "records.errors"}
    assert codes - abstract - with_reasons == set(output.NEXT_STEP)


def test_the_text_of_an_unknown_error_is_not_shown() -> None:
    said = run(ValueError(f"bad row {SECRET}"))
    assert said.exit_code == 1
    assert "internal error: `ValueError` at" in said.stderr
    assert "test_command.py:" in said.stderr
    assert SECRET not in said.output


def test_a_file_that_cannot_be_used_is_named() -> None:
    said = run(None, "--json", "/proc/answer.json")
    assert said.exit_code == 1
    assert "`answer.json`" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\x9b", "\u202e"])
def test_no_text_steers_the_terminal(sign: str) -> None:
    assert sign not in output.printable(f"a{sign}[2Jb")
    said = run(MalformedDocument(f"a{sign}b"))
    assert sign not in said.stderr


def test_cells_are_shown_as_they_are() -> None:
    screen = output.console()
    with screen.capture() as captured:
        screen.print(output.table(("a", "b"), [("[red]x[/red]", "\x1b[31m"), (1, None)]))
    assert "[red]x[/red]" in captured.get()
    assert "\x1b" not in captured.get()
