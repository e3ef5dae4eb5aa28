"""A released result outside of the SDK: as a file, as JSON, as a table on the terminal."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.table import Table

from sandbox.cli import output

ROWS_SHOWN = 40


def write(table: pa.Table, path: Path) -> None:
    """Write a table as CSV or Parquet, as the file's ending says (`ENDINGS`)."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, path)
    else:
        from pyarrow import csv

        csv.write_csv(table, path)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as JSON objects: decimals that are whole as integers, others and dates as text."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def on_screen(table: pa.Table) -> tuple[Table | str, ...]:
    """Return the first rows as a table, with a line that says how many are left out."""
    shown = table.slice(0, ROWS_SHOWN).to_pylist()
    cells = [["" if value is None else value for value in row.values()] for row in shown]
    more = table.num_rows - len(shown)
    rest = (f"… and {more} more rows; `--out FILE` keeps them all",) if more else ()
    return (output.table(table.column_names, cells), *rest)


def _plain(value: Any) -> Any:
    match value:
        case Decimal() if value == value.to_integral_value():
            return int(value)
        case Decimal() | date():
            return str(value)
        case float() if value != value or abs(value) == float("inf"):
            return str(value)
    return value
