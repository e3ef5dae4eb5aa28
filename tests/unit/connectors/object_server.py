"""An S3 endpoint on loopback, by `moto`'s server."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from connectors.connector import Connector
from connectors.object_store import ObjectFile
from connectors.sources import open_source

BUCKET = "shop"


@contextmanager
def running_store() -> Iterator[Mapping[str, Any]]:
    """Give the storage options of a store with one bucket, which ends with the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "key", "secret": "planted-secret", "endpoint_url": f"http://{host}:{port}"}
        S3FileSystem(**options).makedirs(BUCKET, exist_ok=True)
        yield options
    finally:
        server.stop()


class ObjectPlace:
    """A Parquet object that is written again in place."""

    numbers = count()

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.url = f"s3://{BUCKET}/rows {next(self.numbers)}.parquet"

    def write(self, rows: pa.Table) -> None:
        with S3FileSystem(**self.options).open(self.url, "wb") as file:
            pq.write_table(rows, file)

    def open(self) -> Connector:
        return open_source(ObjectFile(self.url, self.options))
