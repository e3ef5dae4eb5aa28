"""A node as a process: its folder, its listener, its connections to the exchange and to other nodes.

    FOLDER/identity/        keys and certificate, encrypted at rest
    FOLDER/exchange.json    the exchange's signed record, as it came with the enrolment
    FOLDER/node.yaml        pins, and the products on offer
    FOLDER/store.sqlite     budgets, holds, attempts

`node.yaml` is read again when it changes: a product that `usufruct product register` adds is offered without
a restart.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from policies import terms as policy
from records.clock import Clock, utc_now
from records.document import Signed
from records.errors import MalformedDocument, PeerUnavailable, StateConflict, UnknownObject, UsufructError
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.keystore import read_private
from sandbox.link.grpc import LinkServicer
from sandbox.link.mailbox import Mailbox
from sandbox.link.mesh import Mesh
from sandbox.link.streams import grpc_mesh, negotiated_mesh
from sandbox.link.tls import AVAILABLE, TlsListener
from sandbox.node.configuration import NodeConfiguration, ProductConfiguration
from sandbox.node.node import Node, NodeSettings
from sandbox.ports import Caller, NodePort
from sandbox.store import Store
from sandbox.wire.exchange_client import ExchangeClient
from sandbox.wire.node_client import NodeClient
from sandbox.wire.registry import Registry
from sandbox.wire.server import WireServer, serve

logger = logging.getLogger(__name__)

LINK_TIMEOUT_S = 60.0
LOOK_AGAIN_S = 1.0
ASK_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeSite:
    """A node's folder, opened."""

    folder: Path
    identity: Identity
    exchange_record: Signed[PartyRecord]
    clock: Clock

    @classmethod
    def open(cls, folder: Path, passphrase: str, now: Clock = utc_now) -> NodeSite:
        """Open the folder of an enrolled node."""
        identity = Identity.load(folder / "identity", passphrase)
        claimed = PartyRecord.unverified(read_private(folder / "exchange.json"))
        key = claimed.document.verifying_key
        record = PartyRecord.verified(claimed.to_bytes(), key, identity.environment)
        return cls(folder, identity, record, now)

    @property
    def configuration(self) -> NodeConfiguration:
        """`node.yaml` as it stands now."""
        return NodeConfiguration.read(self.folder / "node.yaml")


class RunningNode:
    """A node that serves."""

    def __init__(self, site: NodeSite) -> None:
        """Use `run` instead."""
        self._site = site
        self._registry = Registry([site.exchange_record, site.identity.record])
        self._mailbox = Mailbox()
        self._clients: dict[tuple[str, str], NodeClient] = {}
        exchange = site.exchange_record.document
        self._exchange = ExchangeClient(str(exchange.address), site.identity, exchange, clock=site.clock)
        configured = site.configuration
        self.node = Node(
            identity=site.identity,
            exchange_record=site.exchange_record,
            exchange=lambda: self._exchange,
            peers=self._peer,
            store=Store.in_folder(site.folder),
            open_mesh=self._open_mesh,
            clock=site.clock,
            settings=NodeSettings(pins=configured.pins, first_use=frozenset(configured.first_use)),
            on_record=self._registry.put,
        )
        self._server: WireServer | None = None
        self._data_port = configured.data_port if AVAILABLE else None
        self._listener = TlsListener(site.identity, self._registry, self._mailbox, LINK_TIMEOUT_S)
        self._at_work: tuple[asyncio.Task[None], ...] = ()

    @property
    def address(self) -> str:
        """Where the node listens."""
        if self._server is None:
            raise StateConflict("the node does not serve yet")
        return self._server.address

    async def start(self) -> None:
        """Listen, and offer what is configured."""
        address = str(self._site.identity.record.document.address)
        if self._data_port is not None:
            await self._listener.start(address.rpartition(":")[0].strip("[]"), self._data_port)
        self._server = await serve(
            self._site.identity,
            self._registry,
            clock=self._site.clock,
            node=self.node,
            link=LinkServicer(self._mailbox, self._listener.port),
            address=address,
        )
        self._at_work = (
            asyncio.create_task(self._keep_offering()),
            asyncio.create_task(self._keep_learning_ends()),
        )

    async def stop(self) -> None:
        """Stop serving; nothing is lost."""
        for task in self._at_work:
            task.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)
        if self._server is not None:
            await self._server.stop()
        await self._listener.stop()
        for client in self._clients.values():
            await client.close()
        await self._exchange.close()
        self.node.close()

    def _peer(self, name: str) -> NodePort:
        try:
            record = self._registry.by_name(name)
        except UnknownObject as unknown:
            raise PeerUnavailable(f"`{name}` is not known here yet: try again") from unknown
        key = (name, record.digest)
        if key not in self._clients:
            self._clients[key] = NodeClient(
                self._address(record), self._site.identity, record, clock=self._site.clock
            )
        return self._clients[key]

    def _open_mesh(self, channel: str, peers: tuple[str, ...]) -> Mesh:
        records = {name: self._registry.by_name(name) for name in peers}
        open_mesh = grpc_mesh if self._data_port is None else negotiated_mesh
        return open_mesh(
            self._mailbox,
            channel,
            self._site.identity,
            {name: (self._address(record), record) for name, record in records.items()},
            timeout_s=LINK_TIMEOUT_S,
            clock=self._site.clock,
        )

    async def _keep_offering(self) -> None:
        """Offer what `node.yaml` says, now and whenever it changes; try again while the exchange is away."""
        path = self._site.folder / "node.yaml"
        done_ns = 0
        while True:
            written_ns = path.stat().st_mtime_ns
            if written_ns != done_ns:
                try:
                    await self._offer(self._site.configuration)
                    done_ns = written_ns
                    logger.info("products offered")
                except PeerUnavailable:
                    logger.info("the exchange is away; products are offered when it is back")
                except UsufructError as fault:
                    done_ns = written_ns
                    logger.exception("nothing is offered", extra={"fault": fault.code})
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _keep_learning_ends(self) -> None:
        while True:
            try:
                await self.node.learn_ends()
            except PeerUnavailable:
                logger.info("the exchange is away; ends of jobs are learned when it is back")
            except UsufructError as fault:
                logger.exception("the end of a job cannot be learned", extra={"fault": fault.code})
            await asyncio.sleep(ASK_AGAIN_S)

    async def _offer(self, configured: NodeConfiguration) -> None:
        await self._learn_parties()
        for party, key_id in configured.pins.items():
            self.node.pin(party, key_id)
        for table, product in configured.products.items():
            name = f"{self._site.identity.party}.{table}"
            try:
                await self._offer_product(name, product)
            except PeerUnavailable:
                raise
            except UsufructError as fault:
                # One that cannot be read must not keep the others off the market.
                logger.exception("a product is not offered", extra={"product": name, "fault": fault.code})

    async def _offer_product(self, name: str, product: ProductConfiguration) -> None:
        try:
            text = (self._site.folder / product.terms).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise MalformedDocument(f"the terms of `{name}` cannot be read; check `node.yaml`") from error
        terms = policy.parse(text, product=name)
        await self.node.offer(product.source_within(self._site.folder), terms)
        for collection in product.collections:
            await self.node.join(name, collection)

    async def _learn_parties(self) -> None:
        own = self._site.identity.record.document
        catalogue = await self._exchange.catalogue(Caller(own.party, own.role))
        for envelope in catalogue.parties:
            claimed = PartyRecord.unverified(envelope)
            record = PartyRecord.verified(envelope, claimed.document.verifying_key, own.environment)
            if self.node.is_pinned(record, catalogue.key_events):
                self._registry.put(record)

    @staticmethod
    def _address(record: PartyRecord) -> str:
        if record.address is None:
            raise UnknownObject(f"`{record.party}` has registered no address")
        return record.address


async def run(site: NodeSite) -> RunningNode:
    """Start a node."""
    node = RunningNode(site)
    await node.start()
    return node
