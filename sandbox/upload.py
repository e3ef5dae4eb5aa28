"""Sealed shares on their way to and from the exchange: in chunks, resumed where they stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator

from records import canonical
from records.errors import EvidenceError, PeerUnavailable
from sandbox.ports import Blob, Caller, ExchangePort

CHUNK_BYTES = 1 << 20
MAX_RESUMES = 5


async def upload_blob(
    exchange: ExchangePort, caller: Caller, acceptance_digest: str, attempt: int, index: int, data: bytes
) -> None:
    """Bring a sealed share to the exchange, from where an earlier try stopped.

    Raises:
        PeerUnavailable: the exchange broke off `MAX_RESUMES` times in a row.
    """
    for tries_left in reversed(range(MAX_RESUMES)):
        offset = await exchange.uploaded(caller, acceptance_digest, attempt, index)
        if offset >= len(data):
            return
        try:
            await exchange.upload(caller, acceptance_digest, attempt, index, offset, _chunks(data, offset))
        except PeerUnavailable:
            if not tries_left:
                raise


async def fetch_blob(exchange: ExchangePort, caller: Caller, job_id: str, blob: Blob) -> bytes:
    """Return a sealed share, resumed where the exchange broke off, with its digest checked.

    Raises:
        EvidenceError: the bytes are not those that the node signed.
        PeerUnavailable: the exchange broke off `MAX_RESUMES` times without a byte in between.
    """
    data = bytearray()
    tries_left = MAX_RESUMES
    while len(data) < blob.size:
        before = len(data)
        try:
            async for chunk in exchange.fetch(caller, job_id, blob.node, blob.index, len(data)):
                data += chunk
        except PeerUnavailable:
            tries_left = MAX_RESUMES if len(data) > before else tries_left - 1
            if not tries_left:
                raise
            continue
        if len(data) == before:
            break
    if canonical.digest_bytes(bytes(data)) != blob.ciphertext_digest:
        raise EvidenceError(f"the sealed share {blob.index} of `{blob.node}` is not what the node signed")
    return bytes(data)


async def _chunks(data: bytes, offset: int) -> AsyncIterator[bytes]:
    for start in range(offset, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
