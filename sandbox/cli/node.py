"""`usufruct node …`: configure and run a provider's or notary's node."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

app = typer.Typer(no_args_is_help=True, help="Configure and run a provider's or notary's node.")

KEY_ID = re.compile(r"ed25519:[0-9a-f]{64}")


def key_id(text: str) -> str:
    """Return `text` if it is a key id, as `usufruct identity show` prints it."""
    if not KEY_ID.fullmatch(text):
        raise typer.BadParameter("a key id is `ed25519:` and 64 hexadecimal digits")
    return text


@app.command("init", cls=JsonCommand)
def init(folder: options.Folder) -> None:
    """Write an empty `node.yaml` with explanations."""
    from records.errors import StateConflict
    from sandbox.cli import node_file
    from sandbox.node.configuration import NodeConfiguration

    if (folder / node_file.NAME).exists():
        raise StateConflict(f"`{folder.name}` has a `{node_file.NAME}`; edit it, or use `usufruct node pin`")
    node_file.write(folder, NodeConfiguration())
    output.answer({"written": str(folder / node_file.NAME)})


@app.command("run", cls=JsonCommand)
def run(folder: options.Folder, passphrase_file: options.PassphraseFile = None) -> None:
    """Serve until SIGTERM or SIGINT; rotated keys are taken up without a restart. The log goes to stderr."""
    from sandbox.cli import logs, serving

    logs.configure()
    from records.errors import NotPermitted
    from sandbox.cli import node_file
    from sandbox.cli.folder import exchange_record, own_record, passphrase
    from sandbox.node import site

    record = own_record(folder).document
    if record.address is None:
        raise NotPermitted(f"`{record.party}` is a {record.role} without an address: only nodes serve")
    exchange_record(folder)
    node_file.read(folder)
    secret = passphrase(folder, passphrase_file)

    def announce(running: site.RunningNode) -> None:
        output.answer(
            {"node": record.party, "role": record.role, "address": running.address},
            f"ready: {record.role} `{record.party}` on {running.address}",
        )

    async def start() -> site.RunningNode:
        return await site.run(site.NodeSite.open(folder, secret))

    serving.serve(start, announce, folder / "identity" / "party.json")


@app.command("pin", cls=JsonCommand)
def pin(
    folder: options.Folder,
    party: Annotated[str, typer.Argument(help="Whose key.")],
    key: Annotated[str, typer.Argument(parser=key_id, metavar="KEY_ID", help="The key id to trust.")],
) -> None:
    """Confirm a party's key; it replaces an earlier pin. A running node takes it up within a second."""
    from records.ids import require_name
    from sandbox.cli import node_file

    configuration = node_file.read(folder)
    pins = {**configuration.pins, require_name(party, "a party"): key}
    node_file.write(folder, configuration.model_copy(update={"pins": pins}))
    output.answer({"party": party, "key_id": key})
