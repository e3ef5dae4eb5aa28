"""Sealed shares travel in pieces; an upload goes on where it broke off, and a fetch is checked whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from records import canonical
from records.errors import EvidenceError, PeerUnavailable
from sandbox.ports import Blob, Caller, ExchangePort
from sandbox.wire import transfer
from sandbox.wire.transfer import CHUNK_BYTES, RESUMES, collect, deliver

DATA = bytes(range(256)) * (5 * CHUNK_BYTES // 512)
CALLER = Caller("alice", "provider")


class BreakingExchange:
    """Keeps one share, and breaks off after every `pieces` pieces, `breaks` times."""

    def __init__(self, held: bytes = b"", *, breaks: int = 0, pieces: int = 1) -> None:
        self.held = bytearray(held)
        self.breaks = breaks
        self.pieces = pieces
        self.offsets: list[int] = []

    async def uploaded(self, *_: object) -> int:
        return len(self.held)

    async def upload(
        self, _: Caller, __: str, ___: int, ____: int, offset: int, chunks: AsyncIterator[bytes]
    ) -> int:
        self.offsets.append(offset)
        taken = 0
        async for chunk in chunks:
            self._break_off(taken)
            assert len(chunk) <= CHUNK_BYTES
            self.held += chunk
            taken += 1
        return len(self.held)

    async def fetch(self, _: Caller, __: str, ___: str, ____: int, offset: int) -> AsyncIterator[bytes]:
        for taken, piece in enumerate(transfer.pieces(bytes(self.held[offset:]))):
            self._break_off(taken)
            yield piece

    def _break_off(self, taken: int) -> None:
        if self.breaks and taken >= self.pieces:
            self.breaks -= 1
            raise PeerUnavailable("broken off")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_BACKOFF_S", 0.0)


def upload(exchange: BreakingExchange, data: bytes = DATA) -> None:
    asyncio.run(deliver(cast("ExchangePort", exchange), CALLER, "a", 1, 0, data))


def fetch(exchange: BreakingExchange, data: bytes = DATA) -> bytes:
    blob = Blob("alice", 0, len(data), canonical.digest_bytes(data))
    return asyncio.run(collect(cast("ExchangePort", exchange), CALLER, "j", blob))


def test_a_share_is_brought_in_pieces() -> None:
    exchange = BreakingExchange()
    upload(exchange)
    assert exchange.held == DATA
    assert exchange.offsets == [0]


def test_an_upload_goes_on_where_it_broke_off() -> None:
    exchange = BreakingExchange(breaks=2)
    upload(exchange)
    assert exchange.held == DATA
    assert exchange.offsets == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]


def test_an_upload_that_moves_on_may_break_off_often() -> None:
    data = bytes(2 * RESUMES * CHUNK_BYTES)
    exchange = BreakingExchange(breaks=2 * RESUMES)
    upload(exchange, data)
    assert exchange.held == data


def test_what_is_there_already_is_not_sent_again() -> None:
    exchange = BreakingExchange(DATA)
    upload(exchange)
    assert exchange.offsets == []


def test_an_upload_without_a_byte_gives_up_in_the_end() -> None:
    exchange = BreakingExchange(breaks=100, pieces=0)
    with pytest.raises(PeerUnavailable):
        upload(exchange)
    assert len(exchange.offsets) == RESUMES + 1


def test_an_exchange_that_claims_more_than_was_made_is_evidence() -> None:
    with pytest.raises(EvidenceError):
        upload(BreakingExchange(DATA + b"x"))


def test_a_share_is_fetched_whole() -> None:
    assert fetch(BreakingExchange(DATA)) == DATA


@pytest.mark.parametrize("held", [DATA[:-1] + b"x", DATA[:-1], DATA + b"x", b""])
def test_other_bytes_than_the_node_signed_for_are_evidence(held: bytes) -> None:
    with pytest.raises(EvidenceError, match="`alice`"):
        fetch(BreakingExchange(held))
