"""Jobs over real processes: clients that vanish, watchers, cancellations, results of millions of cells."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from records.errors import PeerUnavailable, StateConflict
from sandbox.buyer.client import BuyerJob
from sandbox.cli.deployment import Offer
from sandbox.identity import Identity
from sandbox.lifecycle import State
from sandbox.wire.server import _Credentials
from tests.crash.bookkeeping import Standing, violations
from tests.crash.town import BUYER, EXPECTED, PURPOSE, QUERY, Town, blueprint, ended, lasting, table

PROVIDER = "zulu"
ROWS = 1_000_000
STRAIGHT_LINE = ["SUBMITTED", "ADMITTED", "QUOTED", "HELD", "EXECUTED", "METERED", "RELEASED", "SETTLED"]
CLIENT = """
import sys
from pathlib import Path
from sandbox.buyer.connect import connect

folder = Path(sys.argv[1])
job = connect(identity=folder, passphrase=folder / "passphrase").sql(sys.argv[2], purpose=sys.argv[3])
print(job.submit(), flush=True)
job.wait()
"""
READINGS_QUERY = "SELECT number, machine, value, label, good FROM zulu.readings ORDER BY number"
READINGS_TERMS = {
    "purposes": [PURPOSE],
    "unit": {"none": "readings of machines"},
    "buyers": {"allow": ["*"]},
    "columns": {"*": {"reveal": ["plain"]}},
    "release": {"max_rows": ROWS},
    "price": {"currency": "CNY", "per_use": 500},
}


def _readings() -> pa.Table:
    number = np.arange(ROWS)
    return pa.table(
        {
            "number": number,
            "machine": number * 7919 % 1013,
            "value": number / 8,
            "label": pa.array([f"label-{row % 977}" for row in range(ROWS)]),
            "good": number % 3 == 0,
        }
    )


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readings") / "readings.parquet"
    pq.write_table(_readings(), path)
    return path


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, readings: Path) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("processes")
    plan = blueprint(folder)
    offers = {**plan.providers[PROVIDER], "readings": Offer(readings, READINGS_TERMS)}
    with Town(folder / "run", replace(plan, providers={**plan.providers, PROVIDER: offers})) as town:
        town.start()
        yield town


def _stop_at(town: Town, point: str) -> None:
    town.start_all()
    town.set_faults(PROVIDER, {point: "kill"})


def _stopped_job(town: Town, point: str) -> BuyerJob:
    """Return an accepted job that waits for a provider that fell at `point`."""
    _stop_at(town, point)
    job = town.job()
    job.submit()
    town.has_fallen(PROVIDER)
    return job


def test_a_new_client_finds_the_job_of_a_client_that_was_killed(town: Town) -> None:
    _stop_at(town, "before the attempt is prepared")
    command = [sys.executable, "-c", CLIENT, str(town.folder / BUYER), QUERY, PURPOSE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        job_id = client.stdout.readline().strip()
        town.has_fallen(PROVIDER)
        client.send_signal(signal.SIGKILL)
    town.launch(PROVIDER)
    buyer = town.buyer(BUYER)
    try:
        assert buyer.jobs()[0].id == job_id
        found = buyer.job(job_id)
        assert found.query == QUERY
        assert found.result().to_arrow().equals(EXPECTED)
        assert found.receipt.verify()["event"] == "release"
    finally:
        buyer.close()


def test_a_watcher_sees_every_step_as_it_happens(town: Town) -> None:
    town.start_all()
    job = town.job()
    job.quote()
    watch = job.watch()
    assert [next(watch).state for _ in range(3)] == STRAIGHT_LINE[:3]
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(lambda: [event.state for event in watch])
        job.submit()
        assert rest.result() == STRAIGHT_LINE[3:]
    events = list(job.watch())
    assert [event.state for event in events] == STRAIGHT_LINE
    assert [event.sequence for event in events] == list(range(1, 9))


def test_a_job_is_cancelled_while_a_provider_is_away_which_learns_of_it_later(town: Town) -> None:
    town.start_all()
    before = Standing.of(town)
    job = _stopped_job(town, "before the attempt is prepared")
    assert job.state == State.HELD
    job.cancel()
    assert ended(job) is State.CANCELLED
    town.launch(PROVIDER)
    assert lasting(lambda: violations(town, job.id, before, dict.fromkeys(before.uses, 0))) == []


def test_a_metered_job_is_not_cancelled(town: Town) -> None:
    job = _stopped_job(town, "the token is checked, nothing is journalled")
    town.wait_until(lambda: job.state == State.METERED, "the job is not metered")
    with pytest.raises(StateConflict, match="until METERED"):
        job.cancel()
    town.launch(PROVIDER)
    assert ended(job) is State.SETTLED
    assert table(job).equals(EXPECTED)


def test_a_listener_gives_its_certificate_anew_only_when_it_changed(town: Town) -> None:
    # gRPC 1.85 frees the former configuration while handshakes use it: one at every handshake lets any peer
    # that connects several times at once end the process with a segmentation fault.
    folder = town.folder / PROVIDER
    identity = Identity.load(folder / "identity", (folder / "passphrase").read_text())
    credentials = _Credentials(identity)
    assert credentials._changed() is None
    credentials.identity = replace(identity)
    assert credentials._changed() is not None
    assert credentials._changed() is None


class _BreaksOnce:
    """A connection whose first download breaks after some messages."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self.offsets: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def stream(self, caller: Any, method: str, request: Any, reply: Any) -> AsyncIterator[Any]:
        fetching = method.endswith("FetchShare")
        if fetching:
            self.offsets.append(request.offset)
        left = 3 if fetching and len(self.offsets) == 1 else None
        async for message in self._wire.stream(caller, method, request, reply):
            yield message
            if left is not None:
                left -= 1
                if left == 0:
                    raise PeerUnavailable("the connection broke, as the test wants it")


def test_five_million_cells_arrive_over_a_connection_that_breaks(town: Town, readings: Path) -> None:
    town.start_all()
    buyer = town.buyer(BUYER)
    client: Any = buyer._session._exchange
    wire = client._wire = _BreaksOnce(client._wire)
    try:
        result = buyer.sql(READINGS_QUERY, purpose=PURPOSE).run()
    finally:
        buyer.close()
    first, second = wire.offsets
    assert first == 0
    assert second > 0
    assert result.to_arrow().equals(pq.read_table(readings))
