"""Signed requests: what mTLS alone does not give.

mTLS says who is at the other end of *this connection*. The signature says which call, to whom, with which
bytes, when and once: a request recorded by one callee is worth nothing at another, or a second time.
It travels in the metadata entry `usufruct-request-bin`. Where the request is a stream, the signature covers
its first message, which names the object; later messages are bound by the connection alone, and what they
carry is checked against signed digests by whoever receives it.
"""

from __future__ import annotations

import hashlib
import heapq
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, Final, Protocol

from records import clock as clocks
from records.clock import Clock
from records.document import Document
from records.errors import LimitExceeded, NotPermitted, RequestExpired, RequestReplayed, SignatureInvalid
from records.keys import Signer
from records.parties import PartyRecord

METADATA_KEY: Final = "usufruct-request-bin"
VALIDITY: Final = timedelta(seconds=60)
MAX_SKEW: Final = timedelta(seconds=10)
"""How far a caller's clock may be ahead of ours."""
NONCE_BYTES: Final = 16


class CallRequest(Document):
    """The signed form of one call: `audience` is the callee's name, `body` the SHA-256 of its bytes (hex)."""

    kind: ClassVar[str] = "call-request"
    method: str
    audience: str
    party: str
    nonce: str
    issued_at: str
    expires_at: str
    body: str


class NonceStore(Protocol):
    """Remembers nonces until they expire. A durable one survives a restart within a request's validity."""

    async def spend(self, party: str, nonce: str, issued_at: datetime, expires_at: datetime) -> None:
        """Record that `party` used `nonce`.

        Raises:
            RequestReplayed: it did before.
        """


class MemoryNonces:
    """Nonces in memory. What was signed before this store began is refused: it cannot know it is new."""

    def __init__(self, clock: Clock, *, capacity: int = 100_000) -> None:
        self._clock = clock
        self._began = clock()
        self._capacity = capacity
        self._spent: set[tuple[str, str]] = set()
        self._expiries: list[tuple[datetime, tuple[str, str]]] = []

    async def spend(self, party: str, nonce: str, issued_at: datetime, expires_at: datetime) -> None:
        """Record that `party` used `nonce`; see `NonceStore`.

        Raises:
            RequestReplayed: it did before.
            RequestExpired: signed before this store began.
            LimitExceeded: too many requests within their validity.
        """
        now = self._clock()
        while self._expiries and self._expiries[0][0] < now:
            self._spent.discard(heapq.heappop(self._expiries)[1])
        if issued_at < self._began:
            raise RequestExpired("the request was signed before this server started: sign it again")
        entry = (party, nonce)
        if entry in self._spent:
            raise RequestReplayed("this request was seen before: sign it again")
        if len(self._spent) >= self._capacity:
            raise LimitExceeded("too many requests within a minute: try again later")
        self._spent.add(entry)
        heapq.heappush(self._expiries, (expires_at, entry))


def body_digest(body: bytes) -> str:
    """Return the SHA-256 of a serialized message, in hex."""
    return hashlib.sha256(body).hexdigest()


def sign(
    caller: PartyRecord,
    signer: Signer,
    *,
    method: str,
    audience: str,
    body: bytes,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:
    """Return the envelope for one call of `method` (full path) at `audience` with exactly these bytes."""
    now = clock()
    request = CallRequest(
        environment=caller.environment,
        method=method,
        audience=audience,
        party=caller.party,
        nonce=random_bytes(NONCE_BYTES).hex(),
        issued_at=clocks.to_text(now),
        expires_at=clocks.to_text(now + VALIDITY),
        body=body_digest(body),
    )
    return request.sign(signer).to_bytes()


async def check(
    data: bytes | None,
    caller: PartyRecord,
    *,
    method: str,
    callee: PartyRecord,
    body: bytes,
    nonces: NonceStore,
    clock: Clock,
) -> None:
    """Return if `data` is `caller`'s own, fresh, first request for this call.

    Raises:
        SignatureInvalid: missing, or not by the registered key of the party whose TLS key it came by.
        NotPermitted: for another method or callee, or with other bytes.
        RequestExpired: too old, too long valid, or from the future.
        RequestReplayed: seen before.
    """
    if data is None:
        raise SignatureInvalid("the request is not signed")
    # (1) The signature is by the party whose TLS key the connection came by.
    request = CallRequest.verified(data, caller.verifying_key, caller.environment).document
    if caller.environment != callee.environment or request.party != caller.party:
        raise SignatureInvalid("the request is signed by another party than the one connected")
    # (2) It is for this callee, this method, these bytes.
    if request.audience != callee.party:
        raise NotPermitted(f"the request is not addressed to `{callee.party}`")
    if request.method != method:
        raise NotPermitted("the request is signed for another method")
    if request.body != body_digest(body):
        raise NotPermitted("the request is signed for other content")
    # (3) It is fresh, and the first of its nonce. Last, so that a bad request spends nothing.
    issued, expires = clocks.from_text(request.issued_at), clocks.from_text(request.expires_at)
    now = clock()
    if expires - issued > VALIDITY or issued > now + MAX_SKEW or expires <= now:
        raise RequestExpired("the request is not within its time: compare clocks, and sign it again")
    if len(request.nonce) != 2 * NONCE_BYTES:
        raise SignatureInvalid(f"a nonce is {NONCE_BYTES} bytes in hex")
    await nonces.spend(caller.party, request.nonce, issued, expires)
