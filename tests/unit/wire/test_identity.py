from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import canonical
from records.clock import utc_now
from records.errors import (
    EvidenceError,
    MalformedDocument,
    NotPermitted,
    SignatureInvalid,
    StateConflict,
    UnknownObject,
)
from records.parties import KeyEvent, PartyRecord
from sandbox import hpke, keystore
from sandbox.identity import Identity
from sandbox.keystore import read_passphrase

FAST = 1 << 4
ALICE = Identity.create(
    "alice", "provider", controller="alice ltd", region="CN", environment="test", clock=utc_now
)


def _saved(folder: Path, identity: Identity = ALICE) -> Path:
    identity.save(folder / "id", "pass", scrypt_n=FAST)
    return folder / "id"


def test_an_identity_comes_back_from_its_folder(tmp_path: Path) -> None:
    back = Identity.load(_saved(tmp_path, ALICE.with_certificate(b"cert", b"ca")), "pass")
    assert (back.record, back.certificate, back.authority) == (ALICE.record, b"cert", b"ca")
    assert back.unprotect(ALICE.protect(b"secret", b"c"), b"c") == b"secret"
    assert back.tls_key_pem == ALICE.tls_key_pem
    signed = ALICE.record.document.sign(back.signer)
    assert PartyRecord.verified(signed.to_bytes(), ALICE.signer.key, "test").document.party == "alice"
    sealed = hpke.seal(b"x", bytes.fromhex(ALICE.record.document.sealing_key or ""), b"info")
    assert back.keys.sealing.open(sealed, b"info") == b"x"


def test_all_keys_of_a_party_are_different() -> None:
    exchange = Identity.create("ex", "exchange", controller="e", region="CN", environment="t", clock=utc_now)
    secrets = exchange.keys.to_json()
    values = [value for value in secrets.values() if isinstance(value, str)]
    assert len(set(values)) == len(values) == 5
    assert exchange.log_signer.key != exchange.signer.key
    with pytest.raises(StateConflict):
        _ = ALICE.log_signer


def test_files_are_private(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {
        "party.json",
        "keys.json",
        "certificate.pem",
        "authority.pem",
    }


def test_no_private_key_lies_in_the_clear(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    for value in ALICE.keys.to_json().values():
        if isinstance(value, str):
            assert value.encode() not in content
            assert bytes.fromhex(value) not in content


def test_nor_in_the_representation() -> None:
    assert ALICE.keys.signing.private_bytes_raw().hex() not in repr(ALICE)
    assert "keys" not in repr(ALICE)


def test_a_wrong_passphrase_opens_nothing(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    with pytest.raises(SignatureInvalid, match="passphrase"):
        Identity.load(folder, "guess")


@given(st.data())
def test_a_changed_key_file_opens_nothing(data: st.DataObject) -> None:
    sealed = keystore.seal({"k": "v"}, "pass", "alice", scrypt_n=FAST)
    position = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises((SignatureInvalid, MalformedDocument)):
        keystore.unseal(bytes(changed), "pass", "alice")


def test_a_key_file_of_another_name_opens_nothing() -> None:
    sealed = keystore.seal({"k": "v"}, "pass", "alice", scrypt_n=FAST)
    assert keystore.unseal(sealed, "pass", "alice") == {"k": "v"}
    with pytest.raises(SignatureInvalid):
        keystore.unseal(sealed, "pass", "bob")


def test_a_key_file_cannot_demand_boundless_memory() -> None:
    document = canonical.decode(keystore.seal({}, "pass", "alice", scrypt_n=FAST))
    assert isinstance(document, dict)
    with pytest.raises(MalformedDocument):
        keystore.unseal(canonical.encode(document | {"n": 1 << 40}), "pass", "alice")


def test_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    (folder / "keys.json").chmod(0o640)
    with pytest.raises(NotPermitted):
        Identity.load(folder, "pass")


def test_files_of_two_identities_do_not_mix(tmp_path: Path) -> None:
    folder = _saved(tmp_path)
    _, heir = ALICE.rotate(utc_now)
    heir.save(tmp_path / "other", "pass", scrypt_n=FAST)
    keystore.write_private(folder / "party.json", heir.record.to_bytes())
    with pytest.raises(MalformedDocument, match="one identity"):
        Identity.load(folder, "pass")


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir(mode=0o755)
    with pytest.raises(NotPermitted):
        ALICE.save(tmp_path / "id", "pass", scrypt_n=FAST)


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    keystore.write_private(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="disk full"):
        keystore.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_passphrase_comes_from_a_private_file_or_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    keystore.write_private(path, b"correct horse\n")
    assert read_passphrase(path) == "correct horse"
    assert read_passphrase(lambda: "typed") == "typed"
    path.chmod(0o644)
    with pytest.raises(NotPermitted):
        read_passphrase(path)
    with pytest.raises(UnknownObject):
        read_passphrase(tmp_path / "none")
    with pytest.raises(MalformedDocument):
        read_passphrase(lambda: "")


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_protected_bytes_open_for_their_context_alone(data: bytes, context: bytes) -> None:
    protected = ALICE.protect(data, context)
    assert ALICE.unprotect(protected, context) == data
    with pytest.raises(EvidenceError):
        ALICE.unprotect(protected, context + b"x")
    with pytest.raises(EvidenceError):
        ALICE.unprotect(protected[:-1], context)
    assert ALICE.protect(data, context) != protected


def test_rotation_changes_keys_and_keeps_what_the_store_needs() -> None:
    event, heir = ALICE.rotate(utc_now)
    verified = KeyEvent.verified(event.to_bytes(), ALICE.signer.key, "test").document
    assert (verified.event, verified.record_digest) == ("rotate", heir.record.digest)
    PartyRecord.verified(heir.record.to_bytes(), heir.signer.key, "test")
    old, new = ALICE.record.document, heir.record.document
    assert (new.party, new.role, new.version) == (old.party, old.role, old.version + 1)
    for name in ("signing_key", "tls_key", "sealing_key"):
        assert getattr(new, name) != getattr(old, name)
    assert heir.unprotect(ALICE.protect(b"x", b""), b"") == b"x"
    assert heir.keys.former_sealing == (ALICE.keys.sealing,)
    assert not heir.certificate


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedDocument):
        Identity.create("../etc", "buyer", controller="c", region="CN", environment="t", clock=utc_now)
