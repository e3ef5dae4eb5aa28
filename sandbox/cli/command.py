"""How every command behaves: errors are one sentence and exit code 1, `--json FILE` writes one document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from typer.core import TyperCommand, TyperOption

from records.errors import StateConflict, UsufructError
from sandbox.cli import logs, output

JSON_HELP = "Write the answer as one JSON document to this file; `-` is stdout."


class Command(TyperCommand):
    """A command whose errors show no traceback.

    Exit codes: 0 done; 1 refused or failed; 2 the command line itself is wrong.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UsufructError as error:
            output.fail(error)
        except OSError as error:
            name = Path(str(error.filename)).name if error.filename else "a file or connection"
            output.fail(StateConflict(f"`{name}`: {(error.strerror or 'cannot be used').lower()}"))
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:  # noqa: BLE001 - its text may quote a row: type and place are all we say
            place = "; ".join(logs.positions(error)[-3:])
            output.fail(UsufructError(f"internal error: `{type(error).__name__}` at {place}"))
        return ctx.exit(1)


class JsonCommand(Command):
    """A command with the option `--json FILE`."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        """Take what Typer hands over, and add the option."""
        super().__init__(name, **settings)
        self.params.append(
            TyperOption(
                param_decls=["--json"],
                type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
                metavar="FILE",
                help=JSON_HELP,
                expose_value=False,
                callback=_remember,
            )
        )


def _remember(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    ctx.meta[output.JSON_KEY] = value
