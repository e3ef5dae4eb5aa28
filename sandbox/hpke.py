"""HPKE (RFC 9180) with the hybrid ML-KEM-768 + X25519 KEM: how anything is sealed to a key.

Keys travel raw: public = ML-KEM-768 encapsulation key (1184 bytes) ‖ X25519 (32); private = ML-KEM-768
seed (64) ‖ X25519 (32). Secrecy holds while either of the two problems is hard.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from records.errors import EvidenceError, MalformedDocument

PUBLIC_BYTES = 1184 + 32
PRIVATE_BYTES = 64 + 32

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A private key that opens what was sealed to `public`."""

    private: bytes

    def __post_init__(self) -> None:
        if len(self.private) != PRIVATE_BYTES:
            raise MalformedDocument("not a private sealing key")

    def __repr__(self) -> str:
        return "SealingKey(private)"

    @classmethod
    def generate(cls) -> SealingKey:
        """Draw a fresh key pair from the operating system's generator."""
        return cls(
            MLKEM768PrivateKey.generate().private_bytes_raw()
            + X25519PrivateKey.generate().private_bytes_raw()
        )

    @property
    def public(self) -> bytes:
        """The raw public key, `PUBLIC_BYTES` long."""
        lattice, curve = self._halves()
        return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    def open(self, ciphertext: bytes, info: bytes) -> bytes:
        """Return the plaintext that was sealed to this key under `info`.

        Raises:
            EvidenceError: it was sealed to another key or for another purpose, or was changed.
        """
        try:
            return _SUITE.decrypt(ciphertext, hpke.MLKEM768X25519PrivateKey(*self._halves()), info=info)
        except (InvalidTag, ValueError) as error:
            raise EvidenceError("the sealed bytes do not open with this key") from error

    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        return (
            MLKEM768PrivateKey.from_seed_bytes(self.private[:64]),
            X25519PrivateKey.from_private_bytes(self.private[64:]),
        )


def seal(plaintext: bytes, public: bytes, info: bytes) -> bytes:
    """Return `plaintext` sealed to `public`, bound to `info`.

    Raises:
        MalformedDocument: `public` is not a key.
    """
    if len(public) != PUBLIC_BYTES:
        raise MalformedDocument("not a public sealing key")
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:1184]),
            X25519PublicKey.from_public_bytes(public[1184:]),
        )
        return _SUITE.encrypt(plaintext, key, info=info)
    except ValueError as error:
        raise MalformedDocument("not a public sealing key") from error
