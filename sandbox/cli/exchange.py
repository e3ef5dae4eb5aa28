"""`usufruct exchange …`: set up and run an exchange, and its operator's acts beside the running server."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

if TYPE_CHECKING:
    from sandbox.exchange.site import Site

app = typer.Typer(no_args_is_help=True, help="Set up, run and operate an exchange.")

Address = Annotated[
    str, typer.Option(parser=options.address, metavar="HOST:PORT", help="Where parties call.")
]
EnrolmentAddress = Annotated[
    str, typer.Option(parser=options.address, metavar="HOST:PORT", help="Where new parties enrol.")
]
Party = Annotated[str, typer.Argument(help="The party's name.")]


@app.command("init", cls=JsonCommand)
def init(
    folder: options.NewFolder,
    name: Annotated[str, typer.Option(help="The exchange's name in its certificate.")],
    controller: options.Controller,
    region: options.Region,
    environment: options.Environment,
    address: Address,
    enrolment_address: EnrolmentAddress,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Draw keys and a certificate authority, and write the exchange's folder."""
    from records.errors import StateConflict
    from sandbox.cli.folder import passphrase
    from sandbox.exchange.site import Site, SiteConfiguration

    if (folder / "authority.key").exists() or (folder / "identity").exists():
        raise StateConflict(f"`{folder.name}` is set up already; choose another folder")
    site = Site.create(
        folder,
        passphrase(folder, passphrase_file, is_new=True),
        name=name,
        controller=controller,
        region=region,
        environment=environment,
        configuration=SiteConfiguration(address=address, enrolment_address=enrolment_address),
    )
    site.store.close()
    record = site.identity.record.document
    output.answer(
        {
            "exchange": name,
            "environment": environment,
            "folder": str(folder),
            "key_id": record.verifying_key.key_id,
            "address": address,
            "enrolment_address": enrolment_address,
        }
    )


@app.command("run", cls=JsonCommand)
def run(folder: options.Folder, passphrase_file: options.PassphraseFile = None) -> None:
    """Serve until SIGTERM or SIGINT; the log goes to stderr as JSON lines."""
    from sandbox.cli import logs, serving

    logs.configure()
    from sandbox.exchange import site as exchange_site

    site = _open(folder, passphrase_file)

    def announce(running: exchange_site.RunningExchange) -> None:
        address, enrolment = running.addresses
        output.answer(
            {"exchange": site.identity.party, "address": address, "enrolment_address": enrolment},
            f"ready: exchange `{site.identity.party}` on {address}, enrolment on {enrolment}",
        )

    serving.serve(lambda: exchange_site.run(site), announce)
    site.store.close()


@app.command("invite", cls=JsonCommand)
def invite(
    folder: options.Folder,
    party: Party,
    role: Annotated[options.EnrolledRole, typer.Argument(help="What the party may enrol as.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Where the invitation goes (mode 0600).")],
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Write an invitation: whoever holds it may enrol once, under this name and role."""
    from records.errors import StateConflict
    from sandbox.exchange import parties
    from sandbox.keystore import write_private

    site = _open(folder, passphrase_file)
    with site.store.read() as connection:
        if parties.is_known(connection, party):
            raise StateConflict(f"`{party}` is enrolled, or was; a name is given once: choose another")
    invitation = asyncio.run(site.invite(party, role))
    site.store.close()
    write_private(out, invitation.to_bytes())
    output.answer(
        {
            "party": party,
            "role": role,
            "invitation": str(out),
            "expires_at": invitation.expires_at,
            "authority_digest": invitation.authority_digest,
        }
    )


@app.command("deposit", cls=JsonCommand)
def deposit(
    folder: options.Folder,
    buyer: Annotated[str, typer.Argument(help="The buyer's name.")],
    amount_minor: Annotated[int, typer.Argument(min=1, help="In minor units: fen, cents.")],
    currency: Annotated[str, typer.Argument(help="ISO 4217 code.")],
    deposit_id: Annotated[str, typer.Option("--id", help="The payment's own id: it is booked once.")],
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Credit a buyer with money that came in."""
    from records.errors import NotPermitted
    from records.money import Money

    amount = Money(amount_minor, currency)
    site = _open(folder, passphrase_file)
    exchange = site.offline()
    role = exchange.party(buyer).document.role
    if role != "buyer":
        raise NotPermitted(f"`{buyer}` is enrolled as {role}; only buyers pay in")
    exchange.deposit(buyer, currency, amount_minor, deposit_id)
    site.store.close()
    output.answer(
        {"buyer": buyer, "amount_minor": amount_minor, "currency": currency, "id": deposit_id},
        f"{amount} credited to `{buyer}`",
    )


@app.command("revoke", cls=JsonCommand)
def revoke(folder: options.Folder, party: Party, passphrase_file: options.PassphraseFile = None) -> None:
    """Revoke a party's keys: the running server refuses them within a second."""
    from records.errors import NotPermitted

    site = _open(folder, passphrase_file)
    if party == site.identity.party:
        raise NotPermitted("an exchange does not revoke its own keys")
    site.offline().revoke(party)
    site.store.close()
    output.answer({"party": party, "status": "revoked"}, f"the keys of `{party}` are revoked")


@app.command("check", cls=JsonCommand)
def check(folder: options.Folder, passphrase_file: options.PassphraseFile = None) -> None:
    """Check ledger and log as a whole; exit code 1 where they do not hold."""
    from sandbox.exchange.audit import audit

    site = _open(folder, passphrase_file)
    with site.store.read() as connection:
        found = audit(connection, site.identity.environment)
    site.store.close()
    output.answer(asdict(found))
    if not found.holds:
        raise typer.Exit(1)


def _open(folder: Path, passphrase_file: Path | None) -> Site:
    from records.errors import UnknownObject
    from sandbox.cli.folder import passphrase
    from sandbox.exchange.site import Site

    if not (folder / "authority.key").exists():
        raise UnknownObject(f"`{folder.name}` holds no exchange; `usufruct exchange init` sets one up")
    return Site.open(folder, passphrase(folder, passphrase_file))
