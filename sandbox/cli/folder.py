"""A party's folder, opened for a command: its passphrase, its identity, its connection to the exchange."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from records.document import Signed
from records.errors import MalformedDocument, NotPermitted, UnknownObject
from records.parties import PartyRecord
from sandbox import keystore
from sandbox.ports import Caller

if TYPE_CHECKING:
    from sandbox.buyer.client import Buyer
    from sandbox.buyer.loop import LoopThread
    from sandbox.buyer.session import BuyerSession
    from sandbox.identity import Identity
    from sandbox.wire.exchange_client import ExchangeClient

T = TypeVar("T")


def passphrase(folder: Path, given: Path | None, *, is_new: bool = False) -> str:
    """Return the passphrase of a folder's keys: from `given`, from FOLDER/passphrase, or from a prompt.

    Raises:
        UnknownObject: `given` does not exist, or there is nobody to ask.
        NotPermitted: others may read the file.
    """
    beside = folder / "passphrase"
    if given is not None or beside.exists():
        return keystore.read_passphrase(given or beside)
    if not sys.stdin.isatty():
        raise UnknownObject("there is no passphrase: write it to `passphrase` in the folder, with mode 0600")
    return keystore.read_passphrase(
        lambda: str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new, err=True))
    )


def own_record(folder: Path) -> Signed[PartyRecord]:
    """Return the record of the party that lives in `folder`; needs no passphrase.

    Raises:
        UnknownObject: nobody lives there.
    """
    try:
        data = keystore.read_private(folder / "identity" / "party.json")
    except UnknownObject as error:
        raise UnknownObject(
            f"`{folder.name}` holds no identity; `usufruct identity new` makes one"
        ) from error
    return self_signed(data)


def exchange_record(folder: Path) -> Signed[PartyRecord]:
    """Return the record of the exchange at which the party in `folder` enrolled.

    Raises:
        UnknownObject: it has not enrolled yet.
    """
    try:
        data = keystore.read_private(folder / "exchange.json")
    except UnknownObject as error:
        raise UnknownObject(
            f"`{folder.name}` has not enrolled; `usufruct identity enrol` does, with an invitation"
        ) from error
    return self_signed(data)


def self_signed(data: bytes) -> Signed[PartyRecord]:
    """Return a party's record if it is signed with the key that it names."""
    stated = PartyRecord.unverified(data).document
    return PartyRecord.verified(data, stated.verifying_key, stated.environment)


def text_of(path: Path) -> str:
    """Return the text of a file.

    Raises:
        MalformedDocument: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MalformedDocument(f"`{path.name}` is not UTF-8 text; write it again as such") from None


@dataclass(frozen=True, slots=True)
class Member:
    """An enrolled party with a connection to its exchange."""

    folder: Path
    identity: Identity
    exchange: Signed[PartyRecord]
    client: ExchangeClient
    loop: LoopThread

    @property
    def caller(self) -> Caller:
        """The party as the exchange sees it."""
        return Caller(self.identity.party, self.identity.record.document.role)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a call to the exchange, and wait for its answer."""
        return self.loop.run(call)

    def session(self) -> BuyerSession:
        """Return the buyer's session.

        Raises:
            NotPermitted: the party is no buyer.
        """
        from records.clock import utc_now
        from sandbox.buyer.session import BuyerSession

        if self.caller.role != "buyer":
            raise NotPermitted(f"`{self.caller.party}` is enrolled as {self.caller.role}; this needs a buyer")
        return BuyerSession(self.identity, self.exchange, self.client, utc_now)

    def buyer(self) -> Buyer:
        """Return the buyer's SDK over this connection; see `session`."""
        from sandbox.buyer.client import Buyer

        return Buyer(self.session(), self.loop, lambda: None)


@contextmanager
def member(folder: Path, passphrase_file: Path | None) -> Iterator[Member]:
    """Yield the enrolled party that lives in `folder`; its connection is made by the first call."""
    from records.clock import utc_now
    from sandbox.buyer.loop import LoopThread
    from sandbox.identity import Identity
    from sandbox.wire.exchange_client import ExchangeClient

    own_record(folder)
    exchange = exchange_record(folder)
    identity = Identity.load(folder / "identity", passphrase(folder, passphrase_file))
    client = ExchangeClient(str(exchange.document.address), identity, exchange.document, clock=utc_now)
    loop = LoopThread()
    try:
        yield Member(folder, identity, exchange, client, loop)
    finally:
        loop.run(client.close())
        loop.close()
