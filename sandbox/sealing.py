"""Sealed results (R5): one share, sealed to the buyer, wrapped again under keys of all nodes of the job.

The node that seals draws one secret per node, seals each to that node's release key of this attempt, and
encrypts under their exclusive-or: only with **all** release keys does the outer layer open, and only
the buyer's own key opens the inner one. The node forgets the secrets at once.

    container = length(header) ‖ header ‖ nonce ‖ AES-256-GCM(xor of secrets, HPKE(buyer, share))
    header    = canonical JSON {node: base64(HPKE(release key of node, secret))}
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from records import canonical
from records.canonical import Json
from records.errors import EvidenceError
from sandbox import hpke
from sandbox.hpke import SealingKey

SECRET_BYTES = 32
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SealContext:
    """What a sealed share is bound to; a share moved to another place does not open."""

    acceptance_digest: str
    attempt: int
    plan_digest: str
    node: str
    index: int

    def info(self, layer: str) -> bytes:
        """Return the HPKE `info` for one layer."""
        return canonical.encode(
            [
                "usufruct/seal/v1",
                layer,
                self.acceptance_digest,
                self.attempt,
                self.plan_digest,
                self.node,
                self.index,
            ]
        )


def seal_share(share: bytes, buyer: bytes, release_keys: Mapping[str, bytes], context: SealContext) -> bytes:
    """Return the container for `share`; `release_keys` maps every node of the job to its public key."""
    parts = {node: secrets.token_bytes(SECRET_BYTES) for node in sorted(release_keys)}
    header = canonical.encode(
        {
            node: base64.b64encode(
                hpke.seal(part, release_keys[node], context.info(f"release:{node}"))
            ).decode()
            for node, part in parts.items()
        }
    )
    nonce = secrets.token_bytes(NONCE_BYTES)
    inner = hpke.seal(share, buyer, context.info("buyer"))
    outer = AESGCM(_combine(parts.values())).encrypt(nonce, inner, context.info("outer"))
    return len(header).to_bytes(4, "big") + header + nonce + outer


def open_share(
    container: bytes, buyer: SealingKey, release_keys: Mapping[str, SealingKey], context: SealContext
) -> bytes:
    """Return the share in `container`.

    Raises:
        EvidenceError: a release key is missing or wrong, or the container is not of this context.
    """
    size = int.from_bytes(container[:4], "big")
    header, body = container[4 : 4 + size], container[4 + size :]
    wrapped = canonical.decode(header)
    if not isinstance(wrapped, dict) or set(wrapped) != set(release_keys):
        raise EvidenceError("the sealed share is not wrapped under the keys of exactly the nodes of this job")
    parts = [
        release_keys[node].open(_from_base64(wrapped[node]), context.info(f"release:{node}"))
        for node in sorted(release_keys)
    ]
    try:
        inner = AESGCM(_combine(parts)).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], context.info("outer"))
    except InvalidTag as error:
        raise EvidenceError("the sealed share was changed, or belongs to another attempt") from error
    return buyer.open(inner, context.info("buyer"))


def share_commitment(salt: bytes, share: bytes) -> str:
    """Return the salted H(share) that both holders of a share sign; the salt is known to those two alone."""
    return "sha256:" + hmac.new(salt, share, hashlib.sha256).hexdigest()


def _from_base64(text: Json) -> bytes:
    changed = EvidenceError("the header of the sealed share was changed")
    try:
        data = base64.b64decode(str(text), validate=True)
    except ValueError as error:
        raise changed from error
    if base64.b64encode(data).decode() != text:
        raise changed
    return data


def _combine(parts: Iterable[bytes]) -> bytes:
    combined = bytes(SECRET_BYTES)
    for part in parts:
        if len(part) != SECRET_BYTES:
            raise EvidenceError("a node's part of the sealing key has the wrong length")
        combined = bytes(a ^ b for a, b in zip(combined, part, strict=True))
    return combined
