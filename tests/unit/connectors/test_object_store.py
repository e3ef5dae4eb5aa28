"""Objects of a store keep the contract; credentials are not shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from connectors.object_store import ObjectFile
from connectors.sources import open_source
from records.errors import MalformedDocument, SourceUnreadable
from tests.unit.connectors.contract import DecimalContract, Places
from tests.unit.connectors.object_server import BUCKET, ObjectPlace, running_store


@pytest.fixture(scope="module")
def store() -> Iterator[Mapping[str, Any]]:
    with running_store() as options:
        yield options


class TestObject(DecimalContract):
    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, store: Mapping[str, Any]) -> Places:
        return lambda: ObjectPlace(store)


def test_text_and_arrow_objects_are_read(store: Mapping[str, Any]) -> None:
    filesystem = S3FileSystem(**store)
    filesystem.pipe(f"{BUCKET}/rows.csv", b"a,b\n1,x\n2,NA\n")
    with filesystem.open(f"{BUCKET}/rows.arrow", "wb") as file:
        table = pa.table({"a": [1, 2], "b": ["x", None]})
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    for ending in ("csv", "arrow"):
        source = open_source(ObjectFile(f"s3://{BUCKET}/rows.{ending}", store))
        assert source.execute("SELECT * FROM t", "t").equals(table)


def test_object_rewritten_with_the_same_content_is_still_read(store: Mapping[str, Any]) -> None:
    place = ObjectPlace(store)
    place.write(pa.table({"a": [1]}))
    source = place.open()
    place.write(pa.table({"a": [1]}))
    assert source.execute("SELECT a FROM t", "t").to_pylist() == [{"a": 1}]
    place.write(pa.table({"a": [2]}))
    with pytest.raises(SourceUnreadable, match="changed"):
        source.execute("SELECT a FROM t", "t")


def test_credentials_are_not_shown(store: Mapping[str, Any]) -> None:
    source = ObjectFile("s3://nowhere/rows.parquet", store)
    assert "planted-secret" not in repr(source)
    with pytest.raises(SourceUnreadable) as caught:
        open_source(source)
    assert "planted-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["gs://shop/rows.csv", "/etc/passwd", "s3://shop/*.parquet"])
def test_address_names_one_object_of_s3(url: str) -> None:
    with pytest.raises(MalformedDocument):
        open_source(ObjectFile(url))
