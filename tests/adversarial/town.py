"""A local cluster in the attacker's hands: the exchange moves by hand only, and every private key is known.

Nodes, exchange, buyers, keys, stores and documents are the real ones. What the attacker adds is what it would
have: the exchange's keys and store, the words on the way (`between`), and the time of its choice.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pandas as pd
from sqlalchemy import select, update

from records import clock
from records.document import Signed
from records.errors import JobEnded, JobRefused, ResultWithheld
from records.job import Acceptance, Admission, Quote
from sandbox.buyer.session import BuyerSession, reasons_of
from sandbox.exchange import jobs, tables
from sandbox.exchange.exchange import Exchange
from sandbox.exchange.metering import Metering
from sandbox.exchange.quoting import Quoting
from sandbox.identity import Identity
from sandbox.lifecycle import TERMINAL, JobSnapshot, State, advance
from sandbox.link.mesh import Mesh
from sandbox.local import EXCHANGE, LocalCluster
from sandbox.node.node import Node
from sandbox.ports import AdmissionRequest, Caller, NodePort, ReleaseRequest
from sandbox.store import Store

T = TypeVar("T")

LOCAL = "SELECT city, SUM(amount) AS s FROM alice.sales GROUP BY city"
JOINT = "SELECT city, SUM(amount) AS s FROM everyone GROUP BY city"
CALLER = Caller(EXCHANGE, "exchange")
LINK_TIMEOUT_S = 0.5
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it; no attack here is on the disk
"""Where stores lie that need not survive: no time is spent on waiting for a disk."""

TERMS: Mapping[str, Any] = {
    "purposes": ["research"],
    "buyers": {"allow": ["*"]},
    "columns": {
        "city": {"reveal": ["plain"]},
        "amount": {"reveal": ["after-aggregate"], "functions": ["sum", "avg", "count"]},
    },
    "parties": {"accept": ["notary", "provider", "exchange"]},
    "price": {"currency": "CNY", "per_use": 500, "per_cell": 2},
    "uses": {"total": 10_000},
}


def sales(**rows_by_city: int) -> pd.DataFrame:
    """Return a table of sales, every amount 1."""
    cities = [city for city, rows in rows_by_city.items() for _ in range(rows)]
    return pd.DataFrame({"city": cities, "amount": [1] * len(cities)})


class Town(LocalCluster):
    """Two providers, a notary, an exchange whose jobs move only when `advance` is called, and buyers."""

    def __init__(
        self,
        *,
        tables: Mapping[str, pd.DataFrame] | None = None,
        controllers: Mapping[str, str] | None = None,
        affiliates: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.between: dict[str, NodePort] = {}
        self.everyone: dict[str, Identity] = {}
        self.frames: list[tuple[str, str, bytes]] = []
        self._controllers = controllers or {}
        self._affiliates = affiliates or {}
        self._ahead = timedelta()
        self._home = Path(tempfile.mkdtemp(prefix="usufruct-town-", dir=MEMORY if MEMORY.is_dir() else None))
        given = tables or {"alice": sales(A=20, B=30), "bob": sales(A=25, B=15)}
        for name in (*given, "notary", EXCHANGE):
            (self._home / name).mkdir()
            (self._home / name / "store.sqlite").write_bytes(_empty_store())
        super().__init__(
            providers={name: {"sales": table} for name, table in given.items()},
            terms={name: {"sales": TERMS} for name in given},
            collections={"everyone": [f"{name}.sales" for name in given]},
            folder=self._home,
            now=self._time,
        )
        self.run(self._exchange.stop())

    def __enter__(self) -> Town:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        shutil.rmtree(self._home)

    @property
    def exchange(self) -> Exchange:
        return self._exchange

    @property
    def quoting(self) -> Quoting:
        return self._exchange._driver._effects._quoting  # type: ignore[attr-defined, no-any-return]

    @property
    def metering(self) -> Metering:
        return self._exchange._driver._effects._metering  # type: ignore[attr-defined, no-any-return]

    @property
    def store(self) -> Store:
        """The exchange's store."""
        return self._store

    def node(self, name: str) -> Node:
        return self._nodes[name]

    def run(self, awaitable: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await awaitable

        return self._loop.run(awaited())

    def pass_time(self, **time: float) -> None:
        self._ahead += timedelta(**time)

    def session(self, name: str = "acme") -> BuyerSession:
        """Enrol a buyer and fund it; an enrolled one gets a new session."""
        if name not in self.everyone:
            self.exchange.enrol(self._identity(name, "buyer").record.to_bytes())
            self.exchange.deposit(name, "CNY", 1_000_000, "opening")
        return BuyerSession(self.everyone[name], self.exchange.record, self._exchange, self._now)

    def impostor(self, name: str) -> Identity:
        """Return an identity that claims to be `name`, with keys of its own."""
        record = self.everyone[name].record.document
        return Identity.create(
            name,
            record.role,
            controller=record.controller,
            region=record.region,
            affiliates=record.affiliates,
            environment=self._environment,
            clock=self._now,
        )

    # A job, stage by stage.

    def submit(self, query: str, buyer: str = "acme") -> str:
        """Draft, sign and submit a job; return its id."""
        session = self.session(buyer)
        draft = session.draft(
            query, purpose="research", technique="auto", epsilon=None, max_groups=4, max_price_minor=None
        )
        return self.run(session.submit(self.run(draft)))

    def at(self, state: State, query: str = LOCAL) -> str:
        """Return a new job, taken to `state`."""
        job_id = self.submit(query)
        self.advance(job_id, state)
        return job_id

    def advance(self, job_id: str, to: State) -> None:
        """Take a job on to state `to` as an honest exchange would; the buyer accepts what it is quoted.

        Raises:
            JobRefused, ResultWithheld, JobEnded: it ended in another state.
        """
        while (job := self.snapshot(job_id)).state is not to:
            if job.state in TERMINAL:
                reasons = reasons_of(self.view(job_id))
                kinds = {State.REFUSED: JobRefused, State.WITHHELD: ResultWithheld}
                raise kinds.get(job.state, JobEnded)(reasons)
            if job.state is State.QUOTED and not job.accepted:
                self.accept(job_id)
                job = self.snapshot(job_id)
            self.run(advance(job, self._exchange._driver._effects, self._now()))

    def accept(self, job_id: str, quote: Signed[Quote] | None = None) -> None:
        """Sign the buyer's acceptance of a quote, and bring it to the exchange."""
        session = self.session(self._buyer(job_id))
        self.run(session.accept(job_id, quote or self.quote(job_id), None))

    def signed_acceptance(
        self, quote: Signed[Quote], by: Identity | None = None, buyer: str = "acme"
    ) -> Signed[Acceptance]:
        """Return an acceptance that a buyer signs without looking, or that somebody forges."""
        now = self._now()
        acceptance = Acceptance(
            environment=self._environment,
            quote_digest=quote.digest,
            job_digest=quote.document.job_digest,
            buyer=buyer,
            issued_at=clock.to_text(now),
            expires_at=clock.to_text(now + timedelta(hours=1)),
        )
        return acceptance.sign((by or self.everyone[buyer]).signer)

    def snapshot(self, job_id: str) -> JobSnapshot:
        with self.store.read() as connection:
            return jobs.snapshot(connection, job_id)

    def view(self, job_id: str) -> Any:
        with self.store.read() as connection:
            return jobs.view(connection, job_id)

    def quote(self, job_id: str) -> Signed[Quote]:
        with self.store.read() as connection:
            return jobs.signed_quote(connection, job_id)

    def requoted(self, job_id: str, **changes: object) -> Signed[Quote]:
        """Return the job's quote with other words, signed by the exchange all the same."""
        changed = self.quote(job_id).document.model_copy(update=changes)
        return changed.sign(self.everyone[EXCHANGE].signer)

    def acceptance_digest(self, job_id: str) -> str:
        with self.store.read() as connection:
            return jobs.signed_acceptance(connection, job_id).digest

    def documents(self, job_id: str, kind: str, attempt: int = 1) -> dict[str, bytes]:
        with self.store.read() as connection:
            return jobs.documents(connection, job_id, kind, attempt)

    def admission_request(self, job_id: str) -> AdmissionRequest:
        with self.store.read() as connection:
            return self.quoting.derive(connection, job_id)[1]

    def admit(self, node: str, request: AdmissionRequest) -> Admission:
        """Return what a node answers."""
        return Admission.unverified(self.run(self.node(node).admit(CALLER, request))).document

    def release_request(self, job_id: str, node: str, attempt: int = 1) -> ReleaseRequest:
        """Return what an honest exchange asks a node with."""
        known = self.run(self.node(node).checkpoint_size(CALLER))
        return self.metering.for_node(self.metering.release_request(job_id, attempt), known)

    def rewrite(self, job_id: str, state: State, attempt: int) -> None:
        """Write into the exchange's own store what suits it."""
        with self.store.begin() as connection:
            connection.execute(
                update(tables.job).where(tables.job.c.job_id == job_id).values(state=state, attempt=attempt)
            )

    # Parts.

    def _time(self) -> datetime:
        return clock.utc_now() + self._ahead

    def _buyer(self, job_id: str) -> str:
        with self.store.read() as connection:
            return jobs.signed_job(connection, job_id).document.buyer

    def _identity(self, name: str, role: str) -> Identity:
        identity = Identity.create(
            name,
            role,  # type: ignore[arg-type]
            controller=self._controllers.get(name, f"{name}-controller"),
            region="CN",
            affiliates=self._affiliates.get(name, ()),
            environment=self._environment,
            clock=self._now,
        )
        self.everyone[name] = identity
        return identity

    def _node(self, name: str) -> Any:
        return self.between.get(name) or super()._node(name)

    def _start_nodes(self) -> None:
        honest = self._switchboard.open

        def tapped(channel: str, node: str, peers: tuple[str, ...]) -> Mesh:
            mesh = honest(channel, node, peers)
            mesh._timeout_s = LINK_TIMEOUT_S  # type: ignore[attr-defined]
            return Tap(mesh, lambda peer, frame: self.frames.append((node, peer, frame)))

        self._switchboard.open = tapped  # type: ignore[method-assign]
        super()._start_nodes()


class Tap:
    """A mesh whose sent frames are also shown to `seen`."""

    def __init__(self, mesh: Mesh, seen: Callable[[str, bytes], None]) -> None:
        self._mesh = mesh
        self._seen = seen

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        self._seen(peer, bytes(frame))
        self._mesh.send(peer, frame)

    def receive(self, peer: str) -> bytes | memoryview:
        return self._mesh.receive(peer)

    def close(self) -> None:
        self._mesh.close()

    def abort(self) -> None:
        self._mesh.abort()


@functools.cache
def _empty_store() -> bytes:
    """Return a migrated SQLite file, made once."""
    with tempfile.TemporaryDirectory() as folder:
        Store.in_folder(Path(folder)).close()
        return (Path(folder) / "store.sqlite").read_bytes()


@contextmanager
def shared_town() -> Iterator[Town]:
    """Yield one town for all attacks that leave nothing behind but jobs of their own."""
    yield _shared_town()


@functools.cache
def _shared_town() -> Town:
    town = Town()
    atexit.register(town.__exit__, None, None, None)
    return town


def stored_share(town: Town, job_id: str, node: str, index: int) -> bytes:
    """Return a sealed share as the exchange has it."""
    columns = tables.sealed_chunk.c
    with town.store.read() as connection:
        rows = connection.execute(
            select(columns.data)
            .where(columns.job_id == job_id, columns.node == node, columns.share_index == index)
            .order_by(columns.chunk_offset)
        )
        return b"".join(rows.scalars())
