"""Without an extra the other sources work, and the one that needs it says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys
for name in ("psycopg", "s3fs", "fsspec", "pyspark"):
    sys.modules[name] = None
import pyarrow as pa
from connectors.object_store import ObjectFile
from connectors.postgresql_source import PostgresqlTable
from connectors.sources import open_source
from records.errors import SourceUnreadable
assert open_source(pa.table({{"a": [1]}})).execute("SELECT a FROM t", "t").num_rows == 1
try:
    open_source({source})
except SourceUnreadable as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("source", "extra"),
    [
        ("PostgresqlTable('t', dsn='')", "usufruct[postgresql]"),
        ("ObjectFile('s3://a/b.csv')", "usufruct[objects]"),
        ("'s3://a/b.csv'", "usufruct[objects]"),
    ],
)
def test_missing_extra_is_named(source: str, extra: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(source=source)], capture_output=True, text=True, check=False
    )
    assert extra in ran.stdout, ran.stderr
