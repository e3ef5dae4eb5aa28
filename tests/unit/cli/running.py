"""Run commands in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from sandbox.cli.main import app

PASSPHRASE = "a passphrase for tests"  # noqa: S105 - a test's
ABOUT = ("--controller", "holding", "--region", "CN", "--environment", "unit.test")


def invoke(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def asked(*arguments: object, exit_code: int = 0) -> Any:
    result = invoke(*arguments, "--json", "-")
    assert result.exit_code == exit_code, (result.stdout, result.stderr)
    return json.loads(result.stdout)


def folder_with_passphrase(path: Path, mode: int = 0o600) -> Path:
    path.mkdir(mode=0o700)
    (path / "passphrase").write_text(PASSPHRASE)
    (path / "passphrase").chmod(mode)
    return path


def new_provider(path: Path) -> Path:
    folder_with_passphrase(path)
    asked(
        "identity",
        "new",
        path,
        "--party",
        "alice",
        "--role",
        "provider",
        *ABOUT,
        "--address",
        "127.0.0.1:7001",
    )
    return path
