"""Replace a party's keys so that a crash at any point loses neither the old nor the new ones (R1).

1. The heir is drawn and saved in FOLDER/identity.next, with the event that the old key signed.
2. The exchange takes event and record; from then on only the heir's keys are good.
3. The enrolment desk issues the heir's certificate.
4. FOLDER/identity.next takes the place of FOLDER/identity.

Called again, it goes on with the heir that lies there: whether step 2 was done, the desk tells.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from records.clock import utc_now
from records.document import Signed
from records.errors import NotPermitted, StateConflict, UnknownObject
from records.parties import PartyRecord
from sandbox.cli.folder import exchange_record
from sandbox.identity import Identity
from sandbox.keystore import read_private, write_private
from sandbox.ports import Caller
from sandbox.wire.enrolment_rpc import renew
from sandbox.wire.exchange_client import ExchangeClient

ENROLMENT_FILE = "enrolment-address"
EVENT_FILE = "event.json"


@dataclass(frozen=True, slots=True)
class _Rotation:
    """A rotation under way; `old` is None once the heir took its place."""

    old: Identity | None
    heir: Identity
    event: bytes


def rotate(folder: Path, passphrase: str, enrolment_address: str | None) -> str | None:
    """Rotate the keys of the party in `folder`; return the old key id, if it is still known.

    Raises:
        NotPermitted: the party is an exchange.
        StateConflict, PeerUnavailable: see `sandbox.wire.enrolment_rpc.renew`; calling again goes on.
    """
    if (folder / "authority.key").exists():
        raise NotPermitted("the keys of an exchange are pinned everywhere: this version does not rotate them")
    exchange = exchange_record(folder)
    desk = enrolment_address or _enrolment_address(folder)
    rotation = _begun(folder, passphrase) or _begin(folder, passphrase)
    certified = asyncio.run(_certified(rotation, desk, exchange))
    certified.save(folder / "identity.next", passphrase)
    _take_place(folder)
    return rotation.old.record.document.verifying_key.key_id if rotation.old else None


def _begin(folder: Path, passphrase: str) -> _Rotation:
    old = Identity.load(folder / "identity", passphrase)
    event, heir = old.rotate(utc_now)
    draft = folder / "identity.draft"
    shutil.rmtree(draft, ignore_errors=True)
    heir.save(draft, passphrase)
    write_private(draft / EVENT_FILE, event.to_bytes())
    # Renamed as a whole: a folder under this name is complete.
    draft.rename(folder / "identity.next")
    return _Rotation(old, heir, event.to_bytes())


def _begun(folder: Path, passphrase: str) -> _Rotation | None:
    if not (folder / "identity.next").exists():
        return None
    old = Identity.load(folder / "identity", passphrase) if (folder / "identity").exists() else None
    heir = Identity.load(folder / "identity.next", passphrase)
    return _Rotation(old, heir, read_private(folder / "identity.next" / EVENT_FILE))


async def _certified(rotation: _Rotation, desk: str, exchange: Signed[PartyRecord]) -> Identity:
    try:
        certified, _ = await renew(desk, rotation.heir, exchange.document.party)
    except StateConflict:
        # The old record is registered still: step 2 was not done.
        if rotation.old is None:
            raise
        old = rotation.old
        client = ExchangeClient(str(exchange.document.address), old, exchange.document, clock=utc_now)
        try:
            caller = Caller(old.party, old.record.document.role)
            await client.rotate_key(caller, rotation.event, rotation.heir.record.to_bytes())
        finally:
            await client.close()
        certified, _ = await renew(desk, rotation.heir, exchange.document.party)
    return certified


def _take_place(folder: Path) -> None:
    former = folder / "identity.former"
    shutil.rmtree(former, ignore_errors=True)
    if (folder / "identity").exists():
        (folder / "identity").rename(former)
    (folder / "identity.next").rename(folder / "identity")
    (folder / "identity" / EVENT_FILE).unlink()
    shutil.rmtree(former, ignore_errors=True)


def _enrolment_address(folder: Path) -> str:
    try:
        return read_private(folder / ENROLMENT_FILE).decode()
    except UnknownObject as error:
        raise UnknownObject("the desk's address is not kept here; give `--enrolment-address`") from error
