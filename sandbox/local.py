"""A whole exchange on a laptop: the same planner, gate, ledger and log in one process, without servers.

Parties have keys, stores and terms of their own, and every document is signed and checked as between
machines; only the transport is missing. Receipts carry an environment of their own and never verify against
a real exchange (R19).
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from billing import log, trial_balance
from connectors.sources import Source
from policies import terms as policy
from policies.terms import Terms
from records import clock
from records.clock import Clock
from records.errors import MalformedDocument, UnknownObject
from records.ids import require_name
from sandbox.buyer.client import Buyer
from sandbox.buyer.loop import LoopThread
from sandbox.buyer.session import BuyerSession
from sandbox.exchange.exchange import Exchange, ExchangeSettings
from sandbox.identity import Identity
from sandbox.link.mesh import MemoryMesh, Mesh
from sandbox.node.node import Node, NodeSettings
from sandbox.store import Store

EXCHANGE = "exchange"
NOTARY = "notary"
LINK_TIMEOUT_S = 60.0
MAX_CHANNELS = 256

Pipe = queue.SimpleQueue[bytes | None]
TermsSource = str | Path | Mapping[str, object]


class LocalCluster:
    """An exchange, a notary, and a node for each provider."""

    def __init__(
        self,
        *,
        providers: Mapping[str, Mapping[str, Source]],
        terms: Mapping[str, Mapping[str, TermsSource]],
        collections: Mapping[str, list[str]] | None = None,
        folder: str | Path | None = None,
        settings: ExchangeSettings | None = None,
        now: Clock = clock.utc_now,
    ) -> None:
        """Start the parties and offer every table under its terms.

        `providers`: provider → table → DataFrame, Arrow table, file or other source. `terms`: the same names
        → mapping or YAML/JSON file; a table without terms is refused. `collections`: name → products.
        `folder` is where the parties' stores are left, to be looked at: a cluster is not opened again, its
        keys go with it. Without it they lie in a temporary folder.

        Raises:
            MalformedDocument: terms are missing or do not parse.
            SourceUnreadable: a source cannot be read as a table.
        """
        self._temporary = None if folder else tempfile.mkdtemp(prefix="usufruct-")
        self._folder = Path(folder or str(self._temporary))
        self._now = now
        self._environment = f"local.{self._folder.name}"
        self._closed = False
        self._loop = LoopThread()
        self._switchboard = _Switchboard()
        self._nodes: dict[str, Node] = {}
        try:
            self._identities = {
                name: self._identity(name, "notary" if name == NOTARY else "provider")
                for name in (NOTARY, *(require_name(name, "a provider") for name in providers))
            }
            offers = _offers(providers, terms)
            own = self._identity(EXCHANGE, "exchange")
            self._store = Store.in_folder(self._folder / EXCHANGE)
            self._exchange = Exchange(
                record=own.record,
                signer=own.signer,
                log_signer=own.log_signer,
                store=self._store,
                nodes=self._node,
                clock=now,
                settings=settings,
            )
            self._start_nodes()
            self._loop.run(self._offer(offers, collections or {}))
        except BaseException:
            self.close()
            raise

    @property
    def ledger(self) -> LedgerCheck:
        """The exchange's ledger, to be checked."""
        return LedgerCheck(self._store)

    @property
    def log(self) -> LogCheck:
        """The exchange's log, to be checked."""
        return LogCheck(self._store, self._environment)

    def buyer(self, name: str, *, funds: Mapping[str, int] | None = None) -> Buyer:
        """Enrol a buyer with `funds` in minor units by currency, and return its SDK."""
        identity = self._identity(name, "buyer")
        self._exchange.enrol(identity.record.to_bytes())
        for currency, amount_minor in (funds or {}).items():
            self._exchange.deposit(name, currency, amount_minor, "opening")
        session = BuyerSession(identity, self._exchange.record, self._exchange, self._now)
        return Buyer(session, self._loop, lambda: None)

    def close(self) -> None:
        """Stop all parties; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if hasattr(self, "_exchange"):
            self._loop.run(self._exchange.stop())
        for node in self._nodes.values():
            node.close()
        self._loop.close()
        if hasattr(self, "_store"):
            self._store.close()
        if self._temporary:
            shutil.rmtree(self._temporary)

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _identity(self, name: str, role: str) -> Identity:
        return Identity.create(
            name,
            role,  # type: ignore[arg-type]
            controller=f"{name}-controller",
            region="CN",
            environment=self._environment,
            clock=self._now,
        )

    def _start_nodes(self) -> None:
        pins = {
            name: identity.record.document.verifying_key.key_id for name, identity in self._identities.items()
        }
        for name, identity in self._identities.items():
            self._exchange.enrol(identity.record.to_bytes())
            self._nodes[name] = Node(
                identity=identity,
                exchange_record=self._exchange.record,
                exchange=lambda: self._exchange,
                peers=self._node,
                store=Store.in_folder(self._folder / name),
                open_mesh=lambda channel, peers, name=name: self._switchboard.open(channel, name, peers),  # type: ignore[misc]
                clock=self._now,
                settings=NodeSettings(pins=pins),
            )

    async def _offer(self, offers: list[tuple[Source, Terms]], collections: Mapping[str, list[str]]) -> None:
        for source, terms in offers:
            await self._nodes[terms.provider].offer(source, terms)
        for collection, members in collections.items():
            for product in members:
                await self._node(product.partition(".")[0]).join(product, collection)

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            raise UnknownObject(f"no node `{name}` in this cluster")
        return self._nodes[name]


class LedgerCheck:
    """Checks a ledger as a whole."""

    def __init__(self, store: Store) -> None:
        """Look at `store`."""
        self._store = store

    def check(self) -> trial_balance.TrialBalance:
        """Return the trial balance; raise `EvidenceError` where the ledger does not hold."""
        with self._store.read() as connection:
            return trial_balance.check(connection)


class LogCheck:
    """Checks a log as a whole."""

    def __init__(self, store: Store, origin: str) -> None:
        """Look at `store`."""
        self._store = store
        self._origin = origin

    def check(self) -> log.LogReport:
        """Return size and root; raise `EvidenceError` where the log does not hold."""
        with self._store.read() as connection:
            return log.check(connection, self._origin)


class _Switchboard:
    """Connects the nodes of one attempt with queues, whoever comes first; forgets all but the latest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: OrderedDict[str, dict[tuple[str, str], Pipe]] = OrderedDict()

    def open(self, channel: str, node: str, peers: tuple[str, ...]) -> Mesh:
        with self._lock:
            pipes = self._channels.setdefault(channel, {})
            while len(self._channels) > MAX_CHANNELS:
                self._channels.popitem(last=False)
            incoming = {peer: pipes.setdefault((peer, node), queue.SimpleQueue()) for peer in peers}
            outgoing = {peer: pipes.setdefault((node, peer), queue.SimpleQueue()) for peer in peers}
        return MemoryMesh(incoming, outgoing, LINK_TIMEOUT_S)


def _offers(
    providers: Mapping[str, Mapping[str, Source]], terms: Mapping[str, Mapping[str, TermsSource]]
) -> list[tuple[Source, Terms]]:
    offers = []
    for provider, tables in providers.items():
        for table, source in tables.items():
            stated = terms.get(provider, {}).get(table)
            if stated is None:
                raise MalformedDocument(
                    f"`{provider}.{table}` has no terms of use: nothing may be done with it"
                )
            text = Path(stated).read_text() if isinstance(stated, (str, Path)) else stated
            offers.append((source, policy.parse(text, product=f"{provider}.{table}")))
    return offers
