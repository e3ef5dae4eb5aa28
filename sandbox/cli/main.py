"""The command `usufruct`. Modules that compute or connect are imported by the command that needs them."""

from __future__ import annotations

import typer

from sandbox.cli import buyer, doctor, exchange, identity, log, node, product, receipt, terms
from sandbox.cli.command import Command, JsonCommand
from sandbox.cli.demo import demo

app = typer.Typer(
    name="usufruct",
    no_args_is_help=True,
    # A traceback's text and local variables may hold data values: `sandbox.cli.command` says what is safe.
    pretty_exceptions_enable=False,
    help="A compute sandbox for data exchanges: the use of data is traded, the data never leaves.",
)
app.command(cls=Command)(demo)
app.add_typer(exchange.app, name="exchange")
app.add_typer(identity.app, name="identity")
app.add_typer(node.app, name="node")
app.add_typer(product.app, name="product")
app.add_typer(product.collections, name="collection")
app.add_typer(terms.app, name="terms")
app.command(cls=JsonCommand)(buyer.catalogue)
app.command(cls=JsonCommand)(buyer.explain)
app.command(cls=JsonCommand)(buyer.quote)
app.command("run", cls=JsonCommand)(buyer.run)
app.command(cls=JsonCommand)(buyer.jobs)
app.command(cls=JsonCommand)(buyer.statement)
app.add_typer(receipt.app, name="receipt")
app.add_typer(log.app, name="log")
app.command(cls=JsonCommand)(doctor.doctor)


def run() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    run()
