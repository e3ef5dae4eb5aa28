"""Kill -9 at every stage: the job ends with exactly one charge and one release, or with none of both.

One deployment serves all points, so that every point also runs on what the crashes before it left behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from _pytest.mark import ParameterSet

from records.errors import StateConflict
from sandbox.cli.deployment import EXCHANGE
from sandbox.lifecycle import State
from tests.crash.bookkeeping import Standing, violations
from tests.crash.points import DESTROY_POINTS, EXCHANGE_POINTS, NODE_POINTS, REFUSED, Point
from tests.crash.town import EXPECTED, NOTARY, Town, blueprint, ended, lasting, persist, submit, table

PROVIDER = "alpha"
DEFAULT = {
    EXCHANGE: {
        "before ADMITTED is committed",
        "after QUOTED is committed",
        "one node holds, the others are not asked",
        "the attempt is numbered",
        "the nodes compute",
        "before EXECUTED is committed",
        "within the metering transaction",
        "after METERED is committed",
        "the first key is handed out, not kept",
        "the first key is kept, the second not asked for",
        "all keys are kept",
        "within the transaction of the settlement",
    },
    NOTARY: {"before the attempt is run", "within the protocol", "the hand-out is journalled, not answered"},
    PROVIDER: {
        "after the hold",
        "after the attempt is prepared",
        "sealed, not uploaded",
        "within the upload",
        "the token is checked, nothing is journalled",
        "within the transaction of the void",
    },
}
"""The most telling points; the others take minutes, and run with `make check-long`."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("sweep")
    with Town(folder / "run", blueprint(folder)) as town:
        town.start()
        yield town


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """What each kill point came to, written to a file at the end."""
    found: dict[str, list[str]] = {}
    yield found
    summary = {
        "kill_points": len(found),
        "violations": sum(map(len, found.values())),
        "found": found,
    }
    path = tmp_path_factory.mktemp("summary") / "crash_sweep.json"
    path.write_text(json.dumps(summary, indent=2))


def _cases() -> list[ParameterSet]:
    cases = []
    for server, points in (
        (EXCHANGE, EXCHANGE_POINTS),
        (NOTARY, NODE_POINTS),
        (PROVIDER, (*NODE_POINTS, *DESTROY_POINTS)),
    ):
        for point in points:
            marks = () if point.name in DEFAULT[server] else (pytest.mark.long,)
            cases.append(pytest.param(server, point, marks=marks, id=f"{server}: {point.name}"))
    return cases


@pytest.mark.parametrize(("server", "point"), _cases())
def test_a_job_survives_the_kill_of(
    server: str, point: Point, town: Town, tally: dict[str, list[str]]
) -> None:
    town.start_all()
    before = Standing.of(town)
    reversing = point in DESTROY_POINTS
    town.set_faults(server, {point.name: "kill"} | ({REFUSED.name: "refuse"} if reversing else {}))
    job = town.job()
    with town.warden():
        submit(job)
        state = ended(job)
        town.wait_until(lambda: not town.faults(server), "the fault did not come to pass")
        town.wait_until(lambda: set(town.pids) == set(town.servers), "a server is not back")
        uses = dict.fromkeys(before.uses, 1)  # also where it is reversed: a result was computed (R12)
        found = lasting(lambda: violations(town, job.id, before, uses))
        if state is State.SETTLED:
            found += [] if table(job).equals(EXPECTED) else ["the result is wrong"]
            with suppress(StateConflict):
                persist(job.submit)
            found += violations(town, job.id, before, uses)
    tally[f"{server}: {point.name}"] = found
    assert found == []
    assert state is (State.FAILED if reversing else State.SETTLED)


@pytest.mark.parametrize(
    "point", ["one node has prepared", "the first key is kept, the second not asked for"]
)
def test_a_job_survives_a_power_cut(point: str, town: Town) -> None:
    town.start_all()
    before = Standing.of(town)
    town.set_faults(EXCHANGE, {point: "kill"})
    job = town.job()
    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(submit, job)
        town.has_fallen(EXCHANGE)
        for name in town.pids:
            town.kill(name)
        town.start_all()
        submitted.result()
    assert ended(job) is State.SETTLED
    assert lasting(lambda: violations(town, job.id, before, dict.fromkeys(before.uses, 1))) == []
    assert table(job).equals(EXPECTED)


def test_default_points_exist() -> None:
    known = {
        EXCHANGE: {point.name for point in EXCHANGE_POINTS},
        NOTARY: {point.name for point in NODE_POINTS},
        PROVIDER: {point.name for point in (*NODE_POINTS, *DESTROY_POINTS)},
    }
    assert all(names <= known[server] for server, names in DEFAULT.items())


def test_the_sweep_found_no_violation(tally: dict[str, list[str]], request: pytest.FixtureRequest) -> None:
    swept = [item for item in request.session.items if "kill_of" in item.name]
    assert len(tally) == len(swept)
    assert {name: found for name, found in tally.items() if found} == {}
