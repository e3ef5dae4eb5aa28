"""Arguments and options that several commands share, each with its check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
MAX_PORT = 65535

EnrolledRole = Literal["provider", "notary", "buyer", "regulator"]
"""An exchange is set up by `usufruct exchange init`; everybody else enrols."""


def address(text: str) -> str:
    """Return `text` if it is `HOST:PORT` with a port that others can be told of."""
    host, _, port = text.rpartition(":")
    if (
        not host
        or any(sign.isspace() for sign in host)
        or not port.isdecimal()
        or not 1 <= int(port) <= MAX_PORT
    ):
        raise typer.BadParameter("an address is `HOST:PORT` with a port from 1 to 65535")
    return text


def environment(text: str) -> str:
    """Return `text` if it can name a registry, and so the origin of its log."""
    if not ENVIRONMENT.fullmatch(text):
        raise typer.BadParameter("an environment is lower-case letters, digits, `.`, `_` and `-`")
    return text


NewFolder = Annotated[Path, typer.Argument(file_okay=False, help="The folder to set up; mode 0700.")]
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The party's folder.")]
As = Annotated[Path, typer.Option("--as", exists=True, file_okay=False, help="The party's folder.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        help="File (mode 0600) with the passphrase of the keys; else FOLDER/passphrase, else asked."
    ),
]
Controller = Annotated[str, typer.Option(help="Who beneficially controls this party (declared and logged).")]
Region = Annotated[str, typer.Option(help="ISO 3166 code of where its machines stand.")]
Environment = Annotated[str, typer.Option(parser=environment, metavar="NAME", help="The registry's name.")]
SourceFile = Annotated[Path, typer.Argument(help="CSV, TSV, Parquet or Arrow file.")]
TermsFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Terms of use, YAML or JSON.")]
