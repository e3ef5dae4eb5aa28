"""The one hold / post / void engine: money, uses, ε and every other scarce thing.

The semantics are those of TigerBeetle's two-phase transfers (its documentation, reference/transfer). An
account is a pair (account id, unit); a transfer is one immutable row that debits one account and credits
another in one unit; a hold reserves, and is closed once, by a post (the rest is given back) or by a void.
The only correction is a reversal, a new row. A transfer id is used once for ever: the same id with the
same content answers `exists`, so that every call may be repeated; with other content it is refused.

Time never voids: an expired hold stays pending until somebody who knows voids it (R7).

Every function takes an open connection within a transaction and neither begins nor commits: it is safe
under SQLite's BEGIN IMMEDIATE; on PostgreSQL the account rows are locked (SELECT … FOR UPDATE), in the
order of their names, before anything is read that depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, or_, select

from billing import accounts, tables
from billing.accounts import Account, Outcome
from records.clock import to_text
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    Reason,
    RefusedError,
    RequestExpired,
    RequestReplayed,
    StateConflict,
    UnknownObject,
)

Kind = Literal["hold", "post", "void", "transfer", "reversal"]

AMOUNT_LIMIT = 1 << 53
TRANSFER_ID = re.compile(r"[a-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Transfer:
    """One row of the ledger. Its time says when it was written and is no part of its content."""

    transfer_id: str
    kind: Kind
    refers_to: str | None
    debit: str
    credit: str
    unit: str
    amount: int
    expires_at: str | None
    made_at: str = field(compare=False)


_COLUMNS = tuple(tables.transfer.c[field.name] for field in fields(Transfer))


def exists(conn: Connection, transfer_id: str) -> bool:
    """Tell whether a transfer with this id was made."""
    query = select(tables.transfer.c.transfer_id).where(tables.transfer.c.transfer_id == transfer_id)
    return conn.execute(query).one_or_none() is not None


def is_open(conn: Connection, hold_id: str) -> bool:
    """Tell whether a hold with this id was made and is neither posted nor voided."""
    return exists(conn, hold_id) and not _is_referred_to(conn, hold_id)


def entries(conn: Connection, account_id: str, unit: str) -> Iterator[Transfer]:
    """Yield every transfer that debits or credits an account, in the order of writing."""
    columns = tables.transfer.c
    rows = conn.execute(
        select(*_COLUMNS)
        .where(columns.unit == unit, or_(columns.debit == account_id, columns.credit == account_id))
        .order_by(columns.sequence)
    )
    return (Transfer(*row) for row in rows)


def hold(
    conn: Connection,
    transfer_id: str,
    *,
    debit: str,
    credit: str,
    amount: int,
    unit: str,
    expires_at: datetime,
    now: datetime,
) -> Outcome:
    """Reserve `amount` until the hold is posted or voided.

    Raises:
        RefusedError: the debited account has not that much left.
        RequestExpired: `expires_at` is past.
        RequestReplayed: the id was used with other content.
        UnknownObject: no such account.
        MalformedDocument, LimitExceeded: an id or an amount that is none, or too large.
    """
    entry = Transfer(
        transfer_id, "hold", None, debit, credit, unit, amount, to_text(expires_at), to_text(now)
    )
    parties = _lock_parties(conn, entry)
    if _is_known(conn, entry):
        return "exists"
    if _has_expired(entry, now):
        raise RequestExpired("the hold would expire before it is made; ask for a new quote")
    return _write(conn, entry, parties, pending=amount, posted=0)


def post(
    conn: Connection,
    transfer_id: str,
    hold_id: str,
    amount: int,
    now: datetime,
    *,
    even_expired: bool = False,
) -> Outcome:
    """Consume `amount` of a hold and give the rest back; 0 consumes nothing and is a void.

    `even_expired` is for what was spent before the hold expired and is only written down now: a node
    that finds in its journal that a key was handed out, or that ε was drawn.

    Raises:
        LimitExceeded: more than was held.
        RequestExpired: the hold has expired.
        StateConflict: the hold is closed, or is no hold.
        RequestReplayed: the id was used with other content.
        UnknownObject: no such hold.
        MalformedDocument: an id or an amount that is none.
    """
    if amount == 0:
        return void(conn, transfer_id, hold_id, now)
    held = _find(conn, hold_id)
    entry = Transfer(
        transfer_id, "post", hold_id, held.debit, held.credit, held.unit, amount, None, to_text(now)
    )
    parties = _lock_parties(conn, entry)
    if _is_known(conn, entry):
        return "exists"
    _require_open_hold(conn, held)
    if amount > held.amount:
        raise LimitExceeded("a post is at most what was held; post less, or hold again")
    if not even_expired and _has_expired(held, now):
        raise RequestExpired("the hold has expired; void it and hold again")
    return _write(conn, entry, parties, pending=-held.amount, posted=amount)


def void(conn: Connection, transfer_id: str, hold_id: str, now: datetime) -> Outcome:
    """Give back all of a hold, expired or not.

    Raises:
        StateConflict: the hold is closed, or is no hold.
        RequestReplayed: the id was used with other content.
        UnknownObject: no such hold.
        MalformedDocument: an id that is none.
    """
    held = _find(conn, hold_id)
    entry = Transfer(
        transfer_id, "void", hold_id, held.debit, held.credit, held.unit, held.amount, None, to_text(now)
    )
    parties = _lock_parties(conn, entry)
    if _is_known(conn, entry):
        return "exists"
    _require_open_hold(conn, held)
    return _write(conn, entry, parties, pending=-held.amount, posted=0)


def transfer(
    conn: Connection, transfer_id: str, *, debit: str, credit: str, amount: int, unit: str, now: datetime
) -> Outcome:
    """Move `amount` at once, without a hold. Raises as `hold` does."""
    entry = Transfer(transfer_id, "transfer", None, debit, credit, unit, amount, None, to_text(now))
    parties = _lock_parties(conn, entry)
    if _is_known(conn, entry):
        return "exists"
    return _write(conn, entry, parties, pending=0, posted=amount)


def reverse(conn: Connection, transfer_id: str, of: str, now: datetime) -> Outcome:
    """Undo all of a post or a direct transfer by a new row the other way.

    Raises:
        RefusedError: the account that was credited has spent it.
        StateConflict: `of` was reversed before, or is neither a post nor a direct transfer.
        RequestReplayed: the id was used with other content.
        UnknownObject: no such transfer.
        MalformedDocument: an id that is none.
    """
    undone = _find(conn, of)
    entry = Transfer(
        transfer_id,
        "reversal",
        of,
        undone.credit,
        undone.debit,
        undone.unit,
        undone.amount,
        None,
        to_text(now),
    )
    parties = _lock_parties(conn, entry)
    if _is_known(conn, entry):
        return "exists"
    if undone.kind not in ("post", "transfer"):
        raise StateConflict("only a post or a direct transfer is reversed; void a hold")
    if _is_referred_to(conn, of):
        raise StateConflict("the transfer is already reversed")
    return _write(conn, entry, parties, pending=0, posted=undone.amount)


def _find(conn: Connection, transfer_id: str) -> Transfer:
    row = conn.execute(select(*_COLUMNS).where(tables.transfer.c.transfer_id == transfer_id)).one_or_none()
    if row is None:
        raise UnknownObject("no transfer with this id; make the hold or transfer first")
    return Transfer(*row)


def _lock_parties(conn: Connection, entry: Transfer) -> tuple[Account, Account]:
    if not TRANSFER_ID.fullmatch(entry.transfer_id):
        raise MalformedDocument("a transfer id is up to 128 of `a-z 0-9 _ . : -`")
    if type(entry.amount) is not int or entry.amount <= 0:
        raise MalformedDocument("an amount in the ledger is a positive integer")
    if entry.amount >= AMOUNT_LIMIT:
        raise LimitExceeded("an amount in the ledger is below 2^53; split the transfer")
    if entry.debit == entry.credit:
        raise MalformedDocument("a transfer debits one account and credits another")
    locked = accounts.lock(conn, entry.unit, entry.debit, entry.credit)
    for account_id in (entry.debit, entry.credit):
        if account_id not in locked:
            raise UnknownObject(f"no account `{account_id}` in `{entry.unit}`; open it first")
    return locked[entry.debit], locked[entry.credit]


def _is_known(conn: Connection, entry: Transfer) -> bool:
    row = conn.execute(
        select(*_COLUMNS).where(tables.transfer.c.transfer_id == entry.transfer_id)
    ).one_or_none()
    if row is not None and Transfer(*row) != entry:
        raise RequestReplayed("the transfer id was used with other content; derive a new one")
    return row is not None


def _has_expired(held: Transfer, now: datetime) -> bool:
    return held.expires_at is not None and held.expires_at <= to_text(now)


def _require_open_hold(conn: Connection, held: Transfer) -> None:
    if held.kind != "hold":
        raise StateConflict("only a hold is posted or voided; reverse a post or a transfer")
    if _is_referred_to(conn, held.transfer_id):
        raise StateConflict("the hold is already posted or voided")


def _is_referred_to(conn: Connection, transfer_id: str) -> bool:
    columns = tables.transfer.c
    query = select(columns.transfer_id).where(columns.refers_to == transfer_id)
    return conn.execute(query).one_or_none() is not None


def _write(
    conn: Connection, entry: Transfer, parties: tuple[Account, Account], *, pending: int, posted: int
) -> Outcome:
    debit, credit = parties
    claimed, available = pending + posted, debit.balance.available
    if debit.bound == "credit-limited" and claimed > 0 and claimed > available:
        remedy = "credit the account, or wait until a hold on it is closed"
        clause = f"balance in {entry.unit}"
        raise RefusedError((Reason(entry.debit, clause, str(claimed), str(available), remedy),))
    conn.execute(insert(tables.transfer).values(asdict(entry)))
    accounts.move(conn, debit, credit, pending=pending, posted=posted)
    return "made"
