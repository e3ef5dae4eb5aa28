"""Accounts of the ledger: a name, one unit, a bound, and four running totals.

An account is a pair (account id, unit), so that no amount ever changes its unit by moving. The totals
are what TigerBeetle keeps: debits and credits, each pending (held) and posted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from sqlalchemy import Column, Connection, insert, select, update

from billing import tables
from records.errors import LimitExceeded, MalformedDocument, StateConflict, UnknownObject

Bound = Literal["free", "credit-limited"]
"""`credit-limited`: debits held and posted never exceed credits posted."""

Outcome = Literal["made", "exists"]
"""`exists`: this very thing was made before, and nothing was done."""

ACCOUNT_ID = re.compile(r"[a-z][a-z0-9_.:-]{0,127}")
UNIT = re.compile(r"[A-Z]{3}|[a-z][a-z-]{0,30}:[a-z0-9][a-z0-9_.:/-]{0,95}")
"""A currency (ISO 4217), or `kind:name` such as `uses:skyline.flights`."""

TOTAL_LIMIT = 1 << 62
"""Totals stay within the 64-bit columns, with room for one more amount."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The four running totals of an account, in its unit."""

    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int

    @property
    def available(self) -> int:
        """What a credit-limited account may still hold or transfer."""
        return self.credits_posted - self.debits_posted - self.debits_pending


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it stands in its table."""

    account_id: str
    unit: str
    bound: Bound
    balance: Balance


def open_account(conn: Connection, account_id: str, unit: str, bound: Bound) -> Outcome:
    """Open an account with nothing in it.

    Raises:
        MalformedDocument: an id, unit or bound that is none.
        StateConflict: the account is open with another bound.
    """
    if not ACCOUNT_ID.fullmatch(account_id):
        raise MalformedDocument("an account id is a letter, then up to 127 of `a-z 0-9 _ . : -`")
    if not UNIT.fullmatch(unit):
        raise MalformedDocument("a unit is a currency code or `kind:name`")
    if bound not in get_args(Bound):
        raise MalformedDocument("the bound of an account is `free` or `credit-limited`")
    found = lock(conn, unit, account_id).get(account_id)
    if found is not None:
        if found.bound != bound:
            raise StateConflict(f"the account `{account_id}` is open in `{unit}` with another bound")
        return "exists"
    row = {"account_id": account_id, "unit": unit, "bound": bound}
    conn.execute(insert(tables.account).values(**row, **asdict(Balance(0, 0, 0, 0))))
    return "made"


def balance(conn: Connection, account_id: str, unit: str) -> Balance:
    """Return the totals of an account.

    Raises:
        UnknownObject: no such account.
    """
    columns = tables.account.c
    row = conn.execute(
        select(
            columns.debits_pending, columns.credits_pending, columns.debits_posted, columns.credits_posted
        ).where(columns.account_id == account_id, columns.unit == unit)
    ).one_or_none()
    if row is None:
        raise UnknownObject(f"no account `{account_id}` in `{unit}`; open it first")
    return Balance(*row)


def lock(conn: Connection, unit: str, *account_ids: str) -> dict[str, Account]:
    """Return those of the accounts that exist, locked until the transaction ends.

    The rows are locked in the order of their names, so that two transfers do not wait for each other.
    """
    columns = tables.account.c
    rows = conn.execute(
        select(tables.account)
        .where(columns.unit == unit, columns.account_id.in_(account_ids))
        .order_by(columns.account_id)
        .with_for_update()
    )
    return {
        account_id: Account(account_id, unit, bound, Balance(*totals))
        for account_id, unit, bound, *totals in rows
    }


def move(conn: Connection, debit: Account, credit: Account, *, pending: int, posted: int) -> None:
    """Add `pending` and `posted` (either may be negative) to both sides of two locked accounts.

    Raises:
        LimitExceeded: a total would pass 2^62.
    """
    for account in (debit, credit):
        if max(asdict(account.balance).values()) + max(pending, posted) >= TOTAL_LIMIT:
            raise LimitExceeded(
                f"the totals of the account `{account.account_id}` would pass 2^62; open another"
            )
    columns = tables.account.c
    _add(conn, debit, {columns.debits_pending: pending, columns.debits_posted: posted})
    _add(conn, credit, {columns.credits_pending: pending, columns.credits_posted: posted})


def _add(conn: Connection, account: Account, amounts: Mapping[Column[int], int]) -> None:
    # The database adds, so that its constraint sees every total even where the lock was forgotten.
    columns = tables.account.c
    conn.execute(
        update(tables.account)
        .where(columns.account_id == account.account_id, columns.unit == account.unit)
        .values({column: column + amount for column, amount in amounts.items()})
    )
