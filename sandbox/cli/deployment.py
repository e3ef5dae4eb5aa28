"""A whole exchange on loopback with every server in a process of its own: for the demo, tests and benchmarks.

Setting up does in one process what `usufruct exchange init`, `identity new`, `identity enrol` and `product
register` do one by one; running starts the same `exchange run` and `node run` that an operator starts.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import yaml

from records.clock import utc_now
from records.errors import PeerUnavailable
from records.parties import Role
from sandbox.buyer.client import Buyer
from sandbox.buyer.connect import connect
from sandbox.exchange.site import Site, SiteConfiguration
from sandbox.identity import Identity
from sandbox.keystore import make_folder, write_private
from sandbox.node.configuration import NodeConfiguration, ProductConfiguration

EXCHANGE = "exchange"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Offer:
    """One product: its file, its terms as the YAML says them, the collections it joins."""

    source: Path
    terms: Mapping[str, object]
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Who takes part: providers with their offers by table, notaries, buyers with funds in minor units."""

    providers: Mapping[str, Mapping[str, Offer]]
    buyers: Mapping[str, Mapping[str, int]]
    notaries: tuple[str, ...] = ("notary",)
    token_ttl_s: int = 600
    silent_node_s: int = 30


class Deployment:
    """A set-up exchange in `folder`, whose servers can be started, killed and started again."""

    def __init__(self, folder: Path, blueprint: Blueprint) -> None:
        """Draw all keys, enrol everybody, and write every party's folder."""
        self.folder = folder
        self._blueprint = blueprint
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = f"demo.{secrets.token_hex(4)}"
        ports = _free_ports(2 + len(blueprint.providers) + len(blueprint.notaries))
        self._passphrase = secrets.token_hex(16)
        site = self._create_exchange(ports)
        self._create_parties(site, ports)
        site.store.close()

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of all server processes, the exchange first."""
        return (EXCHANGE, *self._blueprint.notaries, *self._blueprint.providers)

    @property
    def pids(self) -> dict[str, int]:
        """The running servers' process ids."""
        return {name: process.pid for name, process in self._processes.items() if process.poll() is None}

    def start(self) -> None:
        """Start all servers, and wait until every product is on offer.

        Raises:
            PeerUnavailable: not within a minute; the servers' logs lie in their folders.
        """
        for name in self.servers:
            self.launch(name)
        products = sum(len(tables) for tables in self._blueprint.providers.values())
        buyer = self.buyer(next(iter(self._blueprint.buyers)))
        try:
            self.wait_until(lambda: len(buyer.products()) == products, "the products are not on offer")
        finally:
            buyer.close()

    def launch(self, name: str) -> None:
        """Start one server; its log goes to `server.log` in its folder."""
        with (self.folder / name / "server.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.command(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def command(self, name: str) -> list[str]:
        """Return the command that runs one server."""
        kind = "exchange" if name == EXCHANGE else "node"
        return [sys.executable, "-m", "sandbox.cli.main", kind, "run", str(self.folder / name)]

    def kill(self, name: str) -> None:
        """End one server at once, as a power cut would (SIGKILL)."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all servers, gently first."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()
        self._processes.clear()

    def buyer(self, name: str) -> Buyer:
        """Return a connected buyer."""
        return connect(identity=self.folder / name, passphrase=self.folder / name / "passphrase")

    def site(self) -> Site:
        """Open the exchange's folder beside the running server, to look at ledger and log."""
        return Site.open(self.folder / EXCHANGE, self._passphrase)

    def wait_until(
        self, holds: Callable[[], bool], otherwise: str, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        """Wait until `holds` says so; an unreachable server counts as not yet.

        Raises:
            PeerUnavailable: `otherwise`, after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with suppress(PeerUnavailable):
                if holds():
                    return
            time.sleep(POLL_S)
        raise PeerUnavailable(f"{otherwise}: see `server.log` in the folders of the servers")

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _create_exchange(self, ports: list[int]) -> Site:
        configuration = SiteConfiguration(
            address=f"127.0.0.1:{ports.pop()}",
            enrolment_address=f"127.0.0.1:{ports.pop()}",
            token_ttl_s=self._blueprint.token_ttl_s,
            silent_node_s=self._blueprint.silent_node_s,
        )
        site = Site.create(
            self.folder / EXCHANGE,
            self._passphrase,
            name=EXCHANGE,
            controller="exchange-operator",
            region="CN",
            environment=self._environment,
            configuration=configuration,
        )
        write_private(self.folder / EXCHANGE / "passphrase", self._passphrase.encode())
        return site

    def _create_parties(self, site: Site, ports: list[int]) -> None:
        exchange = site.offline()
        roles: dict[str, Role] = {
            **dict.fromkeys(self._blueprint.notaries, "notary"),
            **dict.fromkeys(self._blueprint.providers, "provider"),
            **dict.fromkeys(self._blueprint.buyers, "buyer"),
        }
        pins = {}
        for name, role in roles.items():
            address = None if role == "buyer" else f"127.0.0.1:{ports.pop()}"
            identity = Identity.create(
                name,
                role,
                controller=f"{name}-holding",
                region="CN",
                address=address,
                environment=self._environment,
                clock=utc_now,
            )
            exchange.enrol(identity.record.to_bytes())
            certificate = site.authority.issue(name, identity.keys.tls.public_key(), utc_now)
            make_folder(self.folder / name)
            identity.with_certificate(certificate, site.authority.pem).save(
                self.folder / name / "identity", self._passphrase
            )
            write_private(self.folder / name / "passphrase", self._passphrase.encode())
            write_private(self.folder / name / "exchange.json", site.identity.record.to_bytes())
            if role != "buyer":
                pins[name] = identity.record.document.verifying_key.key_id
        for buyer, funds in self._blueprint.buyers.items():
            for currency, amount_minor in funds.items():
                exchange.deposit(buyer, currency, amount_minor, "opening")
        for name in (*self._blueprint.notaries, *self._blueprint.providers):
            self._configure_node(name, pins)

    def _configure_node(self, name: str, pins: Mapping[str, str]) -> None:
        folder = self.folder / name
        products = {}
        for table, offer in self._blueprint.providers.get(name, {}).items():
            source = folder / f"{table}{offer.source.suffix}"
            shutil.copyfile(offer.source, source)
            (folder / f"{table}.terms.yaml").write_text(yaml.safe_dump(dict(offer.terms), sort_keys=False))
            products[table] = ProductConfiguration(
                source=source.name, terms=f"{table}.terms.yaml", collections=offer.collections
            )
        configuration = NodeConfiguration(
            pins={party: key_id for party, key_id in pins.items() if party != name}, products=products
        )
        configuration.write(folder / "node.yaml")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
