"""A party's store: its migrations give the schema of the tables, and what is committed stays."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, MetaData, Table, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

import billing.tables
import sandbox.exchange.tables
import sandbox.node.tables
from records.errors import StateConflict
from sandbox.exchange.tables import job
from sandbox.lifecycle import State
from sandbox.node.tables import counter
from sandbox.store import Store

METADATA = (
    billing.tables.metadata,
    sandbox.exchange.tables.metadata,
    sandbox.node.tables.metadata,
)


def everything() -> MetaData:
    whole = MetaData()
    for metadata in METADATA:
        for table in metadata.tables.values():
            table.to_metadata(whole)
    return whole


def test_the_migrations_give_the_schema_of_the_tables(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, everything()) == []


@pytest.mark.parametrize(
    "table",
    [pytest.param(table, id=name) for name, table in everything().tables.items()],
)
def test_the_migrations_give_every_check_of_the_tables(store: Store, table: Table) -> None:
    # Alembic compares no check constraints.
    stated = [*table.constraints, *(item for column in table.columns for item in column.constraints)]
    with store.read() as connection:
        found = inspect(connection).get_check_constraints(table.name)
    assert len(found) == sum(isinstance(item, CheckConstraint) for item in stated)


def test_no_two_packages_share_a_table() -> None:
    names = [name for metadata in METADATA for name in metadata.tables]
    assert len(set(names)) == len(names)


def test_a_job_in_a_state_that_is_none_is_not_stored(store: Store) -> None:
    values = {
        "job_id": "j",
        "buyer": "acme",
        "idempotency_key": "k",
        "digest": "d",
        "job": b"",
        "attempt": 0,
        "reasons": b"[]",
        "expires_at": "t",
        "created_at": "t",
    }
    for number, state in enumerate(State):
        with store.begin() as connection:
            row = values | {"job_id": str(number), "idempotency_key": str(number), "state": state}
            connection.execute(insert(job).values(row))
    with pytest.raises(IntegrityError), store.begin() as connection:
        connection.execute(insert(job).values(values | {"state": "PAID"}))


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("busy_timeout", 30_000),
    ],
)
def test_what_is_committed_survives_a_power_cut(store: Store, pragma: str, value: object) -> None:
    for opening in (store.read, store.begin):
        with opening() as connection:
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value


def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    store = Store.in_folder(tmp_path / "own")
    store.close()
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def _count(store: Store) -> int:
    with store.read() as connection:
        return len(connection.execute(select(counter)).all())


def _write(store: Store, *values: int, then: Exception | None = None) -> None:
    with store.begin() as connection:
        for value in values:
            connection.execute(insert(counter).values(name="a", value=value))
        if then is not None:
            raise then


def test_a_failing_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(StateConflict):
        _write(store, 1, then=StateConflict("no"))
    assert _count(store) == 0


def test_a_transaction_that_breaks_a_rule_leaves_nothing(store: Store) -> None:
    with pytest.raises(IntegrityError):
        _write(store, 1, 2)
    assert _count(store) == 0


def test_a_reader_sees_one_state_while_a_writer_commits(store: Store) -> None:
    with store.read() as reading:
        assert reading.execute(select(counter)).all() == []
        with store.begin() as writing:
            writing.execute(insert(counter).values(name="a", value=1))
        assert reading.execute(select(counter)).all() == []
    assert _count(store) == 1


def test_writers_wait_for_each_other(store: Store) -> None:
    with store.begin() as connection:
        connection.execute(insert(counter).values(name="a", value=0))
    errors: list[OperationalError] = []

    def add() -> None:
        try:
            for _ in range(10):
                with store.begin() as connection:
                    value = connection.execute(select(counter.c.value)).scalar_one()
                    connection.execute(counter.update().values(value=value + 1))
        except OperationalError as error:
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with store.read() as connection:
        assert connection.execute(select(counter.c.value)).scalar_one() == 40


def test_a_store_is_opened_again_with_what_it_holds(tmp_path: Path) -> None:
    first = Store.in_folder(tmp_path)
    with first.begin() as connection:
        connection.execute(insert(counter).values(name="a", value=1))
    first.close()
    second = Store.in_folder(tmp_path)
    assert _count(second) == 1
    second.close()
