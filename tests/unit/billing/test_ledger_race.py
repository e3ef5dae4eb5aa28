"""Two holds at once over one account, the second run between the first's reading and its writing.

Either defence alone stops the overdraft: BEGIN IMMEDIATE, as `sandbox/store` begins, and the constraint
in the database. The control has neither.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import IntegrityError, OperationalError

from billing import accounts, ledger
from billing.tables import metadata
from tests.unit.billing.moments import NOW, after


def open_engine(path: Path, *, immediate: bool, constraints: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: object) -> None:
        connection.isolation_level = None if immediate else "DEFERRED"
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA ignore_check_constraints = {'OFF' if constraints else 'ON'}")
        cursor.close()

    if immediate:
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def hold(engine: Engine, transfer_id: str) -> None:
    with engine.begin() as conn:
        ledger.hold(
            conn,
            transfer_id,
            debit="acme",
            credit="clearing",
            amount=60,
            unit="CNY",
            expires_at=after(60),
            now=NOW,
        )


def race(path: Path, *, immediate: bool, constraints: bool) -> int:
    """Run the two holds and return what the account, credited with 100, is then debited with."""
    outer, inner = (open_engine(path, immediate=immediate, constraints=constraints) for _ in range(2))
    try:
        metadata.create_all(outer)
        with outer.begin() as conn:
            accounts.open_account(conn, "bank", "CNY", "free")
            accounts.open_account(conn, "acme", "CNY", "credit-limited")
            accounts.open_account(conn, "clearing", "CNY", "free")
            ledger.transfer(conn, "fund", debit="bank", credit="acme", amount=100, unit="CNY", now=NOW)

        @event.listens_for(outer, "before_cursor_execute")
        def _run_the_other(_: object, __: object, statement: str, *___: object) -> None:
            if statement.startswith("INSERT INTO transfer"):
                hold(inner, "second")

        hold(outer, "first")
        with inner.connect() as conn:
            return int(
                conn.execute(text("SELECT sum(amount) FROM transfer WHERE kind = 'hold'")).scalar_one()
            )
    finally:
        outer.dispose()
        inner.dispose()


def test_without_either_defence_the_account_is_overdrawn(tmp_path: Path) -> None:
    assert race(tmp_path / "ledger", immediate=False, constraints=False) == 120


def test_the_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="locked"):
        race(tmp_path / "ledger", immediate=True, constraints=False)


def test_the_database_refuses_the_overdraft_by_itself(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="bound_kept"):
        race(tmp_path / "ledger", immediate=False, constraints=True)
