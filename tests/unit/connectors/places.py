"""Places for the sources that need no server: files of each kind, and rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from connectors.connector import Connector
from connectors.sources import DuckdbTable, open_source

FileKind = Literal["csv", "tsv", "parquet", "arrow", "feather"]


def write_file(rows: pa.Table, path: Path) -> None:
    """Write rows as the ending of the path says."""
    match path.suffix:
        case ".csv" | ".tsv":
            delimiter = "," if path.suffix == ".csv" else "\t"
            pa.csv.write_csv(rows, path, pa.csv.WriteOptions(delimiter=delimiter))
        case ".parquet":
            pq.write_table(rows, path)
        case ".arrow":
            with pa.ipc.new_file(path, rows.schema) as writer:
                writer.write_table(rows)
        case _:
            pa.feather.write_feather(rows, path)


class FilePlace:
    """A file that is written again in place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: pa.Table) -> None:
        write_file(rows, self.path)

    def open(self) -> Connector:
        return open_source(self.path)


class DuckdbPlace:
    """A table of a DuckDB file that another file takes the place of, as no program can write an open one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, rows: pa.Table) -> None:
        written = self.path.with_suffix(".next")
        with duckdb.connect(str(written)) as database:
            database.execute("CREATE SCHEMA \"the shop\"; CREATE TABLE other AS SELECT 'topsecret' AS s")
            database.from_arrow(rows).create('"the shop"."rows; --"')
        written.replace(self.path)

    def open(self) -> Connector:
        return open_source(DuckdbTable(self.path, "rows; --", schema="the shop"))


class MemoryPlace:
    """An Arrow table or a DataFrame."""

    def __init__(self, kind: Literal["table", "frame"]) -> None:
        self.kind = kind
        self.rows = pa.table({})

    def write(self, rows: pa.Table) -> None:
        self.rows = rows

    def open(self) -> Connector:
        # A frame of NumPy types has no place for a null among integers or decimals.
        frame = self.rows.to_pandas(types_mapper=pd.ArrowDtype)
        return open_source(self.rows if self.kind == "table" else frame)
