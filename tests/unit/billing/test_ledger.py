"""Holds, posts, voids, transfers and reversals, one rule at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, update

from billing import accounts, ledger, tables
from billing.accounts import Balance, Outcome
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    RefusedError,
    RequestExpired,
    RequestReplayed,
    StateConflict,
    UnknownObject,
)
from tests.unit.billing.moments import NOW, after


@pytest.fixture(autouse=True)
def _funded(conn: Connection) -> None:
    accounts.open_account(conn, "bank", "CNY", "free")
    accounts.open_account(conn, "acme", "CNY", "credit-limited")
    accounts.open_account(conn, "clearing", "CNY", "credit-limited")
    ledger.transfer(conn, "fund", debit="bank", credit="acme", amount=100, unit="CNY", now=NOW)


def hold(conn: Connection, amount: int = 60, transfer_id: str = "hold", *, life_s: int = 60) -> Outcome:
    return ledger.hold(
        conn,
        transfer_id,
        debit="acme",
        credit="clearing",
        amount=amount,
        unit="CNY",
        expires_at=after(life_s),
        now=NOW,
    )


def test_a_hold_reserves_and_a_post_consumes_part_and_gives_the_rest_back(conn: Connection) -> None:
    assert hold(conn, 60) == "made"
    assert accounts.balance(conn, "acme", "CNY") == Balance(60, 0, 0, 100)
    assert accounts.balance(conn, "clearing", "CNY") == Balance(0, 60, 0, 0)
    assert ledger.post(conn, "post", "hold", 45, NOW) == "made"
    assert accounts.balance(conn, "acme", "CNY") == Balance(0, 0, 45, 100)
    assert accounts.balance(conn, "clearing", "CNY") == Balance(0, 0, 0, 45)


def test_a_void_gives_everything_back(conn: Connection) -> None:
    hold(conn, 60)
    ledger.void(conn, "void", "hold", NOW)
    assert accounts.balance(conn, "acme", "CNY") == Balance(0, 0, 0, 100)


def test_a_post_of_nothing_is_a_void(conn: Connection) -> None:
    hold(conn, 60)
    assert ledger.post(conn, "close", "hold", 0, NOW) == "made"
    assert ledger.void(conn, "close", "hold", NOW) == "exists"
    assert accounts.balance(conn, "acme", "CNY").available == 100


def test_a_reversal_is_a_new_row_the_other_way(conn: Connection) -> None:
    hold(conn, 60)
    ledger.post(conn, "post", "hold", 45, NOW)
    assert ledger.reverse(conn, "back", "post", NOW) == "made"
    assert accounts.balance(conn, "acme", "CNY") == Balance(0, 0, 45, 145)
    assert accounts.balance(conn, "clearing", "CNY") == Balance(0, 0, 45, 45)
    assert [entry.kind for entry in ledger.entries(conn, "clearing", "CNY")] == ["hold", "post", "reversal"]


def test_a_credit_limited_account_holds_its_last_unit_and_not_one_more(conn: Connection) -> None:
    hold(conn, 60, "first")
    with pytest.raises(RefusedError) as caught:
        hold(conn, 41, "second")
    assert caught.value.reasons[0].limit == "40"
    assert hold(conn, 40, "third") == "made"


def test_a_free_account_has_no_bound(conn: Connection) -> None:
    ledger.transfer(conn, "more", debit="bank", credit="acme", amount=10**12, unit="CNY", now=NOW)
    assert accounts.balance(conn, "bank", "CNY").available < 0


def test_a_reversal_of_what_was_spent_is_refused(conn: Connection) -> None:
    hold(conn, 60)
    with pytest.raises(RefusedError):
        ledger.reverse(conn, "back", "fund", NOW)


def test_an_expired_hold_stays_pending_until_it_is_voided(conn: Connection) -> None:
    hold(conn, 60, life_s=60)
    with pytest.raises(RequestExpired):
        ledger.post(conn, "post", "hold", 45, after(60))
    assert accounts.balance(conn, "acme", "CNY").debits_pending == 60
    assert ledger.void(conn, "void", "hold", after(61)) == "made"


def test_a_hold_is_posted_until_the_moment_it_expires(conn: Connection) -> None:
    hold(conn, 60, life_s=60)
    assert ledger.post(conn, "post", "hold", 45, after(59)) == "made"


def test_a_spend_that_a_journal_proves_is_posted_even_after_expiry(conn: Connection) -> None:
    hold(conn, 60, life_s=60)
    assert ledger.post(conn, "post", "hold", 60, after(3600), even_expired=True) == "made"


def test_a_retry_of_a_post_is_answered_after_the_hold_expired(conn: Connection) -> None:
    hold(conn, 60, life_s=60)
    ledger.post(conn, "post", "hold", 45, NOW)
    assert ledger.post(conn, "post", "hold", 45, after(3600)) == "exists"


@pytest.mark.parametrize(
    "second",
    [
        lambda conn: ledger.post(conn, "again", "hold", 1, NOW),
        lambda conn: ledger.void(conn, "again", "hold", NOW),
        lambda conn: ledger.void(conn, "again", "post", NOW),
        lambda conn: ledger.reverse(conn, "again", "hold", NOW),
    ],
    ids=["post", "void", "void of a post", "reverse of a hold"],
)
def test_a_closed_hold_stays_closed(conn: Connection, second: Callable[[Connection], Outcome]) -> None:
    hold(conn, 60)
    ledger.post(conn, "post", "hold", 45, NOW)
    with pytest.raises(StateConflict):
        second(conn)


def test_a_transfer_is_reversed_once_and_a_reversal_never(conn: Connection) -> None:
    ledger.reverse(conn, "back", "fund", NOW)
    with pytest.raises(StateConflict):
        ledger.reverse(conn, "back-again", "fund", NOW)
    with pytest.raises(StateConflict):
        ledger.reverse(conn, "forth", "back", NOW)


def test_the_same_id_with_other_content_is_refused(conn: Connection) -> None:
    hold(conn, 60)
    assert hold(conn, 60) == "exists"
    with pytest.raises(RequestReplayed):
        hold(conn, 59)
    with pytest.raises(RequestReplayed):
        hold(conn, 60, life_s=61)
    with pytest.raises(RequestReplayed):
        ledger.void(conn, "hold", "hold", NOW)
    with pytest.raises(RequestReplayed):
        ledger.transfer(conn, "hold", debit="acme", credit="clearing", amount=60, unit="CNY", now=NOW)


def test_more_than_was_held_is_not_posted(conn: Connection) -> None:
    hold(conn, 60)
    with pytest.raises(LimitExceeded):
        ledger.post(conn, "post", "hold", 61, NOW)


@pytest.mark.parametrize("amount", [0, -1, True, 1.5])
def test_an_amount_is_a_positive_integer(conn: Connection, amount: int) -> None:
    with pytest.raises(MalformedDocument):
        hold(conn, amount)


def test_an_amount_is_below_2_to_the_53(conn: Connection) -> None:
    with pytest.raises(LimitExceeded):
        hold(conn, 1 << 53)


def test_totals_do_not_pass_the_64_bit_columns(conn: Connection) -> None:
    columns = tables.account.c
    conn.execute(
        update(tables.account).where(columns.account_id == "acme").values(credits_posted=(1 << 62) - 2)
    )
    ledger.transfer(conn, "last", debit="bank", credit="acme", amount=1, unit="CNY", now=NOW)
    with pytest.raises(LimitExceeded):
        ledger.transfer(conn, "late", debit="bank", credit="acme", amount=1, unit="CNY", now=NOW)


def test_a_transfer_needs_two_open_accounts_of_one_unit(conn: Connection) -> None:
    accounts.open_account(conn, "node", "uses:skyline.flights", "free")
    for debit, credit, unit in (("acme", "node", "CNY"), ("acme", "bank", "uses:skyline.flights")):
        with pytest.raises(UnknownObject):
            ledger.transfer(conn, "t", debit=debit, credit=credit, amount=1, unit=unit, now=NOW)
    with pytest.raises(MalformedDocument):
        ledger.transfer(conn, "t", debit="acme", credit="acme", amount=1, unit="CNY", now=NOW)


def test_what_was_never_made_is_neither_posted_nor_voided_nor_reversed(conn: Connection) -> None:
    with pytest.raises(UnknownObject):
        ledger.post(conn, "t", "nothing", 1, NOW)
    with pytest.raises(UnknownObject):
        ledger.void(conn, "t", "nothing", NOW)
    with pytest.raises(UnknownObject):
        ledger.reverse(conn, "t", "nothing", NOW)
    with pytest.raises(UnknownObject):
        accounts.balance(conn, "nobody", "CNY")


def test_a_hold_that_is_past_before_it_is_made_is_refused(conn: Connection) -> None:
    with pytest.raises(RequestExpired):
        hold(conn, 1, life_s=0)


def test_opening_an_account_again_changes_nothing(conn: Connection) -> None:
    assert accounts.open_account(conn, "acme", "CNY", "credit-limited") == "exists"
    assert accounts.balance(conn, "acme", "CNY").credits_posted == 100
    with pytest.raises(StateConflict):
        accounts.open_account(conn, "acme", "CNY", "free")


@pytest.mark.parametrize(
    ("account_id", "unit", "bound"),
    [
        ("Acme", "CNY", "free"),
        ("", "CNY", "free"),
        ("acme", "cny", "free"),
        ("acme", "uses:", "free"),
        ("acme", "CNY", "x"),
    ],
)
def test_names_units_and_bounds_are_from_closed_forms(
    conn: Connection, account_id: str, unit: str, bound: accounts.Bound
) -> None:
    with pytest.raises(MalformedDocument):
        accounts.open_account(conn, account_id, unit, bound)


@pytest.mark.parametrize("transfer_id", ["", "with space", "x" * 129, "Ü"])
def test_a_transfer_id_is_short_and_plain(conn: Connection, transfer_id: str) -> None:
    with pytest.raises(MalformedDocument):
        hold(conn, 1, transfer_id)
