"""`node.yaml` as the command line writes it: whole or not at all, and always with its explanations."""

from __future__ import annotations

from pathlib import Path

from records.errors import UnknownObject
from sandbox.keystore import write_private
from sandbox.node.configuration import NodeConfiguration

NAME = "node.yaml"
HEADER = """\
# What this node trusts and offers. A running node reads this file again when it changes.
#
# pins: {party: key id}, whose keys this node trusts. `usufruct identity show` prints a party's key id:
#   compare it with the party itself, not with the exchange, before `usufruct node pin`.
# first_use: [role], parties of these roles are pinned when they are first seen.
# products: {table: {source: FILE, terms: FILE, collections: [name]}}, what is on offer; paths are relative to
#   this folder. `usufruct product register` checks source and terms before it adds them here. A source that
#   is no file is written here by hand, without secrets, and `usufruct product check` tries it:
#     {kind: duckdb, path: FILE, table: NAME, schema: main}
#     {kind: postgresql, table: NAME, schema: public, dsn_file: FILE}, the connection string alone, mode 0600
#     {kind: object, url: "s3://bucket/key.parquet", profile: NAME}, a profile of the AWS tools
#     {kind: spark-table, remote: "sc://host:port/;use_ssl=true", table: [name, ...], token_file: FILE}
#     {kind: spark-file, remote: "sc://localhost:port", path: PATH}, a path of the cluster's

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
    write_private(folder / NAME, (HEADER + configuration.to_yaml()).encode())
