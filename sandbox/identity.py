"""A party's identity: its signed record, its certificate, and its private keys.

TLS, signing, sealing and log keys are separate (R1). In memory they are held here and handed down as
functions; on disk they lie in one file, encrypted under a passphrase (`sandbox.keystore`). What a folder
holds: `party.json` (the signed record), `keys.json` (sealed), `certificate.pem` and `authority.pem`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from records import clock as clocks
from records.canonical import Json
from records.clock import Clock
from records.document import Signed
from records.errors import EvidenceError, MalformedDocument, StateConflict
from records.ids import require_name
from records.keys import ED25519, Signer, VerifyingKey
from records.parties import KeyEvent, PartyRecord, Role
from sandbox import keystore
from sandbox.hpke import SealingKey
from sandbox.keystore import SCRYPT_N
from sandbox.wire.certificates import public_key_digest

NONCE_BYTES = 12
AT_REST_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKeys:
    """All private keys of a party, and what is left of former ones.

    `former_sealing` opens what was sealed before a rotation; `former_signing` are the public keys, in their
    JSON form, under which the party's own earlier documents verify.
    """

    tls: ec.EllipticCurvePrivateKey
    signing: Ed25519PrivateKey
    sealing: SealingKey
    at_rest: bytes
    log: Ed25519PrivateKey | None
    former_sealing: tuple[SealingKey, ...] = ()
    former_signing: tuple[str, ...] = ()

    @classmethod
    def generate(cls, *, with_log: bool) -> PrivateKeys:
        """Draw fresh keys from the operating system's generator."""
        return cls(
            tls=ec.generate_private_key(ec.SECP256R1()),
            signing=Ed25519PrivateKey.generate(),
            sealing=SealingKey.generate(),
            at_rest=secrets.token_bytes(AT_REST_KEY_BYTES),
            log=Ed25519PrivateKey.generate() if with_log else None,
        )

    def to_json(self) -> dict[str, Json]:
        """Return the keys in hex, for the key store alone."""
        tls = self.tls.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return {
            "tls": tls.hex(),
            "signing": self.signing.private_bytes_raw().hex(),
            "sealing": self.sealing.private.hex(),
            "at_rest": self.at_rest.hex(),
            "log": self.log.private_bytes_raw().hex() if self.log else None,
            "former_sealing": [key.private.hex() for key in self.former_sealing],
            "former_signing": list(self.former_signing),
        }

    @classmethod
    def from_json(cls, value: Json) -> PrivateKeys:
        """Return the keys that `to_json` wrote.

        Raises:
            MalformedDocument: another form.
        """
        match value:
            case {
                "tls": str(tls),
                "signing": str(signing),
                "sealing": str(sealing),
                "at_rest": str(at_rest),
                "log": str() | None as log,
                "former_sealing": [*former],
                "former_signing": [*signed],
                **rest,
            } if not rest:
                tls_key = load_der_private_key(bytes.fromhex(tls), password=None)
                if isinstance(tls_key, ec.EllipticCurvePrivateKey):
                    return cls(
                        tls_key,
                        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(signing)),
                        SealingKey(bytes.fromhex(sealing)),
                        bytes.fromhex(at_rest),
                        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(log)) if log else None,
                        tuple(SealingKey(bytes.fromhex(str(key))) for key in former),
                        tuple(str(key) for key in signed),
                    )
        raise MalformedDocument("the key file does not hold the keys of a party")


@dataclass(frozen=True, slots=True)
class Identity:
    """A party as it acts: who it is (`record`), how it proves it (keys, certificate).

    `certificate` and `authority` are PEM, empty until the party enrolled.
    """

    record: Signed[PartyRecord]
    keys: PrivateKeys = field(repr=False)
    certificate: bytes = field(default=b"", repr=False)
    authority: bytes = field(default=b"", repr=False)

    @classmethod
    def create(
        cls,
        party: str,
        role: Role,
        *,
        controller: str,
        region: str,
        affiliates: tuple[str, ...] = (),
        address: str | None = None,
        environment: str,
        clock: Clock,
    ) -> Identity:
        """Draw all keys and sign the first record of `party`.

        Raises:
            MalformedDocument: `party` is not a name.
        """
        require_name(party, "a party")
        keys = PrivateKeys.generate(with_log=role == "exchange")
        record = PartyRecord(
            environment=environment,
            party=party,
            role=role,
            controller=controller,
            affiliates=affiliates,
            region=region,
            address=address,
            version=1,
            issued_at=clocks.to_text(clock()),
            signing_key=_verifying_key(keys.signing).to_json(),
            tls_key=public_key_digest(keys.tls.public_key()),
            sealing_key=keys.sealing.public.hex(),
            log_key=_verifying_key(keys.log).to_json() if keys.log else None,
        )
        return cls(record.sign(_signer(keys.signing)), keys)

    @property
    def party(self) -> str:
        """The party's registered name."""
        return self.record.document.party

    @property
    def environment(self) -> str:
        """The registry in which this identity means something."""
        return self.record.document.environment

    @property
    def signer(self) -> Signer:
        """Signs the party's documents."""
        return _signer(self.keys.signing)

    @property
    def log_signer(self) -> Signer:
        """Signs checkpoints of the log.

        Raises:
            StateConflict: the party keeps no log.
        """
        if self.keys.log is None:
            raise StateConflict("only an exchange has a log key")
        return _signer(self.keys.log)

    @property
    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """Open what was sealed to the party's sealing key, present or rotated away."""
        return self.keys.sealing, *self.keys.former_sealing

    @property
    def own_keys(self) -> tuple[VerifyingKey, ...]:
        """Verify the party's own documents, of before its rotations too."""
        keys = (self.record.document.signing_key, *self.keys.former_signing)
        return tuple(VerifyingKey.from_json(key) for key in keys)

    @property
    def tls_key_pem(self) -> bytes:
        """The TLS private key, PKCS #8 PEM, for the TLS library alone."""
        return self.keys.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def protect(self, data: bytes, context: bytes) -> bytes:
        """Return nonce ‖ AES-256-GCM(`data`), bound to `context`, for the party's own store."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.keys.at_rest).encrypt(nonce, data, context)

    def unprotect(self, data: bytes, context: bytes) -> bytes:
        """Return what `protect` was given.

        Raises:
            EvidenceError: protected by another party, for another context, or changed.
        """
        try:
            return AESGCM(self.keys.at_rest).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise EvidenceError("the protected bytes do not open with this identity") from error

    def with_certificate(self, certificate: bytes, authority: bytes) -> Identity:
        """Return the identity with its certificate chain and the authority's certificate (PEM)."""
        return replace(self, certificate=certificate, authority=authority)

    def rotate(self, clock: Clock, *, reason: str = "rotation") -> tuple[Signed[KeyEvent], Identity]:
        """Draw fresh TLS, signing and sealing keys; return the event signed with the old key, and the heir.

        The at-rest key stays, or the party's own store would be lost; so does the log key, whose change
        concerns every holder of a checkpoint. The heir has no certificate: its TLS key needs a new one.
        """
        fresh = PrivateKeys.generate(with_log=False)
        keys = replace(
            fresh,
            at_rest=self.keys.at_rest,
            log=self.keys.log,
            former_sealing=(self.keys.sealing, *self.keys.former_sealing),
            former_signing=(self.record.document.signing_key, *self.keys.former_signing),
        )
        now = clocks.to_text(clock())
        changes = {
            "version": self.record.document.version + 1,
            "issued_at": now,
            "signing_key": _verifying_key(keys.signing).to_json(),
            "tls_key": public_key_digest(keys.tls.public_key()),
            "sealing_key": keys.sealing.public.hex(),
        }
        record = self.record.document.model_copy(update=changes)
        signed = record.sign(_signer(keys.signing))
        event = KeyEvent(
            environment=self.environment,
            party=self.party,
            event="rotate",
            former_key=self.record.document.signing_key,
            new_key=record.signing_key,
            record_digest=signed.digest,
            reason=reason,
            issued_at=now,
        )
        return event.sign(self.signer), replace(self, record=signed, keys=keys, certificate=b"")

    def save(self, folder: Path, passphrase: str, *, scrypt_n: int = SCRYPT_N) -> None:
        """Write the identity to `folder` (mode 0700, files 0600), each file whole or not at all."""
        keystore.make_folder(folder)
        sealed = keystore.seal(self.keys.to_json(), passphrase, self.party, scrypt_n=scrypt_n)
        keystore.write_private(folder / "keys.json", sealed)
        keystore.write_private(folder / "certificate.pem", self.certificate)
        keystore.write_private(folder / "authority.pem", self.authority)
        keystore.write_private(folder / "party.json", self.record.to_bytes())

    @classmethod
    def load(cls, folder: Path, passphrase: str) -> Identity:
        """Read an identity from `folder`.

        Raises:
            UnknownObject: there is none.
            NotPermitted: others may read its files.
            SignatureInvalid: the passphrase is wrong, or the files do not belong together.
        """
        data = keystore.read_private(folder / "party.json")
        stated = PartyRecord.unverified(data).document
        record = PartyRecord.verified(data, stated.verifying_key, stated.environment)
        sealed = keystore.read_private(folder / "keys.json")
        keys = PrivateKeys.from_json(keystore.unseal(sealed, passphrase, stated.party))
        if (stated.signing_key, stated.tls_key) != (
            _verifying_key(keys.signing).to_json(),
            public_key_digest(keys.tls.public_key()),
        ):
            raise MalformedDocument("`party.json` and `keys.json` are not of one identity")
        certificate = keystore.read_private(folder / "certificate.pem")
        authority = keystore.read_private(folder / "authority.pem")
        return cls(record, keys, certificate, authority)


def _signer(key: Ed25519PrivateKey) -> Signer:
    return Signer(_verifying_key(key), key.sign)


def _verifying_key(key: Ed25519PrivateKey) -> VerifyingKey:
    return VerifyingKey(ED25519, key.public_key().public_bytes_raw())
