"""A migrated store per test, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from sandbox.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.in_folder(tmp_path / "party")
    yield opened
    opened.close()


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    """A connection in one write transaction."""
    with store.begin() as opened:
        yield opened
