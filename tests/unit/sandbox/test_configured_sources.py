"""Sources as `node.yaml` names them are opened, with secrets where the officer keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from connectors.connector import Connector
from connectors.sources import open_source
from sandbox.node.configuration import (
    DuckdbConfiguration,
    ObjectConfiguration,
    PostgresqlConfiguration,
    ProductConfiguration,
    SourceConfiguration,
)
from tests.unit.connectors.object_server import ObjectPlace, running_store
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

ROWS = pa.table({"city": ["Nanjing", "Wuhan", None], "visits": [1, 2, 3]})
QUERY = 'SELECT SUM("visits") AS "s", COUNT("city") AS "n" FROM "t"'


@pytest.fixture(scope="module")
def store() -> Iterator[Mapping[str, Any]]:
    with running_store() as options:
        yield options


def opened(source: SourceConfiguration, folder: Path) -> Connector:
    return open_source(ProductConfiguration(source=source, terms="terms.yaml").source_within(folder))


def require_rows(connector: Connector) -> None:
    assert connector.execute(QUERY, "t").to_pylist() == [{"s": 6, "n": 2}]
    connector.close()


def test_a_table_of_a_duckdb_file_in_the_nodes_folder(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as database:
        database.from_arrow(ROWS).create("visits")
    require_rows(opened(DuckdbConfiguration(kind="duckdb", path="shop.duckdb", table="visits"), tmp_path))


def test_a_table_of_a_database_whose_connection_string_lies_in_a_private_file(tmp_path: Path) -> None:
    with running_server() as uri:
        place = PostgresqlPlace(uri)
        place.write(ROWS)
        (tmp_path / "shop.dsn").write_text(uri + "\n")
        (tmp_path / "shop.dsn").chmod(0o600)
        source = PostgresqlConfiguration(kind="postgresql", table=place.table, dsn_file="shop.dsn")
        require_rows(opened(source, tmp_path))


def test_an_object_whose_keys_region_and_endpoint_stand_in_a_profile(
    store: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ObjectPlace(store)
    place.write(ROWS)
    (tmp_path / "config").write_text(
        f"[profile shop]\nregion = us-east-1\nendpoint_url = {store['endpoint_url']}\n"
        f"aws_access_key_id = {store['key']}\naws_secret_access_key = {store['secret']}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    require_rows(opened(ObjectConfiguration(kind="object", url=place.url, profile="shop"), tmp_path))
