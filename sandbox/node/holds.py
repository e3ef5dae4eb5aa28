"""How a hold ends at a node when no key was handed out: uses are given back, or consumed (R12).

The exchange tells a node so; a node that was away when it did finds the end of the job on its receipt.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from records import clock
from records.clock import Clock
from records.errors import EvidenceError, StateConflict
from records.job import Acceptance
from sandbox import receipt as receipts
from sandbox.node import attempts, journal, uses
from sandbox.ports import Caller, ExchangePort
from sandbox.receipt import ExchangeKeys
from sandbox.store import Store


def end(
    connection: Connection,
    party: str,
    acceptance_digest: str,
    now: datetime,
) -> None:
    """End what `party` still holds, and destroy the keys: consume its uses if a result was computed here.

    Also where the charge was reversed because a key was lost: given back, a use would buy an exchange and a
    buyer who work together the size of any result for nothing (R12).
    """
    row = journal.agreed(connection, acceptance_digest)
    if row is None or row.status != "held":
        return
    last = journal.last_attempt(connection, acceptance_digest)
    consumed = last is not None and last.result is not None
    settle = uses.consume if consumed else uses.give_back
    for record in journal.admitted_products(connection, row.job_digest, party):
        settle(connection, record.document.product, acceptance_digest, now)
    journal.destroy_keys_before(connection, acceptance_digest, attempts.MAX_ATTEMPTS + 1)
    journal.set_status(connection, acceptance_digest, "consumed" if consumed else "void")


def end_expired(connection: Connection, party: str, now: datetime) -> None:
    """End every hold past its time that came to no result: the exchange's word was lost on the way.

    A sealed result waits for that word: a token in time may already name it.
    """
    for row in journal.held(connection):
        acceptance = Acceptance.unverified(row.acceptance).document
        last = journal.last_attempt(connection, row.acceptance_digest)
        if (last is None or last.result is None) and clock.from_text(acceptance.expires_at) <= now:
            end(connection, party, row.acceptance_digest, now)


async def learn_ends(
    store: Store, exchange: ExchangePort, caller: Caller, keys: ExchangeKeys, now: Clock
) -> None:
    """Fetch the receipts of jobs that have ended, and end what is still held for them.

    Raises:
        PeerUnavailable: the exchange is away; ask again later.
        SignatureInvalid, EvidenceError: a receipt proves nothing.
    """
    with store.read() as connection:
        waiting = journal.jobs_without_receipt(connection)
    for acceptance_digest, job_id in waiting.items():
        try:
            envelope = await exchange.receipt(caller, job_id)
        except StateConflict:
            continue  # the job has not ended
        facts = receipts.verify(envelope, keys).facts
        if (facts.get("job"), facts.get("acceptance")) != (job_id, acceptance_digest):
            raise EvidenceError("the receipt is about another job or acceptance")
        with store.begin() as connection:
            journal.keep_receipt(connection, job_id, envelope)
            if facts.get("event") != "release":
                end(connection, caller.party, acceptance_digest, now())
