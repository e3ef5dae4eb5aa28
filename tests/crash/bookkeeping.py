"""What must hold of one job over the stores of all servers, whatever fell while it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from billing import accounts
from billing.accounts import Balance
from records import canonical
from records.errors import UnknownObject
from records.job import ReleaseToken
from sandbox.exchange import jobs, money, tables
from sandbox.exchange.audit import audit
from sandbox.exchange.metering import HANDOUT, TOKEN
from sandbox.lifecycle import State
from sandbox.node import tables as node_tables
from sandbox.store import Store
from tests.crash.town import BUYER, NOTARY, PROVIDERS, Town

NOTHING = Balance(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the accounts stood before a job: the buyer's money, each provider's uses."""

    money: Balance
    uses: Mapping[str, Balance]

    @classmethod
    def of(cls, town: Town) -> Standing:
        """Read it from the stores."""
        with town.books.store.read() as connection:
            paid = _balance(connection, money.buyer_account(BUYER), "CNY")
        return cls(paid, {name: _uses(town.store(name), name) for name in PROVIDERS})


def violations(town: Town, job_id: str, before: Standing, uses: Mapping[str, int]) -> list[str]:
    """Return what does not hold of an ended job; `uses` says what each provider's budget should have lost."""
    found: list[str] = []
    site = town.books
    with site.store.read() as connection:
        found += audit(connection, site.identity.environment).faults
        found += _money(connection, job_id, before.money)
        snapshot = jobs.snapshot(connection, job_id)
        acceptance = jobs.signed_acceptance(connection, job_id).digest if snapshot.accepted else None
        kept = jobs.documents(connection, job_id, HANDOUT, snapshot.attempt)
    for name in (*PROVIDERS, NOTARY) if acceptance is not None else ():
        found += _keys(town.store(name), name, acceptance, kept.get(name), snapshot.state)
    for name, was in before.uses.items():
        now = _uses(town.store(name), name)
        if (now.debits_posted - was.debits_posted, now.debits_pending) != (uses[name], was.debits_pending):
            found.append(
                f"`{name}`: the budget of uses lost another number than {uses[name]}, or holds still"
            )
    return found


def _money(connection: Connection, job_id: str, before: Balance) -> list[str]:
    """One charge and one release, or none of both; the buyer paid exactly what the token says."""
    found = []
    snapshot = jobs.snapshot(connection, job_id)
    token = jobs.documents(connection, job_id, TOKEN, snapshot.attempt).get("exchange")
    settled = snapshot.state is State.SETTLED
    releases = sum(event == "release" for event in events(connection, job_id))
    usage = connection.execute(
        select(func.count()).select_from(tables.usage).where(tables.usage.c.job_id == job_id)
    ).scalar_one()
    if releases != usage or releases not in (0, 1) or (settled and releases != 1):
        found.append(f"{releases} releases in the log, {usage} usage rows")
    now = _balance(connection, money.buyer_account(BUYER), "CNY")
    paid = (now.debits_posted - now.credits_posted) - (before.debits_posted - before.credits_posted)
    due = ReleaseToken.unverified(token).document.charge.total_minor if token and settled else 0
    if paid != due:
        found.append("the buyer paid another amount than the token says")
    if now.debits_pending != before.debits_pending:
        found.append("money is held after the end")
    return found


def _keys(store: Store, node: str, acceptance: str | None, kept: bytes | None, state: State) -> list[str]:
    """At most one key is ever handed out, and never one that was said to be destroyed."""
    found = []
    attempt, agreed = node_tables.attempt, node_tables.agreed
    with store.read() as connection:
        rows = connection.execute(select(attempt).where(attempt.c.acceptance_digest == acceptance)).all()
        status = connection.execute(
            select(agreed.c.status).where(agreed.c.acceptance_digest == acceptance)
        ).scalar_one_or_none()
    handed = [row for row in rows if row.handout is not None]
    if len(handed) > 1 or any(row.void_statement is not None for row in handed):
        found.append(f"`{node}` handed out two keys, or one that it voided")
    if kept is not None and [row.handout for row in handed] != [kept]:
        found.append(f"`{node}` journalled another key than it handed out")
    if state is State.SETTLED and kept is None:
        found.append(f"a release without the key of `{node}`")
    if any(row.release_private is not None for row in rows if row not in handed):
        found.append(f"`{node}` keeps a key that nobody needs")
    if status == "held":
        found.append(f"`{node}` still holds for a job that has ended")
    return found


def events(connection: Connection, job_id: str) -> list[object]:
    """Return what the log says happened to a job."""
    field = tables.log_field
    leaves = select(field.c.leaf_index).where(
        field.c.name == "job", field.c.value == canonical.encode(job_id)
    )
    rows = connection.execute(
        select(field.c.value).where(field.c.name == "event", field.c.leaf_index.in_(leaves))
    )
    return [canonical.decode(row.value) for row in rows]


def _uses(store: Store, provider: str) -> Balance:
    with store.read() as connection:
        return _balance(connection, "total", f"uses:{provider}.sales")


def _balance(connection: Connection, account: str, unit: str) -> Balance:
    try:
        return accounts.balance(connection, account, unit)
    except UnknownObject:
        return NOTHING  # opened with the first job
