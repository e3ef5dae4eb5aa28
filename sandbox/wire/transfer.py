"""Long transfers: pieces that fit a message, and resumption behind what has already arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from records import canonical
from records.errors import EvidenceError, PeerUnavailable
from sandbox.ports import Blob, Caller, ExchangePort
from sandbox.wire.authorisation import RULES, path

CHUNK_BYTES: Final = 512 << 10
RESUMES: Final = 5
"""How often in a row a broken transfer is resumed before it counts as failed."""
FIRST_BACKOFF_S: Final = 0.1


def pieces(chunk: bytes, size: int = CHUNK_BYTES) -> list[bytes]:
    """Split `chunk` into pieces of at most `size` bytes."""
    return [chunk[start : start + size] for start in range(0, len(chunk), size)]


class Failures:
    """Counts failures in a row; one that came only with the full deadline is none."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self.forget()

    def forget(self) -> None:
        """Begin to count again, because something arrived."""
        self._count = 0
        self._began = time.monotonic()

    async def may_resume(self) -> bool:
        """Return after a pause whether another attempt is due."""
        if time.monotonic() - self._began >= self._deadline_s:
            self.forget()
            return True
        self._count += 1
        if self._count > RESUMES:
            return False
        await asyncio.sleep(FIRST_BACKOFF_S * 2**self._count)
        return True


async def deliver(
    exchange: ExchangePort, caller: Caller, acceptance_digest: str, attempt: int, index: int, data: bytes
) -> None:
    """Upload a whole sealed share, resuming where the exchange stands when the connection breaks.

    Raises:
        PeerUnavailable: several resumptions in a row brought nothing forward.
        EvidenceError: the exchange claims to hold more than there is.
    """
    failures = Failures(RULES[path("ExchangeService/UploadShare")].deadline_s)
    held = await exchange.uploaded(caller, acceptance_digest, attempt, index)
    while held < len(data):
        try:
            now_held = await exchange.upload(
                caller, acceptance_digest, attempt, index, held, _from(data, held)
            )
        except PeerUnavailable:
            now_held = await exchange.uploaded(caller, acceptance_digest, attempt, index)
        if now_held > held:
            failures.forget()
        elif not await failures.may_resume():
            raise PeerUnavailable("the upload does not get forward: try again")
        held = now_held
    if held > len(data):
        raise EvidenceError("the exchange holds more of the sealed share than was made")


async def collect(exchange: ExchangePort, caller: Caller, job_id: str, blob: Blob) -> bytes:
    """Fetch a whole sealed share; the port resumes behind what has arrived.

    Raises:
        PeerUnavailable: several resumptions in a row brought nothing forward.
        EvidenceError: the bytes are not those that the node signed.
    """
    data = bytearray()
    async for chunk in exchange.fetch(caller, job_id, blob.node, blob.index, 0):
        data += chunk
        if len(data) > blob.size:
            break
    if canonical.digest_bytes(bytes(data)) != blob.ciphertext_digest:
        raise EvidenceError(f"the sealed share {blob.index} of `{blob.node}` is not what the node signed")
    return bytes(data)


async def _from(data: bytes, start: int) -> AsyncIterator[bytes]:
    for piece in pieces(data[start:]):
        yield piece
