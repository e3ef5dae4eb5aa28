"""`node.yaml`: what a node trusts and offers, and where its products' rows lie.

A product's `source` is a file, or a mapping whose `kind` says how the rows are reached:

    source: flights.parquet                       # CSV, TSV, Parquet or Arrow (Feather 2)
    source: {kind: duckdb, path: shop.duckdb, table: orders, schema: main}
    source: {kind: postgresql, table: orders, schema: public, dsn_file: shop.dsn}
    source: {kind: object, url: "s3://bucket/orders.parquet", profile: shop}
    source: {kind: spark-table, remote: "sc://host:15002/;use_ssl=true", token_file: token, table: [orders]}
    source: {kind: spark-file, remote: "sc://localhost:15002", path: "/data/orders.parquet"}

Paths are relative to the node's folder; `path` of a `spark-file` is the cluster's. No secret stands here: a
connection string and a token lie in files that only their owner may read, the keys of an object store in a
profile of the AWS tools.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from connectors.object_store import ObjectFile
from connectors.postgresql_source import PostgresqlTable
from connectors.sources import DuckdbTable, Source
from connectors.spark_cluster import SparkCluster
from connectors.spark_source import SparkFile, SparkTable
from policies.plain_text import show_path
from records.errors import MalformedDocument
from records.parties import Role
from sandbox.keystore import read_private

FORMS = "a file, or a mapping whose `kind` is duckdb, postgresql, object, spark-table or spark-file"
MAX_NAMES = 3

Text = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    """Fixed once read; an unknown field is an error. Errors quote no value, which may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class DuckdbConfiguration(_Section):
    """A table of a DuckDB file."""

    kind: Literal["duckdb"]
    path: Text
    table: Text
    schema_name: Text = Field(default="main", alias="schema")

    def within(self, folder: Path) -> DuckdbTable:
        """Return the source."""
        return DuckdbTable(folder / self.path, self.table, self.schema_name)


class PostgresqlConfiguration(_Section):
    """A table of a PostgreSQL database; `dsn_file` holds the connection string, alone."""

    kind: Literal["postgresql"]
    table: Text
    schema_name: Text = Field(default="public", alias="schema")
    dsn_file: Text

    def within(self, folder: Path) -> PostgresqlTable:
        """Return the source."""
        return PostgresqlTable(
            self.table, self.schema_name, dsn_file=_private("dsn_file", folder / self.dsn_file)
        )


class ObjectConfiguration(_Section):
    """A file in an S3-style object store; the profile has its keys, its region and its endpoint."""

    kind: Literal["object"]
    url: Text
    profile: Text | None = None

    def within(self, folder: Path) -> ObjectFile:
        """Return the source; nothing of it lies in `folder`."""
        return ObjectFile(self.url, {} if self.profile is None else {"profile": self.profile})


class _SparkConfiguration(_Section):
    remote: Text
    token_file: Text | None = None

    def cluster(self, folder: Path) -> SparkCluster:
        """Return the cluster; see `SparkCluster` for what `remote` may be."""
        token = None if self.token_file is None else _private("token_file", folder / self.token_file)
        return SparkCluster(self.remote, token)


class SparkTableConfiguration(_SparkConfiguration):
    """A table in the catalog of a Spark cluster, its names outermost first."""

    kind: Literal["spark-table"]
    table: Annotated[tuple[Text, ...], Field(strict=False, min_length=1, max_length=MAX_NAMES)]

    def within(self, folder: Path) -> SparkTable:
        """Return the source."""
        return SparkTable(self.cluster(folder), self.table)


class SparkFileConfiguration(_SparkConfiguration):
    """A file or folder at a path that a Spark cluster can read."""

    kind: Literal["spark-file"]
    path: Text

    def within(self, folder: Path) -> SparkFile:
        """Return the source."""
        return SparkFile(self.cluster(folder), self.path)


def _kind(source: object) -> object:
    if isinstance(source, str):
        return "file"
    return source.get("kind") if isinstance(source, dict) else getattr(source, "kind", None)


SourceConfiguration: TypeAlias = Annotated[
    Annotated[Text, Tag("file")]
    | Annotated[DuckdbConfiguration, Tag("duckdb")]
    | Annotated[PostgresqlConfiguration, Tag("postgresql")]
    | Annotated[ObjectConfiguration, Tag("object")]
    | Annotated[SparkTableConfiguration, Tag("spark-table")]
    | Annotated[SparkFileConfiguration, Tag("spark-file")],
    Discriminator(_kind),
]


class ProductConfiguration(_Section):
    """One product in `node.yaml`."""

    source: SourceConfiguration
    terms: str
    collections: Annotated[tuple[str, ...], Field(strict=False)] = ()

    def source_within(self, folder: Path) -> Source:
        """Return where the rows lie, for the node whose folder it is.

        Raises:
            MalformedDocument, NotPermitted, UnknownObject: a file with a secret is missing, or others may
                read it; or the address of a Spark cluster cannot be used.
        """
        return folder / self.source if isinstance(self.source, str) else self.source.within(folder)


class NodeConfiguration(_Section):
    """What stands in `node.yaml`."""

    pins: dict[str, str] = Field(default_factory=dict)
    first_use: Annotated[tuple[Role, ...], Field(strict=False)] = ("buyer",)
    products: dict[str, ProductConfiguration] = Field(default_factory=dict)
    data_port: int | None = Field(default=0, ge=0, le=65535)
    """Where the TLS data channel listens: 0 is any free port, null leaves all frames to gRPC."""

    @classmethod
    def read(cls, path: Path) -> NodeConfiguration:
        """Read `node.yaml`.

        Raises:
            MalformedDocument: it does not parse, or has an unknown field.
        """
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()) or {})
        except (yaml.YAMLError, UnicodeDecodeError):
            # Their own text quotes the line, in which a secret may have been put by mistake.
            raise MalformedDocument(f"`{path.name}` is not YAML") from None
        except ValidationError as error:
            raise MalformedDocument(f"`{path.name}`: {_explain(error)}") from None

    def write(self, path: Path) -> None:
        """Write `node.yaml`."""
        path.write_text(self.to_yaml())

    def to_yaml(self) -> str:
        """Return the text of `node.yaml`."""
        document: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return yaml.safe_dump(document, sort_keys=False)


def _private(field: str, path: Path) -> Path:
    """Return the path of a file with a secret, if it is there and its owner's alone."""
    try:
        read_private(path)
    except OSError:
        raise MalformedDocument(f"the file that `{field}` names cannot be read") from None
    return path


_SAYINGS = {
    "extra_forbidden": "there is no such field",
    "missing": "the field is missing",
    "union_tag_invalid": f"expected {FORMS}",
    "union_tag_not_found": f"expected {FORMS}",
}


def _explain(error: ValidationError) -> str:
    faults: dict[str, str] = {}
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        faults[show_path(item["loc"])] = _SAYINGS.get(item["type"], "not a value of this field")
    return "; ".join(f"`{path}`: {text}" for path, text in faults.items())
