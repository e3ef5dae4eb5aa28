"""`usufruct terms …`: check terms of use before anybody relies on them, and say them in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

if TYPE_CHECKING:
    from connectors.connector import Column
    from connectors.sources import Source
    from policies.terms import Terms

app = typer.Typer(no_args_is_help=True, help="Check terms of use, and explain them.")

Product = Annotated[str | None, typer.Option(metavar="PROVIDER.TABLE", help="If the file leaves it out.")]


@app.command("check", cls=JsonCommand)
def check(
    file: options.TermsFile,
    source: Annotated[
        Path | None, typer.Option(help="The table, whose columns must be all that is named.")
    ] = None,
    product: Product = None,
) -> None:
    """Check that terms parse, and name only columns that the source has."""
    terms = parsed(file, product)
    columns = checked_columns(source, source.name, terms) if source is not None else ()
    output.answer(
        {
            "product": terms.product,
            "digest": terms.digest,
            "columns_in_terms": sorted(terms.columns),
            "columns_in_source": {column.name: column.type for column in columns},
        }
    )


@app.command("explain", cls=JsonCommand)
def explain(file: options.TermsFile, product: Product = None) -> None:
    """Say in sentences what terms permit, defaults included."""
    from policies.wording import in_words

    terms = parsed(file, product)
    words = in_words(terms)
    output.answer({"product": terms.product, "words": list(words)}, *words)


def parsed(file: Path, product: str | None) -> Terms:
    """Return the terms in a file; see `policies.terms.parse`."""
    from policies import terms as policy
    from sandbox.cli.folder import text_of

    return policy.parse(text_of(file), product=product)


def checked_columns(source: Source, name: str, terms: Terms) -> tuple[Column, ...]:
    """Open a source, shown as `name`, and return its columns, among which are all that the terms name.

    Raises:
        SourceUnreadable: it cannot be read as a table.
        MalformedDocument: the terms name a column that it lacks.
        LimitExceeded, NotPermitted: see `connectors.sources.open_source`.
    """
    from connectors.sources import open_source

    with output.progress() as show:
        show(f"reading {name}", 0)
        connector = open_source(source)
        columns = connector.schema()
        connector.close()
    terms.require_columns([column.name for column in columns])
    return columns
