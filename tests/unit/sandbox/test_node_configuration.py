from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.object_store import ObjectFile
from connectors.postgresql_source import PostgresqlTable
from connectors.sources import DuckdbTable, Source
from connectors.spark_cluster import SparkCluster
from connectors.spark_source import SparkFile, SparkTable
from records.errors import MalformedDocument, NotPermitted, UnknownObject, UsufructError
from sandbox.cli.logs import JsonLines
from sandbox.node import configuration
from sandbox.node.configuration import NodeConfiguration

HERE = Path("/srv/node")
LOCAL = "sc://127.0.0.1:15002"
CANARY = "planted-secret"
DSN = f"postgresql://shop:{CANARY}@db.internal/shop"


def read(text: str, folder: Path) -> NodeConfiguration:
    file = folder / "node.yaml"
    file.write_text(text)
    return NodeConfiguration.read(file)


def offered(source: Any, folder: Path) -> NodeConfiguration:
    return read(yaml.safe_dump({"products": {"orders": {"source": source, "terms": "terms.yaml"}}}), folder)


def secret(folder: Path, name: str, mode: int = 0o600) -> Path:
    (folder / name).write_text(DSN)
    (folder / name).chmod(mode)
    return folder / name


@pytest.mark.parametrize(("text", "port"), [("", 0), ("data_port: 7443", 7443), ("data_port: null", None)])
def test_a_node_has_a_data_channel_unless_its_officer_says_no(
    text: str, port: int | None, tmp_path: Path
) -> None:
    assert read(text, tmp_path).data_port == port


@pytest.mark.parametrize("text", ["data_port: -1", "data_port: 65536", "data_port: tls"])
def test_a_data_port_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedDocument, match="data_port"):
        read(text, tmp_path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("orders.parquet", HERE / "orders.parquet"),
        ("/data/orders.csv", Path("/data/orders.csv")),
        (
            {"kind": "duckdb", "path": "shop.duckdb", "table": "orders"},
            DuckdbTable(HERE / "shop.duckdb", "orders"),
        ),
        (
            {"kind": "duckdb", "path": "/data/shop.duckdb", "table": "orders", "schema": "old"},
            DuckdbTable(Path("/data/shop.duckdb"), "orders", "old"),
        ),
        ({"kind": "object", "url": "s3://shop/orders.csv"}, ObjectFile("s3://shop/orders.csv")),
        (
            {"kind": "object", "url": "s3://shop/orders.csv", "profile": "shop"},
            ObjectFile("s3://shop/orders.csv", {"profile": "shop"}),
        ),
        (
            {"kind": "spark-table", "remote": LOCAL, "table": ["sales", "orders"]},
            SparkTable(SparkCluster(LOCAL), ("sales", "orders")),
        ),
        (
            {"kind": "spark-file", "remote": LOCAL, "path": "/lake/orders.parquet"},
            SparkFile(SparkCluster(LOCAL), "/lake/orders.parquet"),
        ),
    ],
)
def test_every_kind_of_source_is_configured_and_found_from_the_nodes_folder(
    written: Any, meant: Source, tmp_path: Path
) -> None:
    assert offered(written, tmp_path).products["orders"].source_within(HERE) == meant


def test_secrets_are_named_by_their_files(tmp_path: Path) -> None:
    dsn_file, token_file = secret(tmp_path, "shop.dsn"), secret(tmp_path, "token")
    table: dict[str, Any] = {"kind": "postgresql", "table": "orders", "dsn_file": "shop.dsn"}
    found = offered(table, tmp_path).products["orders"].source_within(tmp_path)
    assert found == PostgresqlTable("orders", "public", dsn_file=dsn_file)
    table = {"kind": "spark-table", "remote": LOCAL, "table": ["orders"], "token_file": "token"}
    found = offered(table, tmp_path).products["orders"].source_within(tmp_path)
    assert found == SparkTable(SparkCluster(LOCAL, token_file), ("orders",))


@pytest.mark.parametrize("field", ["dsn_file", "token_file"])
def test_a_secret_that_others_may_read_is_not_used(field: str, tmp_path: Path) -> None:
    written = {"kind": "postgresql", "table": "orders", "dsn_file": "secret"}
    if field == "token_file":
        written = {"kind": "spark-file", "remote": LOCAL, "path": "/o.csv", "token_file": "secret"}
    product = offered(written, tmp_path).products["orders"]
    with pytest.raises(UnknownObject, match="no file `secret`"):
        product.source_within(tmp_path)
    (tmp_path / "secret").mkdir()
    with pytest.raises(MalformedDocument, match=field):
        product.source_within(tmp_path)
    (tmp_path / "secret").rmdir()
    secret(tmp_path, "secret", 0o640)
    with pytest.raises(NotPermitted, match="0600"):
        product.source_within(tmp_path)
    (tmp_path / "secret").chmod(0o600)
    product.source_within(tmp_path)


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({"kind": "postgresql", "table": "orders", "dsn": DSN}, "products.orders.source.postgresql.dsn"),
        ({"kind": "postgresql", "table": "orders"}, "products.orders.source.postgresql.dsn_file"),
        (
            {"kind": "object", "url": "s3://shop/o.csv", "key": "shop", "secret": CANARY},
            "products.orders.source.object.secret",
        ),
        (
            {"kind": "object", "url": "s3://shop/o.csv", "profile": {"secret": CANARY}},
            "products.orders.source.object.profile",
        ),
        (
            {"kind": "spark-table", "remote": LOCAL, "table": ["a", "b", "c", CANARY]},
            "products.orders.source.spark-table.table",
        ),
        (
            {"kind": "spark-file", "remote": LOCAL, "path": "/o.csv", "token": CANARY},
            "products.orders.source.spark-file.token",
        ),
        ({"kind": "duckdb", "path": "", "table": "orders"}, "products.orders.source.duckdb.path"),
        ({"kind": "mysql", "dsn": DSN}, "products.orders.source"),
        ({"dsn": DSN}, "products.orders.source"),
        ([DSN], "products.orders.source"),
        ("", "products.orders.source.file"),
        ({"kind": "duckdb", "path": "o", "table": "orders", DSN: 1}, "products.orders.source.duckdb.?"),
    ],
)
def test_a_field_that_does_not_belong_is_refused_by_name_and_without_its_value(
    written: Any, field: str, tmp_path: Path
) -> None:
    with pytest.raises(MalformedDocument, match=re.escape(f"`{field}`")) as refusal:
        offered(written, tmp_path)
    assert CANARY not in logged(refusal.value)


def test_a_file_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    text = f"products: {{orders: {{source: [{DSN}}}}}}}"
    with pytest.raises(MalformedDocument, match="not YAML") as refusal:
        read(text, tmp_path)
    assert CANARY not in logged(refusal.value)
    # Control: the parser's own error quotes the line.
    with pytest.raises(yaml.YAMLError, match=CANARY):
        yaml.safe_load(text)


def test_a_file_that_is_no_text_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_bytes(f"# {DSN} \xff".encode("latin-1"))
    with pytest.raises(MalformedDocument, match="not YAML") as refusal:
        NodeConfiguration.read(tmp_path / "node.yaml")
    assert CANARY not in logged(refusal.value)


def test_a_token_in_an_address_is_refused_when_the_source_is_opened(tmp_path: Path) -> None:
    remote = f"sc://localhost:15002/;token={CANARY}"
    product = offered({"kind": "spark-file", "remote": remote, "path": "/o.csv"}, tmp_path).products["orders"]
    with pytest.raises(MalformedDocument, match="token_file") as refusal:
        product.source_within(tmp_path)
    assert CANARY not in logged(refusal.value)


def test_what_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    text = (configuration.__doc__ or "").split("\n\n")[2]
    written = [yaml.safe_load(line) for line in text.splitlines()]
    for source in written:
        before = offered(source["source"], tmp_path)
        before.write(tmp_path / "node.yaml")
        assert NodeConfiguration.read(tmp_path / "node.yaml") == before
    kinds = {each["source"]["kind"] for each in written[1:]}
    assert kinds == {"duckdb", "postgresql", "object", "spark-table", "spark-file"}


def logged(error: UsufructError) -> str:
    """Return the error as a node's log and a traceback show it, with all that caused it."""
    record = logging.LogRecord("sandbox", logging.ERROR, "", 0, "it", None, (type(error), error, None))
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return JsonLines().format(record)
