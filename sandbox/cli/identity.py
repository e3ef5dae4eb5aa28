"""`usufruct identity …`: draw a party's keys, enrol them at an exchange, show them, rotate them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

app = typer.Typer(no_args_is_help=True, help="A party's keys: draw, enrol, show, rotate.")

NODE_ROLES = ("provider", "notary")


@app.command("new", cls=JsonCommand)
def new(
    folder: options.NewFolder,
    party: Annotated[str, typer.Option(help="The party's name, as in its invitation.")],
    role: Annotated[options.EnrolledRole, typer.Option(help="The party's role, as in its invitation.")],
    controller: options.Controller,
    region: options.Region,
    environment: options.Environment,
    address: Annotated[
        str | None,
        typer.Option(parser=options.address, metavar="HOST:PORT", help="Where a provider or notary listens."),
    ] = None,
    affiliate: Annotated[
        list[str] | None, typer.Option(help="A controller that it belongs with; may be repeated.")
    ] = None,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Draw all keys of a new party, encrypted under a passphrase."""
    from records.clock import utc_now
    from records.errors import StateConflict
    from sandbox.cli.folder import passphrase
    from sandbox.identity import Identity
    from sandbox.keystore import make_folder

    if (role in NODE_ROLES) != (address is not None):
        raise typer.BadParameter("providers and notaries listen on an `--address`, others on none")
    if (folder / "identity").exists():
        raise StateConflict(f"`{folder.name}` holds an identity; choose another folder, or rotate its keys")
    identity = Identity.create(
        party,
        role,
        controller=controller,
        region=region,
        affiliates=tuple(affiliate or ()),
        address=address,
        environment=environment,
        clock=utc_now,
    )
    make_folder(folder)
    identity.save(folder / "identity", passphrase(folder, passphrase_file, is_new=True))
    output.answer(_facts(folder))


@app.command("enrol", cls=JsonCommand)
def enrol(
    folder: options.Folder,
    invitation: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The exchange's file.")],
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Enrol with an invitation: fetch the certificate and the exchange's signed record."""
    from sandbox.cli.folder import own_record, passphrase
    from sandbox.cli.key_rotation import ENROLMENT_FILE
    from sandbox.identity import Identity
    from sandbox.keystore import read_private, write_private
    from sandbox.wire import enrolment_rpc
    from sandbox.wire.enrolment import Invitation

    own_record(folder)
    read = Invitation.from_bytes(read_private(invitation))
    secret = passphrase(folder, passphrase_file)
    identity = Identity.load(folder / "identity", secret)
    enrolled, exchange = asyncio.run(enrolment_rpc.enrol(read, identity))
    enrolled.save(folder / "identity", secret)
    write_private(folder / ENROLMENT_FILE, read.address.encode())
    write_private(folder / "exchange.json", exchange.to_bytes())
    output.answer(_facts(folder))


@app.command("show", cls=JsonCommand)
def show(folder: options.Folder) -> None:
    """Show who a folder's party is; its `key id` is what others pin. Needs no passphrase."""
    output.answer(_facts(folder))


@app.command("rotate", cls=JsonCommand)
def rotate(
    folder: options.Folder,
    enrolment_address: Annotated[
        str | None,
        typer.Option(parser=options.address, metavar="HOST:PORT", help="If the exchange's desk has moved."),
    ] = None,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Replace all keys, signed with the old ones; run it again if it was interrupted.

    Nodes that pinned the old key follow to the new one by the old key's signature.
    """
    from sandbox.cli import key_rotation
    from sandbox.cli.folder import passphrase

    previous = key_rotation.rotate(folder, passphrase(folder, passphrase_file), enrolment_address)
    output.answer({**_facts(folder), "previous_key_id": previous})


def _facts(folder: Path) -> dict[str, Any]:
    """Return what anybody may know of the party in `folder`."""
    from sandbox.cli.folder import exchange_record, own_record

    record = own_record(folder).document
    facts: dict[str, Any] = {
        "party": record.party,
        "role": record.role,
        "key_id": record.verifying_key.key_id,
        "version": record.version,
        "controller": record.controller,
        "affiliates": list(record.affiliates),
        "region": record.region,
        "environment": record.environment,
        "address": record.address,
        "tls_key": record.tls_key,
        "certificate_until": _certificate_until(folder),
        "exchange": None,
    }
    # An exchange keeps its addresses under this name, and is its own.
    if record.role != "exchange" and (folder / "exchange.json").exists():
        exchange = exchange_record(folder).document
        facts["exchange"] = {
            "party": exchange.party,
            "key_id": exchange.verifying_key.key_id,
            "address": exchange.address,
        }
    return facts


def _certificate_until(folder: Path) -> str | None:
    from cryptography import x509

    from records import clock
    from sandbox.keystore import read_private

    pem = read_private(folder / "identity" / "certificate.pem")
    return clock.to_text(x509.load_pem_x509_certificate(pem).not_valid_after_utc) if pem else None
