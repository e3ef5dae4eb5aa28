"""Public keys, their fingerprints, and what they are for.

Algorithms are named everywhere, so that others (SM2, ML-DSA) can be added without a new format.
Private keys never appear here: signing is handed down as a function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from records.errors import MalformedDocument, SignatureInvalid

ED25519 = "ed25519"

Sign = Callable[[bytes], bytes]
"""Signs bytes with a private key that the caller never sees."""


def fingerprint(algorithm: str, public: bytes) -> str:
    """Return the key id: `<algorithm>:<hex of SHA-256 over algorithm ‖ 0x00 ‖ public>`."""
    return f"{algorithm}:{hashlib.sha256(algorithm.encode() + bytes(1) + public).hexdigest()}"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that verifies signatures. `public` is the raw encoding (32 bytes for Ed25519)."""

    algorithm: str
    public: bytes

    def __post_init__(self) -> None:
        if self.algorithm != ED25519 or len(self.public) != 32:
            raise MalformedDocument(f"not an {ED25519} public key")

    @property
    def key_id(self) -> str:
        """The fingerprint of this key."""
        return fingerprint(self.algorithm, self.public)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` is by this key over `message`.

        Raises:
            SignatureInvalid: it is not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise SignatureInvalid("the signature does not verify") from error

    @classmethod
    def from_json(cls, text: str) -> VerifyingKey:
        """Parse `<algorithm>:<hex of the raw key>`.

        Raises:
            MalformedDocument: not of that form.
        """
        algorithm, _, public = text.partition(":")
        try:
            return cls(algorithm, bytes.fromhex(public))
        except ValueError as error:
            raise MalformedDocument("a verifying key is `<algorithm>:<hex>`") from error

    def to_json(self) -> str:
        """Return `<algorithm>:<hex of the raw key>`."""
        return f"{self.algorithm}:{self.public.hex()}"


@dataclass(frozen=True, slots=True)
class Signer:
    """A signing function with the key that verifies it. Who holds it can sign, not copy the key."""

    key: VerifyingKey
    sign: Sign

    def __repr__(self) -> str:
        return f"Signer({self.key.key_id})"
