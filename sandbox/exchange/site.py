"""An exchange as a process: its folder, its two listeners, its connections to nodes.

FOLDER/identity/        keys and certificate, encrypted at rest
FOLDER/authority.*      the certificate authority, its key under the identity's at-rest key
FOLDER/exchange.json    addresses and fees
FOLDER/store.sqlite     jobs, ledger, log
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from billing.tariff import ExchangeFees
from records import canonical
from records.clock import Clock, utc_now
from records.document import Part, Signed
from records.errors import UnknownObject
from records.parties import PartyRecord, Role
from sandbox.exchange import parties
from sandbox.exchange.driver import Patience
from sandbox.exchange.exchange import Exchange, ExchangeSettings
from sandbox.exchange.invitations import StoredInvitations
from sandbox.identity import Identity
from sandbox.keystore import make_folder, read_private, write_private
from sandbox.ports import NodePort
from sandbox.store import Store
from sandbox.wire.certificates import Authority
from sandbox.wire.enrolment import EnrolmentDesk, Invitation
from sandbox.wire.enrolment_rpc import serve_enrolment
from sandbox.wire.node_client import NodeClient
from sandbox.wire.server import WireServer, serve

AUTHORITY_CONTEXT = b"authority"
REMEMBERED_S = 1.0
INVITATION_TTL = timedelta(hours=24)


class SiteConfiguration(Part):
    """What stands in `exchange.json`."""

    address: str
    enrolment_address: str
    fee_basis_points: int = Field(default=500, ge=0)
    tax_basis_points: int = Field(default=600, ge=0)
    token_ttl_s: int = Field(default=600, ge=1)
    silent_node_s: int = Field(default=30, ge=1)


class StoredDirectory:
    """Looks parties up in the store; a revocation, also by another process, acts within a second."""

    def __init__(self, store: Store) -> None:
        """Answer from `store`."""
        self._store = store
        self._known: dict[str, tuple[float, PartyRecord]] = {}

    def by_tls_key(self, tls_key: str) -> PartyRecord:
        """Return the present record that names this key; see `sandbox.wire.registry.Directory`."""
        known = self._known.get(tls_key)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        self._known.pop(tls_key, None)
        with self._store.read() as connection:
            record = parties.by_tls_key(connection, tls_key).document
        self._known[tls_key] = (time.monotonic(), record)
        return record

    def by_name(self, party: str) -> PartyRecord:
        """Return the present record of a party; see `sandbox.wire.registry.Directory`."""
        with self._store.read() as connection:
            return parties.active(connection, party).document


@dataclass(frozen=True, slots=True)
class Site:
    """An exchange's folder, opened."""

    folder: Path
    identity: Identity
    authority: Authority
    configuration: SiteConfiguration
    store: Store
    clock: Clock

    @classmethod
    def create(
        cls,
        folder: Path,
        passphrase: str,
        *,
        name: str,
        controller: str,
        region: str,
        environment: str,
        configuration: SiteConfiguration,
        now: Clock = utc_now,
    ) -> Site:
        """Draw keys and authority, and write the folder."""
        make_folder(folder)
        authority = Authority.create(environment, now)
        identity = Identity.create(
            name,
            "exchange",
            controller=controller,
            region=region,
            address=configuration.address,
            environment=environment,
            clock=now,
        )
        certificate = authority.issue(name, identity.keys.tls.public_key(), now)
        identity = identity.with_certificate(certificate, authority.pem)
        identity.save(folder / "identity", passphrase)
        write_private(folder / "authority.pem", authority.pem)
        protected = identity.protect(authority.private_pem(), AUTHORITY_CONTEXT)
        write_private(folder / "authority.key", protected)
        write_private(folder / "exchange.json", canonical.encode(configuration.to_json()))
        return cls(folder, identity, authority, configuration, Store.in_folder(folder), now)

    @classmethod
    def open(cls, folder: Path, passphrase: str, now: Clock = utc_now) -> Site:
        """Open a folder that `create` wrote."""
        identity = Identity.load(folder / "identity", passphrase)
        private = identity.unprotect(read_private(folder / "authority.key"), AUTHORITY_CONTEXT)
        return cls(
            folder,
            identity,
            Authority.from_pem(read_private(folder / "authority.pem"), private),
            SiteConfiguration.model_validate_json(read_private(folder / "exchange.json")),
            Store.in_folder(folder),
            now,
        )

    def exchange(self, nodes: Callable[[str], NodePort]) -> Exchange:
        """Return the exchange over this folder's store."""
        chosen = self.configuration
        return Exchange(
            record=self.identity.record,
            signer=self.identity.signer,
            log_signer=self.identity.log_signer,
            store=self.store,
            nodes=nodes,
            clock=self.clock,
            settings=ExchangeSettings(
                fees=ExchangeFees(chosen.fee_basis_points, chosen.tax_basis_points),
                token_ttl=timedelta(seconds=chosen.token_ttl_s),
                patience=Patience(silent_node=timedelta(seconds=chosen.silent_node_s)),
            ),
        )

    def offline(self) -> Exchange:
        """Return the exchange for an operator's act beside the running server: it asks no node."""
        return self.exchange(_no_node)

    def desk(self, exchange: Exchange) -> EnrolmentDesk:
        """Return the desk at which invited parties enrol."""

        async def register(record: Signed[PartyRecord]) -> None:
            with self.store.read() as connection:
                known = parties.is_known(connection, record.document.party)
            if not known:
                exchange.enrol(record.to_bytes())

        return EnrolmentDesk(
            self.authority,
            self.identity.record,
            StoredInvitations(self.store),
            StoredDirectory(self.store),
            register,
            self.clock,
        )

    async def invite(self, party: str, role: Role) -> Invitation:
        """Return an invitation file for a new party."""
        desk = self.desk(self.offline())
        return await desk.invite(party, role, self.configuration.enrolment_address, INVITATION_TTL)


class NodePorts:
    """Connections to nodes by name, at the address and key of their present record."""

    def __init__(self, site: Site) -> None:
        """Connect as the site's exchange."""
        self._site = site
        self._clients: dict[tuple[str, str], NodeClient] = {}

    def __call__(self, name: str) -> NodePort:
        """Return the port of node `name`."""
        with self._site.store.read() as connection:
            record = parties.active(connection, name)
        if record.document.address is None:
            raise UnknownObject(f"`{name}` has registered no address")
        key = (name, record.digest)
        if key not in self._clients:
            self._clients[key] = NodeClient(
                record.document.address, self._site.identity, record.document, clock=self._site.clock
            )
        return self._clients[key]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()


class RunningExchange:
    """An exchange that serves."""

    def __init__(self, exchange: Exchange, ports: NodePorts, servers: tuple[WireServer, WireServer]) -> None:
        """Use `run` instead."""
        self.exchange = exchange
        self.addresses = tuple(server.address for server in servers)
        self._ports = ports
        self._servers = servers

    async def stop(self) -> None:
        """Stop serving and driving jobs; nothing is lost."""
        for server in self._servers:
            await server.stop()
        await self.exchange.stop()
        await self._ports.close()


async def run(site: Site) -> RunningExchange:
    """Start both listeners, and take up all open jobs."""
    ports = NodePorts(site)
    exchange = site.exchange(ports)
    server = await serve(
        site.identity,
        StoredDirectory(site.store),
        clock=site.clock,
        exchange=exchange,
        address=site.configuration.address,
    )
    desk = await serve_enrolment(
        site.identity, site.desk(exchange), address=site.configuration.enrolment_address
    )
    exchange.start()
    return RunningExchange(exchange, ports, (server, desk))


def _no_node(name: str) -> NodePort:
    raise UnknownObject(f"no connection to `{name}` in an operator's command")
