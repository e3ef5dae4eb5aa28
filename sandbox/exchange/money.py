"""The exchange's use of the ledger for money: funding, holds, charges, reversals. Ids derive from the job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from billing import accounts, ledger, settlement, tariff
from records import ids
from records.errors import JobRefused, Reason, RefusedError, StateConflict, UnknownObject
from records.job import Charge

FUNDING = "funding"


def buyer_account(buyer: str) -> str:
    """Return the account a buyer pays from."""
    return f"buyer:{buyer}"


def deposit(
    connection: Connection, buyer: str, currency: str, amount_minor: int, deposit_id: str, now: datetime
) -> None:
    """Credit a buyer with money that came in from outside, once per `deposit_id`."""
    accounts.open_account(connection, FUNDING, currency, "free")
    accounts.open_account(connection, buyer_account(buyer), currency, "credit-limited")
    ledger.transfer(
        connection,
        ids.derived("deposit", buyer, currency, deposit_id),
        debit=FUNDING,
        credit=buyer_account(buyer),
        amount=amount_minor,
        unit=currency,
        now=now,
    )


def hold(
    connection: Connection, job_id: str, buyer: str, charge: Charge, expires_at: datetime, now: datetime
) -> None:
    """Reserve the quoted price on the buyer's account.

    Raises:
        JobRefused: the account does not exist in this currency, or has not that much left.
    """
    if charge.total_minor == 0:
        return
    for account in (settlement.clearing_account(job_id), *map(settlement.payee_account, charge.split)):
        accounts.open_account(connection, account, charge.currency, "credit-limited")
    try:
        ledger.hold(
            connection,
            hold_id(job_id),
            debit=buyer_account(buyer),
            credit=settlement.clearing_account(job_id),
            amount=charge.total_minor,
            unit=charge.currency,
            expires_at=expires_at,
            now=now,
        )
    except (RefusedError, UnknownObject) as error:
        wanted = f"{charge.total_minor} minor units of {charge.currency}"
        raise JobRefused(
            (Reason("exchange", "funds", wanted, "the buyer's balance", "pay in, or ask for less"),)
        ) from error


def book(connection: Connection, job_id: str, charge: Charge, now: datetime) -> None:
    """Consume the charge out of the hold; the rest goes back to the buyer."""
    if not _is_held(connection, job_id):
        if charge.total_minor:
            raise StateConflict("a charge needs a hold")
        return
    # The hold may have run past its time while the result was computed: it was consumed before that.
    ledger.post(
        connection, ids.derived("charge", job_id), hold_id(job_id), charge.total_minor, now, even_expired=True
    )


def void(connection: Connection, job_id: str, now: datetime) -> None:
    """Give a hold back, if there is one."""
    if _is_held(connection, job_id):
        ledger.void(connection, ids.derived("void", job_id), hold_id(job_id), now)


def reverse(connection: Connection, job_id: str, now: datetime) -> None:
    """Take a booked charge back: new rows, the old ones stay."""
    if _is_held(connection, job_id):
        ledger.reverse(connection, ids.derived("reversal", job_id), ids.derived("charge", job_id), now)


def settle(connection: Connection, job_id: str, charge: Charge, now: datetime) -> None:
    """Pay a booked charge out to those it is split among."""
    lines = tuple(tariff.Line(payee, "settled", amount) for payee, amount in charge.split.items())
    settlement.settle(connection, tariff.Charge(charge.currency, lines), job_id, now)


def hold_id(job_id: str) -> str:
    """Return the id of a job's hold."""
    return ids.derived("hold", job_id)


def _is_held(connection: Connection, job_id: str) -> bool:
    return ledger.exists(connection, hold_id(job_id))
