"""`node.yaml` as the command line writes it: whole or not at all, and always with its explanations."""

from __future__ import annotations

from pathlib import Path

import yaml

from records.errors import UnknownObject
from sandbox.keystore import write_private
from sandbox.node.site import NodeConfiguration

NAME = "node.yaml"
HEADER = """\
# What this node trusts and offers. A running node reads this file again when it changes.
#
# pins: {party: key id}, whose keys this node trusts. `usufruct identity show` prints a party's key id:
#   compare it with the party itself, not with the exchange, before `usufruct node pin`.
# first_use: [role], parties of these roles are pinned when they are first seen.
# products: {table: {source: FILE, terms: FILE, collections: [name]}}, what is on offer; paths are relative to
#   this folder. `usufruct product register` checks source and terms before it adds them here.

"""


def read(folder: Path) -> NodeConfiguration:
    """Read the node's configuration.

    Raises:
        UnknownObject: there is none.
        MalformedDocument: it does not parse.
    """
    if not (folder / NAME).exists():
        raise UnknownObject(f"there is no `{NAME}` in `{folder.name}`; `usufruct node init` writes one")
    return NodeConfiguration.read(folder / NAME)


def write(folder: Path, configuration: NodeConfiguration) -> None:
    """Write the node's configuration; a running node takes it up within a second."""
    text = HEADER + yaml.safe_dump(configuration.model_dump(mode="json"), sort_keys=False)
    write_private(folder / NAME, text.encode())
