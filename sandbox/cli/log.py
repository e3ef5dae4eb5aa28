"""`usufruct log …`: the exchange's transparency log, as any party can verify it."""

from __future__ import annotations

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

app = typer.Typer(no_args_is_help=True, help="Verify the exchange's transparency log.")


@app.callback()
def _group() -> None:
    """Verify the exchange's transparency log."""


@app.command("verify", cls=JsonCommand)
def verify(as_folder: options.As, passphrase_file: options.PassphraseFile = None) -> None:
    """Hash the whole log again: it leads to its signed checkpoint, and extends the one verified last."""
    from sandbox.cli import log_check
    from sandbox.cli.folder import member

    with member(as_folder, passphrase_file) as own, output.progress() as show:
        now, before = log_check.verify(own, lambda done, size: show(f"hashing {size} leaves", done))
    output.answer(
        {
            "origin": now.origin,
            "size": now.size,
            "root": now.root.hex(),
            "extends_size": before.size if before is not None else None,
        }
    )
