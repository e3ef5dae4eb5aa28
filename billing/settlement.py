"""How a charge reaches those who earned it, to the last minor unit.

The buyer pays into a clearing account (hold, then post) and settlement pays out of it, by one transfer
for each payee. Each job has its own, opened `credit-limited`: no job is settled with another's money, and
none twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from sqlalchemy import Connection

from billing import ledger
from billing.tariff import EXCHANGE_FEE, TAX, Charge
from records import ids
from records.errors import MalformedDocument


@dataclass(frozen=True, slots=True)
class Posting:
    """One transfer of a settlement, before it is made."""

    transfer_id: str
    debit: str
    credit: str
    unit: str
    amount: int


def split(total_minor: int, weights: Mapping[str, int | Fraction]) -> dict[str, int]:
    """Return the parts of `total_minor` in proportion to `weights`, by largest remainder.

    Equal remainders go to the name that sorts first. The parts sum to the total exactly, and each is
    within one minor unit of its exact share (Hamilton's method).

    Raises:
        MalformedDocument: a negative total or weight, a float, or no positive weight.
    """
    if total_minor < 0:
        raise MalformedDocument("a total to split is not negative")
    if any(not isinstance(weight, (int, Fraction)) or weight < 0 for weight in weights.values()):
        raise MalformedDocument("a weight is an integer or a fraction, not negative")
    if not any(weights.values()):
        raise MalformedDocument("a split needs a weight above zero")
    whole = sum(map(Fraction, weights.values()))
    exact = {name: total_minor * Fraction(weight) / whole for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (parts[name] - exact[name], name))
    for name in by_remainder[: total_minor - sum(parts.values())]:
        parts[name] += 1
    return parts


def clearing_account(job_id: str) -> str:
    """Return the account that the buyer of a job pays into; open it `credit-limited`."""
    return f"clearing:{job_id}"


def payee_account(payee: str) -> str:
    """Return the account of a payee of a charge: `exchange-fee`, `tax`, or `provider:<name>`."""
    return payee if payee in (EXCHANGE_FEE, TAX) else f"provider:{payee}"


def postings(charge: Charge, job_id: str) -> tuple[Posting, ...]:
    """Return the transfers that settle `charge`, by payee; who gets nothing has none."""
    return tuple(
        Posting(
            transfer_id=ids.derived("settlement", job_id, payee),
            debit=clearing_account(job_id),
            credit=payee_account(payee),
            unit=charge.currency,
            amount=amount_minor,
        )
        for payee, amount_minor in sorted(charge.split.items())
        if amount_minor
    )


def settle(conn: Connection, charge: Charge, job_id: str, now: datetime) -> None:
    """Pay `charge` out of the clearing account of the job. Calling it again pays nothing.

    Raises:
        RefusedError: the buyer's payment was not posted, or the job was settled otherwise.
        RequestReplayed: a payee was settled with another amount.
        UnknownObject: the job, or a payee, has no account in this currency.
    """
    for posting in postings(charge, job_id):
        ledger.transfer(
            conn,
            posting.transfer_id,
            debit=posting.debit,
            credit=posting.credit,
            amount=posting.amount,
            unit=posting.unit,
            now=now,
        )
