"""The exchange sees no row, no result and no literal: canaries are planted, jobs run, every byte is searched.

It plans and prices queries with placeholders; their values travel sealed to the providers and the buyer.
"""

# ruff: noqa: S608 - literals are the canaries

from __future__ import annotations

import base64
import dataclasses
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from records.errors import JobRefused, ResultWithheld
from sandbox.exchange import jobs
from sandbox.link.mesh import Mesh
from sandbox.local import LocalCluster
from sandbox.node import attempts
from sandbox.node.products import Shelf
from sandbox.sql import placeholders
from sandbox.sql.plan import LocalPart
from tests.adversarial.canaries import Canary
from tests.adversarial.town import Tap
from tests.adversarial.walls import standing

CITY = "Canaryville-5d20e1"
NAME = "canary-name-9f31c7"
AMOUNT = 1_203_554_877_131
WEIGHT = 48_611.734375
BORN = date(1931, 7, 19)
ROWS = 24

IN_ROWS = (
    Canary("row, text", NAME),
    Canary("row, integer", AMOUNT),
    Canary("row, float", WEIGHT),
    Canary("row, date", BORN),
)
IN_RESULTS = (
    Canary("result, key", CITY),
    Canary("result, sum of integers", ROWS * AMOUNT),
    Canary("result, sum of floats", ROWS * WEIGHT),
    Canary("result, joint sum of integers", 2 * ROWS * AMOUNT),
    Canary("result, joint sum of floats", 2 * ROWS * WEIGHT),
)
IN_QUERIES = (
    Canary("query, text", "canary-literal-77ab04"),
    Canary("query, integer", 90_533_174_411),
    Canary("query, float", 7_203.640625),
    Canary("query, date", date(1947, 3, 28)),
)
TEXT, NUMBER, RATIO, DAY = (canary.value for canary in IN_QUERIES)

TERMS: dict[str, Any] = {
    "purposes": ["research"],
    "buyers": {"allow": ["*"]},
    "columns": {
        "city": {"reveal": ["plain"], "roles": ["group", "filter"]},
        "name": {"reveal": ["after-group-by"], "roles": ["group", "filter"]},
        "born": {"reveal": ["after-group-by"], "roles": ["group", "filter"]},
        "amount": {"reveal": ["after-aggregate"], "roles": ["filter"], "functions": ["sum", "avg", "count"]},
        "weight": {"reveal": ["after-aggregate"], "roles": ["filter"], "functions": ["sum", "avg", "count"]},
    },
    "price": {"currency": "CNY", "per_use": 500, "per_cell": 2},
    "uses": {"total": 100},
}
FILTERED = (
    "SELECT city, SUM(amount) AS s, SUM(weight) AS w FROM {source} "
    f"WHERE name <> '{TEXT}' AND amount <> {NUMBER} AND weight <> {RATIO} AND born <> DATE '{DAY}' "
    "GROUP BY city"
)
WITHHELD = "SELECT name, SUM(amount) AS s FROM {source} GROUP BY name"
REFUSED = f"SELECT name FROM {{source}} WHERE name = '{TEXT}'"


@dataclass
class Evidence:
    """All that the exchange holds, heard and said; what ran between nodes; for the controls, the truth."""

    stored: bytes = b""
    relayed: list[bytes] = field(default_factory=list)
    framed: list[bytes] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    sources: bytes = b""
    opened: list[bytes] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)


class Recorder:
    """Stands at a port and keeps every byte of calls and answers."""

    def __init__(self, port: Any, kept: list[bytes]) -> None:
        self._port = port
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not callable(method):
            return method

        def call(*arguments: Any) -> Any:
            return self._heard(method(*(self._heard(argument) for argument in arguments)))

        return call

    def _heard(self, value: Any) -> Any:
        if inspect.isawaitable(value):
            return self._answer(value)
        if hasattr(value, "__aiter__"):
            return self._stream(value)
        self._kept.extend(_pieces(value))
        return value

    async def _answer(self, value: Any) -> Any:
        return self._heard(await value)

    async def _stream(self, values: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for value in values:
            yield self._heard(value)


class Watched(LocalCluster):
    """A local cluster with a recorder at every port and on every channel between nodes."""

    def __init__(self, evidence: Evidence, **settings: Any) -> None:
        self._evidence = evidence
        super().__init__(**settings)

    def _start_nodes(self) -> None:
        recorded: Any = Recorder(self._exchange, self._evidence.relayed)
        self._exchange = recorded
        honest = self._switchboard.open

        def tapped(channel: str, node: str, peers: tuple[str, ...]) -> Mesh:
            return Tap(honest(channel, node, peers), lambda _, frame: self._evidence.framed.append(frame))

        self._switchboard.open = tapped  # type: ignore[method-assign]
        super()._start_nodes()

    def _node(self, name: str) -> Any:
        return Recorder(super()._node(name), self._evidence.relayed)


class Listener(logging.Handler):
    """Keeps everything that is logged, with its extra fields and tracebacks."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(f"{logging.Formatter().format(record)} {record.__dict__}")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    found = Evidence()
    home = tmp_path_factory.mktemp("canaries")
    listener = Listener(found.logged)
    ours = [
        logging.getLogger(name) for name in ("sandbox", "mpc", "connectors", "policies", "billing", "records")
    ]
    for logger in ours:
        logger.addHandler(listener)
        logger.setLevel(logging.DEBUG)
    try:
        _run_everything(found, home)
    finally:
        for logger in ours:
            logger.removeHandler(listener)
            logger.setLevel(logging.NOTSET)
    return found


@pytest.mark.parametrize("canary", [*IN_ROWS, *IN_RESULTS, *IN_QUERIES], ids=str)
class TestExchange:
    def test_stores_none(self, canary: Canary, evidence: Evidence) -> None:
        assert not canary.is_in(evidence.stored)

    def test_relays_none(self, canary: Canary, evidence: Evidence) -> None:
        assert not canary.is_in(b"\n".join(evidence.relayed))

    def test_nobody_logs_it(self, canary: Canary, evidence: Evidence) -> None:
        assert not canary.is_in("\n".join(evidence.logged).encode())

    def test_no_frame_between_nodes_holds_it(self, canary: Canary, evidence: Evidence) -> None:
        assert not canary.is_in(b"\n".join(evidence.framed))


class TestControls:
    @pytest.mark.parametrize("canary", IN_ROWS, ids=str)
    def test_providers_files_hold_it(self, canary: Canary, evidence: Evidence) -> None:
        assert canary.is_in(evidence.sources)

    @pytest.mark.parametrize("canary", IN_QUERIES, ids=str)
    def test_the_providers_engines_ran_it(self, canary: Canary, evidence: Evidence) -> None:
        assert canary.is_in("\n".join(evidence.pushed).encode())

    @pytest.mark.parametrize("canary", IN_RESULTS, ids=str)
    def test_the_buyer_opened_it(self, canary: Canary, evidence: Evidence) -> None:
        assert canary.is_in(b"\n".join(evidence.opened))

    def test_everything_was_watched(self, evidence: Evidence) -> None:
        assert any("job advanced" in line or "withheld" in line for line in evidence.logged)
        assert min(len(evidence.relayed), len(evidence.framed), len(evidence.opened)) > 1
        assert b"SQLite format 3" in evidence.stored
        assert Canary("placeholder", "AND amount <> $n").is_in(evidence.stored)

    @pytest.mark.parametrize("canary", [*IN_ROWS, *IN_RESULTS], ids=str)
    @pytest.mark.parametrize("before", range(3))
    def test_a_disguised_canary_is_found(self, canary: Canary, before: int) -> None:
        for plain in (str(canary.value).encode(), next(iter(canary.disguises()))):
            around = bytes(before) + plain + b"tail"
            once = base64.b64encode(around)
            for disguised in (around, around.hex().encode(), once, base64.b64encode(b"a" * before + once)):
                assert canary.is_in(b"head" + disguised)
        assert not canary.is_in(b"something else altogether")

    def test_without_the_seal_the_exchange_reads_the_result(self, tmp_path: Path) -> None:
        def unsealed(share: bytes, *_: object) -> bytes:
            return share

        found = Evidence()
        with standing(False, (attempts, "seal_share", unsealed)), _cluster(found, tmp_path) as cluster:
            job = cluster.buyer("acme", funds={"CNY": 1_000_000}).sql(
                FILTERED.format(source="alice.people"), purpose="research"
            )
            job.submit()
            assert job.wait() == "SETTLED"
            found.stored = _files(tmp_path / "home" / "exchange")
        for canary in IN_RESULTS[:3]:
            assert canary.is_in(found.stored)
            assert canary.is_in(b"\n".join(found.relayed))

    def test_with_literals_in_the_text_the_exchange_has_them(self, tmp_path: Path) -> None:
        def unhidden(query: str) -> tuple[str, tuple[str, ...]]:
            return query, ()

        def lenient(_: object) -> None:
            return

        found = Evidence()
        walls = (placeholders, "extract", unhidden), (jobs, "require_sealed_literals", lenient)
        with standing(False, *walls), _cluster(found, tmp_path) as cluster:
            job = cluster.buyer("acme", funds={"CNY": 1_000_000}).sql(
                FILTERED.format(source="alice.people"), purpose="research"
            )
            with pytest.raises(JobRefused, match="holds no literals"):  # the providers look again
                job.submit()
            found.stored = _files(tmp_path / "home" / "exchange")
        for canary in IN_QUERIES:
            assert canary.is_in(found.stored)
            assert canary.is_in(b"\n".join(found.relayed))


def _run_everything(found: Evidence, folder: Path) -> None:
    honest = Shelf.run

    def watched(shelf: Shelf, part: LocalPart) -> Iterator[pa.RecordBatch]:
        found.pushed.append(part.sql)
        return honest(shelf, part)

    with standing(False, (Shelf, "run", watched)), _cluster(found, folder) as cluster:
        buyer = cluster.buyer("acme", funds={"CNY": 1_000_000})
        for source in ("alice.people", "everyone"):
            result = buyer.sql(FILTERED.format(source=source), purpose="research", max_groups=64).run()
            found.opened.append(_stream(result.to_arrow()))
            with pytest.raises(ResultWithheld):
                buyer.sql(WITHHELD.format(source=source), purpose="research", max_groups=64).run()
            with suppress(JobRefused):
                buyer.sql(REFUSED.format(source=source), purpose="research").quote()
        found.stored = _files(folder / "home" / "exchange")
    found.stored += _files(folder / "home" / "exchange")
    found.sources = _files(folder / "sources")


def _cluster(found: Evidence, folder: Path) -> Watched:
    (folder / "sources").mkdir()
    frame = pd.DataFrame(
        {
            "city": [CITY] * ROWS,
            "name": [NAME if row < 2 else f"somebody {row}" for row in range(ROWS)],
            "amount": [AMOUNT] * ROWS,
            "weight": [WEIGHT] * ROWS,
            "born": [BORN] * ROWS,
        }
    )
    frame.to_csv(folder / "sources" / "alice.csv", index=False)
    bobs = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(bobs, folder / "sources" / "bob.parquet", compression="none", use_dictionary=False)
    return Watched(
        found,
        providers={
            "alice": {"people": folder / "sources" / "alice.csv"},
            "bob": {"people": folder / "sources" / "bob.parquet"},
        },
        terms={name: {"people": TERMS} for name in ("alice", "bob")},
        collections={"everyone": ["alice.people", "bob.people"]},
        folder=folder / "home",
    )


def _files(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _pieces(value: Any) -> Iterator[bytes]:
    """Yield every text and byte string in a value of a port."""
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from _pieces((*value, *value.values()))
    elif isinstance(value, (tuple, list, set, frozenset)):
        for item in value:
            yield from _pieces(item)
    elif dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            yield from _pieces(getattr(value, each.name))
    else:
        yield str(value).encode()
