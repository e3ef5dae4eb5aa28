"""Fresh signing keys for tests of signed documents."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from records.keys import ED25519, Signer, VerifyingKey


def signer() -> Signer:
    """Draw a key and return what signs with it."""
    private = Ed25519PrivateKey.generate()
    return Signer(VerifyingKey(ED25519, private.public_key().public_bytes_raw()), private.sign)
