"""What every signed document has in common: strict fields, one canonical form, a type, a signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from records import canonical, dsse
from records.canonical import Json
from records.dsse import Envelope
from records.errors import MalformedDocument
from records.keys import Signer, VerifyingKey

TYPE_PREFIX = "application/vnd.usufruct."


class Part(BaseModel):
    """A strict, frozen piece of a document; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_json(self) -> dict[str, Json]:
        """Return the plain JSON form."""
        return cast("dict[str, Json]", self.model_dump(mode="json"))


class Document(Part):
    """A part that is signed as a whole.

    `environment` names the registry whose keys may sign it: a document of a local cluster never
    verifies against a real exchange (R19).
    """

    kind: ClassVar[str]
    environment: str

    @classmethod
    def payload_type(cls) -> str:
        """The DSSE payload type, with the version of the format."""
        return f"{TYPE_PREFIX}{cls.kind}.v1+json"

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical form."""
        return canonical.digest(self.to_json())

    def sign(self, signer: Signer) -> Signed[Self]:
        """Return the document with its envelope."""
        return Signed(self, dsse.seal(self.payload_type(), self.to_json(), signer))

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Parse a canonical payload.

        Raises:
            MalformedDocument: not canonical, a missing or unknown field, or one of another type.
        """
        canonical.decode(payload)  # one document has one encoding
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise MalformedDocument(f"`{cls.kind}`: {_first_fault(error)}") from None

    @classmethod
    def unverified(cls, data: bytes) -> Signed[Self]:
        """Parse an envelope without checking who signed it: only to learn whose key to check with."""
        envelope = dsse.parse(data)
        if envelope.payload_type != cls.payload_type():
            raise MalformedDocument(f"expected a document of type `{cls.kind}`")
        return Signed(cls.from_payload(envelope.payload), envelope)

    @classmethod
    def verified(
        cls, data: bytes, keys: Mapping[str, VerifyingKey] | VerifyingKey, environment: str
    ) -> Signed[Self]:
        """Parse an envelope and check signature, type and environment.

        Raises:
            MalformedDocument: it does not parse.
            SignatureInvalid: no valid signature by one of `keys`, or of another environment.
        """
        signed = cls.unverified(data)
        allowed = {keys.key_id: keys} if isinstance(keys, VerifyingKey) else keys
        signed.envelope.verify(allowed, cls.payload_type())
        if signed.document.environment != environment:
            raise MalformedDocument(f"`{cls.kind}` belongs to another environment than `{environment}`")
        return signed


D = TypeVar("D", bound=Document, covariant=True)


@dataclass(frozen=True, slots=True)
class Signed(Generic[D]):
    """A document together with the envelope that carries it."""

    document: D
    envelope: Envelope

    @property
    def digest(self) -> str:
        """`sha256:…` over the payload."""
        return self.envelope.digest

    def to_bytes(self) -> bytes:
        """The bytes that travel and are stored."""
        return self.envelope.to_bytes()


def _first_fault(error: ValidationError) -> str:
    # Never the input: pydantic's own text quotes the offending value.
    first: Any = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'document'}: {first['type'].replace('_', ' ')}"
