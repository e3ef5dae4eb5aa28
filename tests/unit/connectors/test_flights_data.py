"""The demo's data: every flight arrives at its airline, with its types and nulls."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources import open_source
from examples.flights import data
from records.errors import MalformedDocument, UnknownObject

ALL = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")


def test_flights_are_split_by_carrier_without_loss(tmp_path: Path) -> None:
    files = data.airlines(tmp_path, {"skyline": ("UA",), "others": tuple(c for c in ALL if c != "UA")})
    sources = {provider: open_source(path) for provider, path in files.items()}
    assert sum(source.snapshot().rows for source in sources.values()) == 336_776
    united = sources["skyline"].execute("SELECT DISTINCT carrier FROM f", "f")
    assert united.to_pylist() == [{"carrier": "UA"}]
    schema = {column.name: column.type for column in sources["others"].schema()}
    assert len(schema) == 19
    assert schema["dep_delay"] == "BIGINT"
    assert schema["time_hour"] == "TIMESTAMP"
    # R's nycflights13: 8,255 cancelled flights have no departure delay, the mean of the others is 12.639 min.
    query = "SELECT count(*) - count(dep_delay) AS missing, sum(dep_delay) AS total FROM f"
    parts = [source.execute(query, "f").to_pylist()[0] for source in sources.values()]
    assert sum(part["missing"] for part in parts) == 8_255
    assert float(sum(part["total"] for part in parts)) / (336_776 - 8_255) == pytest.approx(12.639, abs=5e-4)


def test_weather_and_planes_are_whole(tmp_path: Path) -> None:
    weather = open_source(data.weather(tmp_path))
    planes = open_source(data.planes(tmp_path))
    assert (weather.snapshot().rows, planes.snapshot().rows) == (26_115, 3_322)
    assert weather.execute("SELECT count(*) - count(wind_gust) AS n FROM w", "w").to_pylist() == [
        {"n": 20_778}
    ]


def test_carrier_is_given_once_and_exists(tmp_path: Path) -> None:
    with pytest.raises(MalformedDocument):
        data.airlines(tmp_path, {"a": ("UA",), "b": ("UA",)})
    with pytest.raises(UnknownObject):
        data.airlines(tmp_path, {"a": ("XX",)})
