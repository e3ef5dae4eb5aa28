"""A buyer at a real exchange: the same SDK as in a local cluster, over mTLS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from records.clock import Clock, utc_now
from records.parties import PartyRecord
from sandbox.buyer.client import Buyer
from sandbox.buyer.loop import LoopThread
from sandbox.buyer.session import BuyerSession
from sandbox.identity import Identity
from sandbox.keystore import read_passphrase, read_private
from sandbox.wire.exchange_client import ExchangeClient


def connect(
    url: str | None = None,
    *,
    identity: str | Path,
    passphrase: Path | Callable[[], str],
    clock: Clock = utc_now,
) -> Buyer:
    """Return the buyer whose folder is `identity`, connected to the exchange it enrolled at.

    `url` is `host:port`, when the exchange moved from the address in its record. `passphrase` is a file
    that only its owner may read, or a function that asks for it.

    Raises:
        NotPermitted: a file of the folder is open to others.
        PeerUnavailable: at the first call, if the exchange does not answer.
    """
    folder = Path(identity)
    own = Identity.load(folder / "identity", read_passphrase(passphrase))
    claimed = PartyRecord.unverified(read_private(folder / "exchange.json"))
    record = PartyRecord.verified(claimed.to_bytes(), claimed.document.verifying_key, own.environment)
    client = ExchangeClient(url or str(record.document.address), own, record.document, clock=clock)
    loop = LoopThread()

    def close() -> None:
        loop.run(client.close())
        loop.close()

    return Buyer(BuyerSession(own, record, client, clock), loop, close)
