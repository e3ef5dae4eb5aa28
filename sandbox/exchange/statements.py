"""A party's account: balances and postings, recomputable from the ledger."""

from __future__ import annotations

from sqlalchemy import Connection, select

from billing import accounts, ledger, settlement
from billing.tables import account
from records.canonical import Json
from sandbox.exchange import money


def of(connection: Connection, party: str, role: str) -> Json:
    """Return the party's accounts with all their entries, as a JSON object."""
    account_id = money.buyer_account(party) if role == "buyer" else settlement.payee_account(party)
    units = connection.execute(
        select(account.c.unit).where(account.c.account_id == account_id).order_by(account.c.unit)
    ).scalars()
    return {
        "party": party,
        "accounts": [_account(connection, account_id, unit) for unit in units.all()],
    }


def _account(connection: Connection, account_id: str, unit: str) -> Json:
    balance = accounts.balance(connection, account_id, unit)
    return {
        "account": account_id,
        "unit": unit,
        "debits_pending_minor": balance.debits_pending,
        "credits_pending_minor": balance.credits_pending,
        "debits_posted_minor": balance.debits_posted,
        "credits_posted_minor": balance.credits_posted,
        "entries": [
            {
                "transfer": entry.transfer_id,
                "kind": entry.kind,
                "debit": entry.debit,
                "credit": entry.credit,
                "amount_minor": entry.amount,
                "made_at": entry.made_at,
            }
            for entry in ledger.entries(connection, account_id, unit)
        ],
    }
