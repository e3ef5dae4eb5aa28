"""The sources that need no server keep the contract."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.unit.connectors.contract import ConnectorContract, DecimalContract, Places
from tests.unit.connectors.places import DuckdbPlace, FileKind, FilePlace, MemoryPlace


def file_places(folder: Path, kind: FileKind) -> Places:
    numbers = count()
    return lambda: FilePlace(folder / f"rows{next(numbers)}.{kind}")


class TestCsv(ConnectorContract):
    @pytest.fixture(scope="class", params=["csv", "tsv"])
    @classmethod
    def places(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
        return file_places(tmp_path_factory.mktemp("text"), request.param)


class TestFile(DecimalContract):
    @pytest.fixture(scope="class", params=["parquet", "arrow", "feather"])
    @classmethod
    def places(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
        return file_places(tmp_path_factory.mktemp("columns"), request.param)


class TestMemory(DecimalContract):
    keeps_copy = True

    @pytest.fixture(scope="class", params=["table", "frame"])
    @classmethod
    def places(cls, request: pytest.FixtureRequest) -> Places:
        return lambda: MemoryPlace(request.param)


class TestDuckdbFile(DecimalContract):
    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, tmp_path_factory: pytest.TempPathFactory) -> Places:
        folder, numbers = tmp_path_factory.mktemp("databases"), count()
        return lambda: DuckdbPlace(folder / f"shop{next(numbers)}.duckdb")
