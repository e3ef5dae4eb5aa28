"""A ledger that somebody wrote into past the engine does not balance."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from billing import accounts, ledger, trial_balance
from records.errors import EvidenceError
from tests.unit.billing.moments import NOW, after


@pytest.fixture(autouse=True)
def _some_trade(conn: Connection) -> None:
    accounts.open_account(conn, "bank", "CNY", "free")
    accounts.open_account(conn, "acme", "CNY", "credit-limited")
    accounts.open_account(conn, "clearing", "CNY", "credit-limited")
    ledger.transfer(conn, "fund", debit="bank", credit="acme", amount=100, unit="CNY", now=NOW)
    for name in ("open", "posted", "voided"):
        ledger.hold(
            conn,
            name,
            debit="acme",
            credit="clearing",
            amount=30,
            unit="CNY",
            expires_at=after(60),
            now=NOW,
        )
    ledger.post(conn, "post", "posted", 20, NOW)
    ledger.void(conn, "void", "voided", NOW)
    ledger.transfer(conn, "wrong", debit="bank", credit="acme", amount=7, unit="CNY", now=NOW)
    ledger.reverse(conn, "back", "wrong", NOW)
    conn.execute(text("PRAGMA ignore_check_constraints = ON"))


def test_a_ledger_written_by_the_engine_balances(conn: Connection) -> None:
    report = trial_balance.check(conn)
    assert report == trial_balance.TrialBalance(
        accounts=3, transfers=8, open_holds=1, posted={"CNY": 100 + 20 + 7 + 7}
    )


@pytest.mark.parametrize(
    ("forgery", "finding"),
    [
        ("UPDATE account SET credits_posted = credits_posted + 1 WHERE account_id = 'acme'", "`acme`"),
        ("UPDATE account SET debits_pending = 0 WHERE account_id = 'acme'", "`acme`"),
        ("UPDATE transfer SET amount = 101 WHERE transfer_id = 'fund'", "`acme`"),
        ("DELETE FROM transfer WHERE transfer_id = 'open'", "`acme`"),
        ("DELETE FROM transfer WHERE transfer_id = 'void'", "`acme`"),
        ("DELETE FROM transfer WHERE transfer_id = 'posted'", "`post`"),
        ("DELETE FROM account WHERE account_id = 'bank'", "`bank`"),
        ("UPDATE transfer SET amount = 31 WHERE transfer_id = 'post'", "`post`"),
        ("UPDATE transfer SET amount = 29 WHERE transfer_id = 'void'", "`void`"),
        ("UPDATE transfer SET refers_to = 'fund' WHERE transfer_id = 'void'", "`void`"),
        ("UPDATE transfer SET refers_to = NULL WHERE transfer_id = 'void'", "`void`"),
        ("UPDATE transfer SET refers_to = 'open' WHERE transfer_id = 'back'", "`back`"),
        ("UPDATE transfer SET debit = 'bank' WHERE transfer_id = 'post'", "`post`"),
        ("UPDATE transfer SET refers_to = 'void' WHERE transfer_id = 'fund'", "`fund`"),
        ("UPDATE account SET bound = 'credit-limited' WHERE account_id = 'bank'", "bound"),
    ],
)
def test_a_forged_row_is_found(conn: Connection, forgery: str, finding: str) -> None:
    conn.execute(text(forgery))
    with pytest.raises(EvidenceError, match=finding):
        trial_balance.check(conn)


def test_a_hold_closed_twice_is_found(conn: Connection) -> None:
    # A copy of the table lacks its unique keys, so that the second post can be written at all.
    conn.execute(text("ALTER TABLE transfer RENAME TO guarded"))
    conn.execute(text("CREATE TABLE transfer AS SELECT * FROM guarded"))
    conn.execute(text("INSERT INTO transfer SELECT * FROM guarded WHERE transfer_id = 'post'"))
    with pytest.raises(EvidenceError, match="`posted` is closed or reversed twice"):
        trial_balance.check(conn)


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE account SET debits_posted = 1000 WHERE account_id = 'acme'",
        "UPDATE transfer SET amount = 0 WHERE transfer_id = 'fund'",
        "UPDATE transfer SET expires_at = NULL WHERE transfer_id = 'open'",
        "UPDATE transfer SET refers_to = 'posted' WHERE transfer_id = 'void'",
    ],
)
def test_the_database_itself_refuses_what_breaks_a_bound_or_a_form(conn: Connection, forgery: str) -> None:
    conn.execute(text("PRAGMA ignore_check_constraints = OFF"))
    with pytest.raises(IntegrityError):
        conn.execute(text(forgery))
