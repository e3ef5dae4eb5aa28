"""Use rights on a node's own ledger: reserved at the hold, consumed at the release, given back on a void.

Each counter of the terms (total, per buyer, per day) is an account that was credited with its limit once;
budgets belong to the product's lineage, so that new versions and new terms add nothing by themselves (R14).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from billing import accounts, ledger
from billing.tables import account
from policies.terms import Terms
from records import canonical, ids
from records.errors import JobRefused, Reason, RefusedError

GRANTED = "granted"
CONSUMED = "consumed"


@dataclass(frozen=True, slots=True)
class Counter:
    """One limited count of uses: its clause in the terms, its account, its limit."""

    clause: str
    account: str
    limit: int


def counters(terms: Terms, buyer: str, now: datetime) -> Iterator[Counter]:
    """Yield the counters that a use by `buyer` now goes against."""
    if terms.uses.total is not None:
        yield Counter("uses.total", "total", terms.uses.total)
    if terms.uses.per_buyer is not None:
        yield Counter("uses.per_buyer", f"buyer:{buyer}", terms.uses.per_buyer)
    if terms.uses.per_day is not None:
        yield Counter("uses.per_day", f"day:{now:%Y-%m-%d}", terms.uses.per_day)


def check(connection: Connection, terms: Terms, buyer: str, now: datetime) -> tuple[Reason, ...]:
    """Return a reason for every counter that has nothing left; reserves nothing."""
    reasons = []
    for counter in counters(terms, buyer, now):
        _fund(connection, terms.product, counter, now)
        if accounts.balance(connection, counter.account, _unit(terms.product)).available < 1:
            reasons.append(_spent(terms, counter))
    return tuple(reasons)


def hold(
    connection: Connection,
    terms: Terms,
    buyer: str,
    acceptance_digest: str,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Reserve one use on every counter.

    Raises:
        JobRefused: one of them has nothing left.
    """
    unit = _unit(terms.product)
    for counter in counters(terms, buyer, now):
        _fund(connection, terms.product, counter, now)
        try:
            ledger.hold(
                connection,
                _hold_id(acceptance_digest, terms.product, counter.clause),
                debit=counter.account,
                credit=CONSUMED,
                amount=1,
                unit=unit,
                expires_at=expires_at,
                now=now,
            )
        except RefusedError as error:
            raise JobRefused((_spent(terms, counter),)) from error


def consume(connection: Connection, product: str, acceptance_digest: str, now: datetime) -> None:
    """Spend what is held for an acceptance, if it still is."""
    for hold_id in _open_holds(connection, acceptance_digest, product):
        # Spent when the result was released or withheld; the hold may have run out while it was computed.
        ledger.post(connection, ids.derived("consume", hold_id), hold_id, 1, now, even_expired=True)


def give_back(connection: Connection, product: str, acceptance_digest: str, now: datetime) -> None:
    """Void what is held for an acceptance, if it still is."""
    for hold_id in _open_holds(connection, acceptance_digest, product):
        ledger.void(connection, ids.derived("give-back", hold_id), hold_id, now)


def state_digest(connection: Connection, salt: bytes) -> str:
    """Return a salted digest of all balances of uses, for the log (R18)."""
    columns = account.c
    rows = connection.execute(
        select(columns.account_id, columns.unit, columns.debits_pending, columns.debits_posted)
        .where(columns.unit.like("uses:%"))
        .order_by(columns.unit, columns.account_id)
    )
    state = canonical.encode([list(row) for row in rows])
    return "sha256:" + hmac.new(salt, state, hashlib.sha256).hexdigest()


def _fund(connection: Connection, product: str, counter: Counter, now: datetime) -> None:
    """Bring what was granted to a counter to its limit; a lowered limit takes back what is still unused."""
    unit, returned = _unit(product), f"returned:{counter.account}"
    accounts.open_account(connection, GRANTED, unit, "free")
    accounts.open_account(connection, CONSUMED, unit, "free")
    accounts.open_account(connection, counter.account, unit, "credit-limited")
    accounts.open_account(connection, returned, unit, "free")
    balance = accounts.balance(connection, counter.account, unit)
    given_back = accounts.balance(connection, returned, unit).credits_posted
    missing = counter.limit - (balance.credits_posted - given_back)
    # Ids count what was moved before, so that a repeated call moves nothing twice.
    moved = (str(balance.credits_posted), str(given_back))
    if missing > 0:
        grant_id = ids.derived("grant", product, counter.account, *moved)
        ledger.transfer(
            connection, grant_id, debit=GRANTED, credit=counter.account, amount=missing, unit=unit, now=now
        )
    elif missing < 0 and balance.available > 0:
        unused = min(-missing, balance.available)
        return_id = ids.derived("return", product, counter.account, *moved)
        ledger.transfer(
            connection, return_id, debit=counter.account, credit=returned, amount=unused, unit=unit, now=now
        )


def _open_holds(connection: Connection, acceptance_digest: str, product: str) -> Iterator[str]:
    for clause in ("uses.total", "uses.per_buyer", "uses.per_day"):
        hold_id = _hold_id(acceptance_digest, product, clause)
        if ledger.is_open(connection, hold_id):
            yield hold_id


def _hold_id(acceptance_digest: str, product: str, clause: str) -> str:
    return ids.derived("use", acceptance_digest, product, clause)


def _unit(product: str) -> str:
    return f"uses:{product}"


def _spent(terms: Terms, counter: Counter) -> Reason:
    return terms.reason(
        counter.clause,
        wanted="one more use",
        limit=str(counter.limit),
        remedy="wait for the next day or period, or ask the provider for more uses",
    )
