"""The tables of TPC-H: made once by `tpchgen-cli`, spread over three providers, and read in plain DuckDB.

No provider sees another's files; only the benchmark reads them together, to compute each answer again.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "shop": ("customer", "orders"),
    "carrier": ("lineitem",),
    "supply": ("part", "partsupp", "supplier", "nation", "region"),
}
"""Provider → its tables; in SQL `shop.customer`."""

BUILD = Path(__file__).parents[2] / "build" / "tpch"


def generate(scale: str, build: Path = BUILD) -> Path:
    """Return the folder with one Parquet file per table at scale factor `scale`, making it if need be.

    Raises:
        subprocess.CalledProcessError: the generator fails.
    """
    folder = build / f"sf{scale}"
    if folder.exists():
        return folder
    build.mkdir(parents=True, exist_ok=True)
    generator = Path(sysconfig.get_path("scripts")) / "tpchgen-cli"
    # Made beside its place and moved there whole, so that an interrupted run leaves no half of the tables.
    unfinished = Path(tempfile.mkdtemp(dir=build))
    try:
        command = [str(generator), "parquet", "-s", scale, "-o", str(unfinished), "--quiet"]
        subprocess.run(command, check=True)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    return folder


def files(folder: Path) -> dict[str, Path]:
    """Return the file of each product, by its name in SQL."""
    return {
        f"{provider}.{table}": folder / f"{table}.parquet"
        for provider, tables in PROVIDERS.items()
        for table in tables
    }


def row_counts(folder: Path) -> dict[str, int]:
    """Return how many rows each product has."""
    return {name: pq.read_metadata(path).num_rows for name, path in files(folder).items()}


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return plain DuckDB with all tables in memory under the names that the queries use."""
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    for provider in PROVIDERS:
        connection.execute(f"CREATE SCHEMA {provider}")
    for name, path in files(folder).items():
        connection.execute(f"CREATE TABLE {name} AS FROM read_parquet('{path}')")
    return connection
