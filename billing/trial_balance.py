"""The trial balance: the ledger proved from its transfers alone.

What must hold at every moment: debits equal credits in every unit, the running totals of each account
are the sums of its transfers, no bound is passed, and each post, void and reversal closes or undoes one
transfer of the right kind, in full agreement with it, at most once.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, and_, exists, func, not_, or_, select

from billing import tables
from billing.accounts import Account, Balance
from records.errors import EvidenceError

POSTED_KINDS = ("post", "transfer", "reversal")
REFERRING_KINDS = ("post", "void", "reversal")

entry = tables.transfer.alias("entry")
referring = tables.transfer.alias("referring")

IS_OPEN = and_(entry.c.kind == "hold", ~exists().where(referring.c.refers_to == entry.c.transfer_id))
IS_POSTED = entry.c.kind.in_(POSTED_KINDS)


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """What a ledger that balances holds; `posted` is the sum of debits in each unit."""

    accounts: int
    transfers: int
    open_holds: int
    posted: dict[str, int]


def check(conn: Connection) -> TrialBalance:
    """Return the trial balance of a ledger that is right.

    On PostgreSQL the transaction is REPEATABLE READ, so that all queries see one moment.

    Raises:
        EvidenceError: it is not; the message names the account, the unit or the transfer.
    """
    _check_references(conn)
    by_name = select(tables.account).order_by(tables.account.c.account_id, tables.account.c.unit)
    accounts = [
        Account(account_id, unit, bound, Balance(*totals))
        for account_id, unit, bound, *totals in conn.execute(by_name)
    ]
    _check_totals(conn, accounts)
    return TrialBalance(
        accounts=len(accounts),
        transfers=conn.execute(select(func.count()).select_from(entry)).scalar_one(),
        open_holds=conn.execute(select(func.count()).select_from(entry).where(IS_OPEN)).scalar_one(),
        posted=_check_units(accounts),
    )


def _check_references(conn: Connection) -> None:
    same_way = and_(referring.c.debit == entry.c.debit, referring.c.credit == entry.c.credit)
    other_way = and_(referring.c.debit == entry.c.credit, referring.c.credit == entry.c.debit)
    all_of_it = referring.c.amount == entry.c.amount
    agrees = and_(
        referring.c.unit == entry.c.unit,
        or_(
            and_(
                referring.c.kind == "post",
                entry.c.kind == "hold",
                same_way,
                referring.c.amount <= entry.c.amount,
            ),
            and_(referring.c.kind == "void", entry.c.kind == "hold", same_way, all_of_it),
            and_(
                referring.c.kind == "reversal", entry.c.kind.in_(("post", "transfer")), other_way, all_of_it
            ),
        ),
    )
    wrong = conn.execute(
        select(referring.c.transfer_id)
        .outerjoin_from(referring, entry, entry.c.transfer_id == referring.c.refers_to)
        .where(or_(referring.c.kind.in_(REFERRING_KINDS), referring.c.refers_to.is_not(None)))
        .where(or_(entry.c.transfer_id.is_(None), not_(agrees)))
        .limit(1)
    ).scalar()
    if wrong is not None:
        raise EvidenceError(f"the transfer `{wrong}` does not agree with the one that it closes or reverses")
    twice = conn.execute(
        select(entry.c.refers_to)
        .where(entry.c.refers_to.is_not(None))
        .group_by(entry.c.refers_to)
        .having(func.count() > 1)
        .limit(1)
    ).scalar()
    if twice is not None:
        raise EvidenceError(f"the transfer `{twice}` is closed or reversed twice")


def _check_totals(conn: Connection, accounts: list[Account]) -> None:
    sums = [
        _sums(conn, entry.c.debit, IS_OPEN),
        _sums(conn, entry.c.credit, IS_OPEN),
        _sums(conn, entry.c.debit, IS_POSTED),
        _sums(conn, entry.c.credit, IS_POSTED),
    ]
    unclaimed = {key for side in sums for key in side}
    for account in accounts:
        key = account.account_id, account.unit
        unclaimed.discard(key)
        if account.balance != Balance(*(side.get(key, 0) for side in sums)):
            raise EvidenceError(
                f"the totals of the account `{key[0]}` in `{key[1]}` are not its transfers' sums"
            )
        if account.bound != "free" and account.balance.available < 0:
            raise EvidenceError(f"the account `{key[0]}` is past its bound in `{key[1]}`")
    for account_id, unit in unclaimed:
        raise EvidenceError(f"transfers name an account `{account_id}` in `{unit}` that is not open")


def _sums(conn: Connection, side: Column[str], condition: ColumnElement[bool]) -> dict[tuple[str, str], int]:
    query = select(side, entry.c.unit, func.sum(entry.c.amount)).where(condition).group_by(side, entry.c.unit)
    return {(account_id, unit): int(total) for account_id, unit, total in conn.execute(query)}


def _check_units(accounts: list[Account]) -> dict[str, int]:
    debits: dict[str, int] = defaultdict(int)
    difference: dict[tuple[str, str], int] = defaultdict(int)
    for account in accounts:
        totals = account.balance
        debits[account.unit] += totals.debits_posted
        difference[account.unit, "posted"] += totals.debits_posted - totals.credits_posted
        difference[account.unit, "pending"] += totals.debits_pending - totals.credits_pending
    for (unit, state), amount in difference.items():
        if amount:
            raise EvidenceError(f"debits and credits {state} in `{unit}` are not equal")
    return dict(debits)
