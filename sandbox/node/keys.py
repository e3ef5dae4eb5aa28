"""Keys of one attempt: agreed afresh between every two nodes, bound to what each of them accepted (R3).

The context is H(acceptance, attempt, plan, digests of terms, nodes): two nodes with differing views derive
different keys, and the confirmation that opens every channel fails before any data moves.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from records import canonical
from records.errors import EvidenceError, MalformedDocument
from sandbox.link.mesh import Mesh

KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class AttemptSecrets:
    """A node's view of one attempt: its private link key, the others' public ones, and the context."""

    node: str
    private: X25519PrivateKey
    peers: Mapping[str, bytes]
    context: bytes

    def __repr__(self) -> str:
        return f"AttemptSecrets({self.node})"

    def pair_key(self, peer: str, purpose: str) -> bytes:
        """Return the key that this node and `peer` share for one purpose; equal on both sides.

        Raises:
            MalformedDocument: the peer's public key is none.
        """
        try:
            shared = self.private.exchange(X25519PublicKey.from_public_bytes(self.peers[peer]))
        except ValueError as error:
            raise MalformedDocument(f"the link key of `{peer}` is not an X25519 key") from error
        first, second = sorted((self.node, peer))
        info = canonical.encode(["usufruct/attempt/v1", purpose, first, second])
        return HKDF(SHA256(), KEY_BYTES, salt=self.context, info=info).derive(shared)

    def confirm(self, mesh: Mesh, peers: tuple[str, ...]) -> None:
        """Show each peer that this node derived the same keys, and demand the same of it.

        Raises:
            EvidenceError: a peer has another view of the job.
        """
        for peer in peers:
            mesh.send(peer, self._proof(peer, self.node))
        for peer in peers:
            if not hmac.compare_digest(mesh.receive(peer), self._proof(peer, peer)):
                raise EvidenceError(
                    f"`{peer}` has another view of this attempt (plan, terms, acceptance); void the attempt"
                )

    def _proof(self, peer: str, sender: str) -> bytes:
        return hmac.new(self.pair_key(peer, "confirm"), sender.encode(), sha256).digest()


def attempt_context(
    acceptance_digest: str,
    attempt: int,
    plan_digest: str,
    terms_digests: Mapping[str, str],
    nodes: tuple[str, ...],
) -> bytes:
    """Return the context of an attempt, 32 bytes."""
    view = ["usufruct/context/v1", acceptance_digest, attempt, plan_digest, dict(terms_digests), list(nodes)]
    return sha256(canonical.encode(view)).digest()  # type: ignore[arg-type]
