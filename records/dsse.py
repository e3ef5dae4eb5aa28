"""DSSE envelopes (secure-systems-lab/dsse v1): one signed payload, its type, its signatures.

The payload is canonical JSON; the pre-authentication encoding binds its type, so that no document can
be passed off as one of another kind.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from records import canonical
from records.canonical import Json
from records.errors import MalformedDocument, SignatureInvalid
from records.keys import Signer, VerifyingKey


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return PAE(type, payload) = "DSSEv1" SP len SP type SP len SP payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and signatures (key id → signature)."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def digest(self) -> str:
        """`sha256:…` over the payload alone: the name of the document, whoever signs it."""
        return canonical.digest_bytes(self.payload)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the envelope."""
        return canonical.encode(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": key_id, "sig": base64.b64encode(signature).decode()}
                    for key_id, signature in self.signatures
                ],
            }
        )

    def verify(self, keys: Mapping[str, VerifyingKey], payload_type: str) -> str:
        """Return the id of the first key in `keys` that signed this payload as `payload_type`.

        Raises:
            SignatureInvalid: another type, or no signature by one of `keys`, or one that is wrong.
        """
        if self.payload_type != payload_type:
            raise SignatureInvalid(f"expected a document of type `{payload_type}`")
        message = pre_authentication_encoding(self.payload_type, self.payload)
        for key_id, signature in self.signatures:
            if key_id in keys:
                keys[key_id].verify(signature, message)
                return key_id
        raise SignatureInvalid("no signature by a key that may sign this document")


def seal(payload_type: str, payload: Json, signer: Signer) -> Envelope:
    """Encode `payload` canonically and sign it."""
    data = canonical.encode(payload)
    signature = signer.sign(pre_authentication_encoding(payload_type, data))
    return Envelope(payload_type, data, ((signer.key.key_id, signature),))


def parse(data: bytes) -> Envelope:
    """Parse an envelope; signatures are not yet verified.

    Raises:
        MalformedDocument: not a canonical DSSE envelope with one to eight signatures.
    """
    document = canonical.decode(data)
    match document:
        case {"payload": str(payload), "payloadType": str(kind), "signatures": [*signatures], **rest} if (
            not rest and 1 <= len(signatures) <= 8
        ):
            return Envelope(kind, _decode64(payload), tuple(_signature(entry) for entry in signatures))
    raise MalformedDocument("not a DSSE envelope")


def _signature(entry: Json) -> tuple[str, bytes]:
    match entry:
        case {"keyid": str(key_id), "sig": str(signature), **rest} if not rest:
            return key_id, _decode64(signature)
    raise MalformedDocument("not a DSSE signature")


def _decode64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedDocument("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise MalformedDocument("not base64 in canonical form")  # unused bits must be zero
    return data
