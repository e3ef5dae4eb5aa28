"""`usufruct product …` and `usufruct collection …`: what a provider's node offers, and with whom together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

if TYPE_CHECKING:
    from records.parties import CollectionMembership
    from sandbox.node.configuration import ProductConfiguration

app = typer.Typer(no_args_is_help=True, help="Offer tables under terms of use.")
collections = typer.Typer(no_args_is_help=True, help="Offer a table together with other providers' tables.")

Table = Annotated[str, typer.Argument(help="The table's name; the product is PROVIDER.TABLE.")]
Collection = Annotated[str, typer.Argument(help="The collection's name.")]


@app.command("register", cls=JsonCommand)
def register(
    folder: options.Folder,
    table: Table,
    source: options.SourceFile,
    terms: options.TermsFile,
    collection: Annotated[
        list[str] | None, typer.Option(help="Collection to take part in; repeatable.")
    ] = None,
) -> None:
    """Check a table and its terms, and offer it; a running node does so within a second."""
    from records.errors import NotPermitted
    from records.ids import require_name, require_product_name
    from sandbox.cli import node_file
    from sandbox.cli import terms as terms_commands
    from sandbox.cli.folder import own_record
    from sandbox.node.configuration import ProductConfiguration

    record = own_record(folder).document
    if record.role != "provider":
        raise NotPermitted(f"`{record.party}` is a {record.role}; only providers offer tables")
    configuration = node_file.read(folder)
    product = require_product_name(f"{record.party}.{table}")
    checked = terms_commands.parsed(terms, product)
    columns = terms_commands.checked_columns(source, source.name, checked)
    offer = ProductConfiguration(
        source=_relative(source, folder),
        terms=_relative(terms, folder),
        collections=tuple(require_name(name, "a collection") for name in collection or ()),
    )
    products = {**configuration.products, table: offer}
    node_file.write(folder, configuration.model_copy(update={"products": products}))
    output.answer(
        {
            "product": product,
            "terms_digest": checked.digest,
            "columns": {column.name: column.type for column in columns},
            "collections": list(offer.collections),
        }
    )


@app.command("check", cls=JsonCommand)
def check(folder: options.Folder, table: Table) -> None:
    """Check source and terms of a table that stands in `node.yaml`: reach the rows, and find all columns."""
    from records.ids import require_product_name
    from sandbox.cli import terms as terms_commands
    from sandbox.cli.folder import own_record

    offer = _configured(folder, table)
    product = require_product_name(f"{own_record(folder).document.party}.{table}")
    checked = terms_commands.parsed(folder / offer.terms, product)
    columns = terms_commands.checked_columns(offer.source_within(folder), table, checked)
    output.answer(
        {
            "product": product,
            "terms_digest": checked.digest,
            "columns": {column.name: column.type for column in columns},
        }
    )


@app.command("list", cls=JsonCommand)
def list_products(as_folder: options.As, passphrase_file: options.PassphraseFile = None) -> None:
    """List this provider's products: what its node is to offer, and what stands at the exchange."""
    from records.parties import ProductRecord
    from sandbox.cli import node_file
    from sandbox.cli.folder import member

    configured = node_file.read(as_folder).products
    with member(as_folder, passphrase_file) as own:
        catalogue = own.run(own.client.catalogue(own.caller))
    party, environment = own.caller.party, own.identity.environment
    key = own.identity.record.document.verifying_key
    registered = {
        claimed.product: ProductRecord.verified(envelope, key, environment).document.version
        for envelope in catalogue.products
        if (claimed := ProductRecord.unverified(envelope).document).provider == party
    }
    names = sorted({f"{party}.{table}" for table in configured} | set(registered))
    rows = [_row(name, configured, registered) for name in names]
    columns = ("product", "state", "version", "collections")
    shown = [(*(row[name] or "" for name in columns[:3]), ", ".join(row["collections"])) for row in rows]
    output.answer({"products": rows}, output.table(columns, shown))


@collections.command("propose", cls=JsonCommand)
def propose(
    folder: options.Folder,
    collection: Collection,
    table: Table,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Found a collection with this provider's table, whose columns become those of the collection."""
    from records.errors import StateConflict

    if _members(folder, collection, passphrase_file):
        raise StateConflict(f"`{collection}` exists; `usufruct collection join` takes part in it")
    _take_part(folder, collection, table)


@collections.command("join", cls=JsonCommand)
def join(
    folder: options.Folder,
    collection: Collection,
    table: Table,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Let this provider's table take part in a collection of tables with the same columns."""
    from records.errors import UnknownObject

    if not _members(folder, collection, passphrase_file):
        raise UnknownObject(
            f"no collection `{collection}` at the exchange: `usufruct collection propose` founds one, and its"
            " founder's node must have offered its table"
        )
    _take_part(folder, collection, table)


def _members(folder: Path, collection: str, passphrase_file: Path | None) -> list[CollectionMembership]:
    """Return other providers' memberships of a collection, as the exchange has them."""
    from records.parties import CollectionMembership
    from sandbox.cli.folder import member

    with member(folder, passphrase_file) as own:
        catalogue = own.run(own.client.catalogue(own.caller))
    # Read to catch a misspelt name early; the exchange checks signatures and columns when the node joins.
    documents = [CollectionMembership.unverified(envelope).document for envelope in catalogue.memberships]
    party = own.caller.party
    return [item for item in documents if item.collection == collection and item.provider != party]


def _configured(folder: Path, table: str) -> ProductConfiguration:
    from records.errors import UnknownObject
    from sandbox.cli import node_file

    products = node_file.read(folder).products
    if table not in products:
        raise UnknownObject(f"no table `{table}` in `{node_file.NAME}`; `usufruct product register` adds one")
    return products[table]


def _take_part(folder: Path, collection: str, table: str) -> None:
    from records.ids import require_name
    from sandbox.cli import node_file

    offer = _configured(folder, table)
    configuration = node_file.read(folder)
    names = dict.fromkeys((*offer.collections, require_name(collection, "a collection")))
    products = {**configuration.products, table: offer.model_copy(update={"collections": tuple(names)})}
    node_file.write(folder, configuration.model_copy(update={"products": products}))
    output.answer({"table": table, "collections": list(names)})


def _row(name: str, configured: dict[str, Any], registered: dict[str, int]) -> dict[str, Any]:
    table = name.partition(".")[2]
    here, there = table in configured, name in registered
    states = {
        (True, True): "on offer",
        (True, False): "not yet at the exchange: see the log of the node",
        (False, True): "at the exchange, not offered by this node",
    }
    return {
        "product": name,
        "state": states[here, there],
        "version": registered.get(name),
        "collections": list(configured[table].collections) if here else [],
    }


def _relative(path: Path, folder: Path) -> str:
    """Return how `node.yaml` names a file: within the folder as it lies there, else in full."""
    whole = path.resolve()
    home = folder.resolve()
    return str(whole.relative_to(home) if whole.is_relative_to(home) else whole)
