"""One party's database: transactions and migrations.

SQLite by default (WAL, `synchronous=FULL`: what was committed survives a power cut); PostgreSQL by URL. Lower
layers take an open connection; only this class begins and commits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT_MS = 30_000
MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """A database with its schema brought up to date at opening."""

    def __init__(self, url: str) -> None:
        """Open `url` (`sqlite:///file` or `postgresql+psycopg://…`) and migrate it."""
        self._engine = _engine(url)
        self.writing_s = 0.0
        """Time spent in write transactions since the store was opened, waiting for their lock included."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @classmethod
    def in_folder(cls, folder: Path) -> Store:
        """Open the embedded store of a party that lives in `folder`."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(f"sqlite:///{folder / 'store.sqlite'}")

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection in a write transaction; commit at the end, roll back on any exception."""
        started = time.perf_counter()
        with self._engine.connect() as plain:
            connection = plain.execution_options(usufruct_write=True)
            with connection.begin():
                yield connection
        self.writing_s += time.perf_counter() - started

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection for reading one consistent state."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver's own implicit BEGIN would start readers' transactions: we begin by hand, below.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "secure_delete=ON",  # a destroyed key must not survive in free pages
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: upgrading a read lock later can fail half-way.
    write = connection.get_execution_options().get("usufruct_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
