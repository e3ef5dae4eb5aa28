from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import click
import pytest
import typer

from sandbox.cli.main import app
from tests.unit.cli.running import invoke

LONGEST_IMPORT_S = 0.4
HEAVY = {"pandas", "numpy", "pyarrow", "duckdb", "sqlalchemy", "grpc", "sqlglot", "pydantic", "cryptography"}


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, click.Group)
ALL = dict(commands(ROOT))


def test_importing_the_command_line_is_quick_and_loads_nothing_heavy() -> None:
    def seconds() -> tuple[float, set[str]]:
        begun = time.monotonic()
        code = "import sandbox.cli.main, sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return time.monotonic() - begun, set(done.stdout.split())

    times, loaded = zip(*(seconds() for _ in range(3)), strict=True)
    assert not HEAVY & loaded[0]
    # The least of several: the machine may be busy with something else.
    assert min(times) < LONGEST_IMPORT_S


def test_the_commands_of_the_design_are_there() -> None:
    names = {path[0] for path in ALL}
    assert names == {
        "demo",
        "exchange",
        "node",
        "identity",
        "product",
        "collection",
        "terms",
        "catalogue",
        "explain",
        "quote",
        "run",
        "jobs",
        "receipt",
        "statement",
        "log",
        "doctor",
    }


@pytest.mark.parametrize("path", sorted(ALL), ids=" ".join)
def test_every_command_explains_itself_and_writes_json(path: tuple[str, ...]) -> None:
    assert invoke(*path, "--help").exit_code == 0
    assert ALL[path].help
    options = {name for parameter in ALL[path].params for name in parameter.opts}
    assert "--report" in options if path == ("demo",) else "--json" in options


def test_no_command_takes_a_passphrase_from_argument_or_environment() -> None:
    for command in ALL.values():
        for parameter in command.params:
            assert not parameter.envvar
            assert "--passphrase" not in parameter.opts


@pytest.mark.parametrize(
    "arguments", [("frobnicate",), ("exchange", "frobnicate"), ("doctor", "--frobnicate")]
)
def test_what_is_not_in_the_table_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
