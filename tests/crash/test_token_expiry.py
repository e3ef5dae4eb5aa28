"""A node is away until its token has expired (R7): never a void by a timeout, never a key afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from billing import ledger
from records import ids
from records.errors import RequestExpired, StateConflict
from sandbox.buyer.client import BuyerJob
from sandbox.cli.deployment import EXCHANGE
from sandbox.exchange import jobs
from sandbox.exchange.audit import audit
from sandbox.exchange.effects import JobEffects
from sandbox.lifecycle import State
from sandbox.ports import Caller
from sandbox.wire.node_client import NodeClient
from tests.crash.bookkeeping import Standing, events, violations
from tests.crash.town import EXPECTED, Town, blueprint, ended, lasting, persist, submit, table

TOKEN_TTL_S = 4
LAST = "zulu"
"""Keys are asked for in the order of names: when this node is asked, all others have handed out theirs."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("expiry")
    with Town(folder / "run", blueprint(folder, token_ttl_s=TOKEN_TTL_S)) as town:
        town.start()
        yield town


def _job_without_the_last_key(town: Town, point: str) -> BuyerJob:
    """Return a job whose charge is booked, and whose last node fell at `point` and stays away."""
    town.start_all()
    town.set_faults(LAST, {point: "kill"})
    job = town.job()
    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(submit, job)
        town.has_fallen(LAST)
        submitted.result()
    return job


def _release(town: Town, job: BuyerJob) -> bytes:
    """Ask the last node for its key, as the exchange does."""
    site = town.books
    effects = site.offline()._driver._effects
    assert isinstance(effects, JobEffects)
    pending = effects._metering.release_request(job.id, _attempt(town, job))
    record = site.offline().party(LAST).document

    async def ask() -> bytes:
        client = NodeClient(str(record.address), site.identity, record)
        caller = Caller(site.identity.party, "exchange")
        try:
            known_size = await client.checkpoint_size(caller)
            return await client.release(caller, effects._metering.for_node(pending, known_size))
        finally:
            await client.close()

    return persist(lambda: asyncio.run(ask()))


def _attempt(town: Town, job: BuyerJob) -> int:
    with town.books.store.read() as connection:
        return jobs.snapshot(connection, job.id).attempt


def _events(town: Town, job: BuyerJob) -> list[object]:
    with town.books.store.read() as connection:
        return events(connection, job.id)


def test_the_charge_stays_pending_until_the_silent_node_says_that_its_key_is_destroyed(town: Town) -> None:
    town.start_all()
    before = Standing.of(town)
    job = _job_without_the_last_key(town, "the token is checked, nothing is journalled")
    town.wait_until(lambda: "silent-node" in _events(town, job), "the silent node is not named")
    with town.books.store.read() as connection:
        assert jobs.snapshot(connection, job.id).state is State.METERED
        assert ledger.exists(connection, ids.derived("charge", job.id))
        assert not ledger.exists(connection, ids.derived("reversal", job.id))
        assert audit(connection, town.books.identity.environment).holds
        assert jobs.documents(connection, job.id, "silent", 1).keys() == {LAST}

    # It is back, and asked for the key before it hears of anything else.
    town.kill(EXCHANGE)
    town.launch(LAST)
    with pytest.raises(RequestExpired):
        _release(town, job)

    town.launch(EXCHANGE)
    assert ended(job) is State.FAILED
    assert _events(town, job).count("reversed") == 1
    with pytest.raises((RequestExpired, StateConflict)):
        _release(town, job)
    # A result was computed at both: a use, with a key handed out or destroyed (R12).
    assert lasting(lambda: violations(town, job.id, before, {"alpha": 1, LAST: 1})) == []


def test_a_key_that_was_journalled_in_time_still_counts(town: Town) -> None:
    town.start_all()
    before = Standing.of(town)
    job = _job_without_the_last_key(town, "the hand-out is journalled, not answered")
    town.wait_until(lambda: "silent-node" in _events(town, job), "the silent node is not named")
    town.launch(LAST)
    assert ended(job) is State.SETTLED
    assert lasting(lambda: violations(town, job.id, before, {"alpha": 1, LAST: 1})) == []
    assert table(job).equals(EXPECTED)
