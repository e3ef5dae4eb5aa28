"""A small exchange whose servers can be told to fail, a warden that starts them again, and their books."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from records.errors import PeerUnavailable, StateConflict
from sandbox.buyer.client import Buyer, BuyerJob
from sandbox.cli.deployment import Blueprint, Deployment, Offer
from sandbox.exchange.site import Site
from sandbox.lifecycle import TERMINAL, State
from sandbox.store import Store
from tests.crash.nursery import Nursery
from tests.crash.server import FAULTS_FILE

T = TypeVar("T")

BUYER = "insurer"
PROVIDERS = ("alpha", "zulu")
NOTARY = "notary"
PURPOSE = "research"
QUERY = "SELECT city, COUNT(*) AS n, SUM(amount) AS s FROM sales GROUP BY city ORDER BY city"
PATIENCE_S = 90.0
CATCH_UP_S = 20.0
TERMS: Mapping[str, object] = {
    "purposes": [PURPOSE],
    "buyers": {"allow": ["*"]},
    "columns": {
        "city": {"reveal": ["plain"]},
        "amount": {"reveal": ["after-aggregate"], "functions": ["sum", "count"]},
    },
    "price": {"currency": "CNY", "per_use": 500, "per_cell": 2},
    "uses": {"total": 100_000},
}
ROWS = {
    "alpha": {"Aachen": 120, "Berlin": 80, "Celle": 40},
    "zulu": {"Aachen": 60, "Berlin": 90, "Celle": 50},
}
EXPECTED = pa.table(
    {
        "city": list(ROWS["alpha"]),
        "n": [sum(rows[city] for rows in ROWS.values()) for city in ROWS["alpha"]],
        "s": [sum(rows[city] * (rows[city] + 1) // 2 for rows in ROWS.values()) for city in ROWS["alpha"]],
    }
)


def write_sales(provider: str, path: Path) -> Path:
    """Write a provider's table: in each city, the amounts 1 to the number of rows."""
    rows = [(city, amount) for city, count in ROWS[provider].items() for amount in range(1, count + 1)]
    pq.write_table(
        pa.table({"city": [city for city, _ in rows], "amount": [amount for _, amount in rows]}), path
    )
    return path


def blueprint(folder: Path, *, token_ttl_s: int = 600, silent_node_s: int = 60) -> Blueprint:
    """Return two providers of one collection, a notary and a buyer."""
    offers = {
        name: {"sales": Offer(write_sales(name, folder / f"{name}.parquet"), TERMS, ("sales",))}
        for name in PROVIDERS
    }
    return Blueprint(
        providers=offers,
        buyers={BUYER: {"CNY": 10_000_000}},
        notaries=(NOTARY,),
        token_ttl_s=token_ttl_s,
        silent_node_s=silent_node_s,
    )


class Town(Deployment):
    """A deployment whose servers run under `tests.crash.server`."""

    def __init__(self, folder: Path, chosen: Blueprint) -> None:
        super().__init__(folder, chosen)
        self._opened_site: Site | None = None
        self._stores: dict[str, Store] = {}
        self._buyer: Buyer | None = None
        self._nursery = Nursery()

    def launch(self, name: str) -> None:
        """Start one server, which can be told to fail."""
        arguments = self.command(name)[3:]  # behind `python -m sandbox.cli.main`
        forked = self._nursery.fork(arguments, self.folder / name / "server.log")
        self._processes[name] = forked  # type: ignore[assignment] # the part of it that is used

    def __enter__(self) -> Town:
        return self

    def stop(self) -> None:
        """End all servers, and close what this process opened."""
        if self._buyer is not None:
            self._buyer.close()
        super().stop()
        self._nursery.close()
        for store in self._stores.values():
            store.close()
        if self._opened_site is not None:
            self._opened_site.store.close()

    @property
    def client(self) -> Buyer:
        """The one buyer, connected."""
        if self._buyer is None:
            self._buyer = self.buyer(BUYER)
        return self._buyer

    @property
    def books(self) -> Site:
        """The exchange's folder, opened beside the server."""
        if self._opened_site is None:
            self._opened_site = self.site()
        return self._opened_site

    def store(self, node: str) -> Store:
        """A node's store, opened beside the server."""
        if node not in self._stores:
            self._stores[node] = Store.in_folder(self.folder / node)
        return self._stores[node]

    def job(self) -> BuyerJob:
        """Return a new joint job."""
        return self.client.sql(QUERY, purpose=PURPOSE)

    def set_faults(self, server: str, faults: Mapping[str, str]) -> None:
        """Tell one server what is to fail: {point: "kill" | "refuse"}."""
        (self.folder / server / FAULTS_FILE).write_text(json.dumps(dict(faults)))

    def faults(self, server: str) -> dict[str, str]:
        """Return what a server was told and has not done yet."""
        found: dict[str, str] = json.loads((self.folder / server / FAULTS_FILE).read_text())
        return found

    def start_all(self) -> None:
        """Start whatever does not run, without faults."""
        for name in self.servers:
            self.set_faults(name, {})
            if name not in self.pids:
                self.launch(name)

    def has_fallen(self, server: str) -> None:
        """Wait until a server has killed itself."""
        self.wait_until(lambda: server not in self.pids, f"`{server}` still runs", PATIENCE_S)

    @contextmanager
    def warden(self) -> Iterator[None]:
        """Start every server again as soon as it has fallen, as an operator's supervisor does."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.05):
                for name in self.servers:
                    if name not in self.pids:
                        self.launch(name)

        thread = threading.Thread(target=watch, name="warden")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def persist(call: Callable[[], T]) -> T:
    """Repeat a call until the servers are back; repeating is safe."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except PeerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def submit(job: BuyerJob) -> None:
    """Submit and accept a job, whatever falls meanwhile."""
    try:
        persist(job.submit)
    except StateConflict:
        # The acceptance arrived, and only its answer was lost.
        if State(persist(lambda: job.state)) is State.QUOTED:
            raise


def ended(job: BuyerJob) -> State:
    """Wait until a job has ended, whatever falls meanwhile."""
    state = State(persist(job.wait))
    assert state in TERMINAL
    return state


def table(job: BuyerJob) -> Any:
    """Return the opened result."""
    return persist(job.result).to_arrow()


def lasting(look: Callable[[], list[str]]) -> list[str]:
    """Return what still does not hold after a server that was away has had time to learn what it missed."""
    deadline = time.monotonic() + CATCH_UP_S
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
