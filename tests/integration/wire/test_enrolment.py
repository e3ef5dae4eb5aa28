from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from records.clock import utc_now
from records.document import Signed
from records.errors import (
    LimitExceeded,
    MalformedDocument,
    NotPermitted,
    PeerUnavailable,
    RequestExpired,
    SignatureInvalid,
    StateConflict,
)
from records.parties import PartyRecord, Role
from sandbox.identity import Identity
from sandbox.wire.certificates import Authority, certificate_key_digest, signing_request
from sandbox.wire.enrolment import EnrolmentDesk, Invitation, MemoryInvitations
from sandbox.wire.enrolment_rpc import enrol, renew, serve_enrolment
from sandbox.wire.node_client import NodeClient
from sandbox.wire.server import serve
from tests.adversarial.wire_attacks import call
from tests.integration.wire.loopback import EchoNode, Town, caller_of


def _fresh(party: str = "alice", role: Role = "provider") -> Identity:
    return Identity.create(party, role, controller="c", region="CN", environment="test", clock=utc_now)


@dataclass
class Office:
    """An exchange's enrolment desk with its listener."""

    town: Town
    desk: EnrolmentDesk
    address: str
    now: list[datetime]

    async def invite(self, party: str = "alice", role: Role = "provider") -> Invitation:
        return await self.desk.invite(party, role, self.address, timedelta(hours=1))


@asynccontextmanager
async def office(*, failures_per_minute: int = 10) -> AsyncIterator[Office]:
    town, now = Town(), [utc_now()]

    async def register(record: Signed[PartyRecord]) -> None:
        town.registry.put(record)

    exchange = town.parties["exchange"]
    desk = EnrolmentDesk(
        town.authority, exchange.record, MemoryInvitations(), town.registry, register, lambda: now[0]
    )
    server = await serve_enrolment(exchange, desk, failures_per_minute=failures_per_minute)
    try:
        yield Office(town, desk, server.address, now)
    finally:
        await server.stop(0)


def test_an_invited_party_enrols_and_serves_at_once() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation = Invitation.from_bytes((await desk.invite()).to_bytes())
            alice, exchange_record = await enrol(invitation, _fresh())
            assert exchange_record == desk.town.parties["exchange"].record
            assert desk.town.registry.by_name("alice") == alice.record.document
            server = await serve(alice, desk.town.registry, clock=utc_now, node=EchoNode())
            exchange = desk.town.parties["exchange"]
            client = NodeClient(server.address, exchange, alice.record.document)
            assert await client.checkpoint_size(caller_of(exchange)) == 7
            await client.close()
            await server.stop(0)

    asyncio.run(scenario())


def test_a_lost_answer_may_be_asked_for_again_but_a_token_makes_one_party() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation, alice = await desk.invite(), _fresh()
            await enrol(invitation, alice)
            await enrol(invitation, alice)
            with pytest.raises(NotPermitted, match="used"):
                await enrol(invitation, _fresh())

    asyncio.run(scenario())


def test_what_the_token_does_not_stand_for_is_refused() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation = await desk.invite()
            for other in (_fresh("bob"), _fresh("alice", "buyer")):
                with pytest.raises(NotPermitted, match="another party"):
                    await enrol(invitation, other)
                document = other.record.document
                forged = invitation.model_copy(update={"party": document.party, "role": document.role})
                with pytest.raises(NotPermitted, match="another name or role"):
                    await enrol(forged, other)
            with pytest.raises(NotPermitted, match="not known"):
                await enrol(invitation.model_copy(update={"token": "0" * 64}), _fresh())
            desk.now[0] += timedelta(hours=2)
            with pytest.raises(RequestExpired):
                await enrol(invitation, _fresh())

    asyncio.run(scenario())


def test_record_and_request_must_be_of_one_party() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation, alice, mallory = await desk.invite(), _fresh(), _fresh()
            with pytest.raises(SignatureInvalid, match="TLS key"):
                await desk.desk.enrol(
                    invitation.token, alice.record.to_bytes(), signing_request("alice", mallory.keys.tls)
                )
            stolen = alice.record.document.sign(mallory.signer)
            with pytest.raises(SignatureInvalid):
                await desk.desk.enrol(
                    invitation.token, stolen.to_bytes(), signing_request("alice", alice.keys.tls)
                )
            # Nothing of this used the invitation up.
            await enrol(invitation, alice)

    asyncio.run(scenario())


def test_the_exchange_invites_nobody_under_its_own_name_or_role() -> None:
    async def scenario() -> None:
        async with office() as desk:
            with pytest.raises(NotPermitted):
                await desk.invite("exchange", "provider")
            with pytest.raises(NotPermitted):
                await desk.invite("other", "exchange")

    asyncio.run(scenario())


def test_guessing_is_slowed_down() -> None:
    async def scenario(failures_per_minute: int) -> type[Exception]:
        async with office(failures_per_minute=failures_per_minute) as desk:
            guess = (await desk.invite()).model_copy(update={"token": "0" * 64})
            for _ in range(3):
                with pytest.raises(NotPermitted):
                    await enrol(guess, _fresh())
            with pytest.raises((LimitExceeded, NotPermitted)) as raised:
                await enrol(guess, _fresh())
            return raised.type

    assert asyncio.run(scenario(3)) is LimitExceeded
    assert asyncio.run(scenario(100)) is NotPermitted  # the control: without the limit one may go on


def test_a_listener_of_another_authority_never_sees_the_token() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation = await desk.invite()
            fake = Authority.create("test authority", utc_now)
            trapped = invitation.model_copy(update={"authority": fake.pem.decode()})
            with pytest.raises(PeerUnavailable):
                await enrol(trapped, _fresh())

    asyncio.run(scenario())


def test_after_rotation_a_certificate_is_renewed_for_the_registered_key_alone() -> None:
    async def scenario() -> None:
        async with office() as desk:
            alice, _ = await enrol(await desk.invite(), _fresh())
            again, _ = await renew(desk.address, alice, "exchange")
            assert certificate_key_digest(again.certificate) == alice.record.document.tls_key
            _, heir = alice.rotate(utc_now)
            with pytest.raises(StateConflict, match="rotate first"):
                await renew(desk.address, heir, "exchange")
            desk.town.registry.put(heir.record)
            renewed, _ = await renew(desk.address, heir, "exchange")
            assert certificate_key_digest(renewed.certificate) == heir.record.document.tls_key
            with pytest.raises(StateConflict):
                await renew(desk.address, alice, "exchange")

    asyncio.run(scenario())


def test_a_stranger_reaches_nothing_but_enrolment() -> None:
    async def scenario() -> None:
        async with office() as desk:
            exchange = desk.town.parties["exchange"]
            for method in (
                "/sandbox.rpc.v1.ExchangeService/SubmitJob",
                "/sandbox.rpc.v1.EnrolmentService/Backdoor",
            ):
                found = await call(
                    desk.address,
                    None,
                    authority=exchange.authority,
                    method=method,
                    server_name="exchange",
                )
                assert found.code == "not-permitted"

    asyncio.run(scenario())


def test_an_invitation_hides_its_token_and_has_one_form() -> None:
    async def scenario() -> None:
        async with office() as desk:
            invitation = await desk.invite()
            assert invitation.token not in repr(invitation)
            assert len(bytes.fromhex(invitation.token)) == 32
            assert invitation.authority_digest.startswith("sha256:")
            extended = invitation.to_bytes()[:-1] + b',"z":1}'
            for data in (b"", b"{}", extended):
                with pytest.raises(MalformedDocument) as raised:
                    Invitation.from_bytes(data)
                assert invitation.token not in str(raised.value)

    asyncio.run(scenario())
