from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.errors import (
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    RequestExpired,
    RequestReplayed,
    SignatureInvalid,
    UsufructError,
)
from sandbox.identity import Identity
from sandbox.wire import requests
from sandbox.wire.requests import MAX_SKEW, VALIDITY, MemoryNonces

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
METHOD = "/sandbox.rpc.v1.NodeService/AdmitJob"


def _identity(party: str, environment: str = "test") -> Identity:
    return Identity.create(
        party, "provider", controller="c", region="CN", environment=environment, clock=lambda: NOW
    )


ALICE, BOB, ELSEWHERE = _identity("alice"), _identity("bob"), _identity("alice", "local")


def _sign(caller: Identity = ALICE, *, age: timedelta = timedelta(), body: bytes = b"body") -> bytes:
    return requests.sign(
        caller.record.document,
        caller.signer,
        method=METHOD,
        audience="bob",
        body=body,
        clock=lambda: NOW - age,
    )


def _check(
    data: bytes | None,
    *,
    caller: Identity = ALICE,
    callee: Identity = BOB,
    method: str = METHOD,
    body: bytes = b"body",
    nonces: MemoryNonces | None = None,
) -> None:
    asyncio.run(
        requests.check(
            data,
            caller.record.document,
            method=method,
            callee=callee.record.document,
            body=body,
            nonces=nonces or MemoryNonces(lambda: NOW - timedelta(hours=1)),
            clock=lambda: NOW,
        )
    )


def test_an_honest_request_passes_and_is_small_enough_for_metadata() -> None:
    data = _sign()
    _check(data)
    assert len(data) < 2048


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_only_the_signed_bytes_pass(signed_body: bytes, sent_body: bytes) -> None:
    if signed_body == sent_body:
        _check(_sign(body=signed_body), body=sent_body)
    else:
        with pytest.raises(NotPermitted, match="content"):
            _check(_sign(body=signed_body), body=sent_body)


@given(st.data())
def test_no_changed_envelope_passes(data: st.DataObject) -> None:
    envelope = bytearray(_sign())
    position = data.draw(st.integers(0, len(envelope) - 1))
    envelope[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UsufructError):
        _check(bytes(envelope))


@given(st.integers(-300_000, 300_000))
def test_a_request_is_fresh_for_its_validity_and_no_longer(age_ms: int) -> None:
    age = timedelta(milliseconds=age_ms)
    data = _sign(age=age)
    if -MAX_SKEW <= age < VALIDITY:
        _check(data)
    else:
        with pytest.raises(RequestExpired):
            _check(data)


def test_a_nonce_passes_once() -> None:
    nonces = MemoryNonces(lambda: NOW)
    data = _sign()
    _check(data, nonces=nonces)
    with pytest.raises(RequestReplayed):
        _check(data, nonces=nonces)
    _check(_sign(), nonces=nonces)


def test_a_refused_request_spends_no_nonce() -> None:
    nonces = MemoryNonces(lambda: NOW)
    data = _sign()
    with pytest.raises(NotPermitted):
        _check(data, body=b"other", nonces=nonces)
    _check(data, nonces=nonces)


@pytest.mark.parametrize("data", [None, b"", b"{}", b"\x00\xff", _sign(BOB), ALICE.record.to_bytes()])
def test_what_is_not_the_callers_request_is_refused(data: bytes | None) -> None:
    with pytest.raises((SignatureInvalid, MalformedDocument)):
        _check(data)


def test_a_request_for_another_callee_method_or_environment_is_refused() -> None:
    with pytest.raises(NotPermitted, match="addressed"):
        _check(_sign(), callee=_identity("carol"))
    with pytest.raises(NotPermitted, match="method"):
        _check(_sign(), method=METHOD + "s")
    with pytest.raises(SignatureInvalid):
        _check(_sign(ELSEWHERE), caller=ELSEWHERE)


def test_nonces_are_forgotten_when_they_expire_and_bounded_until_then() -> None:
    async def scenario() -> None:
        now = NOW
        nonces = MemoryNonces(lambda: now, capacity=2)
        for nonce in ("a", "b"):
            await nonces.spend("alice", nonce, NOW, NOW + VALIDITY)
        with pytest.raises(LimitExceeded):
            await nonces.spend("alice", "c", NOW, NOW + VALIDITY)
        now = NOW + VALIDITY + timedelta(seconds=1)
        await nonces.spend("alice", "c", now, now + VALIDITY)

    asyncio.run(scenario())


def test_two_parties_may_draw_the_same_nonce() -> None:
    async def scenario() -> None:
        nonces = MemoryNonces(lambda: NOW)
        await nonces.spend("alice", "n", NOW, NOW + VALIDITY)
        await nonces.spend("bob", "n", NOW, NOW + VALIDITY)
        with pytest.raises(RequestReplayed):
            await nonces.spend("bob", "n", NOW, NOW + VALIDITY)

    asyncio.run(scenario())


def test_what_was_signed_before_the_store_began_is_refused() -> None:
    with pytest.raises(RequestExpired, match="started"):
        _check(_sign(age=timedelta(seconds=1)), nonces=MemoryNonces(lambda: NOW))
