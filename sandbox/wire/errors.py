"""Errors across the wire: a catalogue of statuses out, the same exception classes back in.

What the product raises on purpose crosses with its text, which by rule holds no data values. Anything else
becomes "internal error" with an incident id; the log gets the id and the type, never the text, because
the text of a foreign exception may quote a row.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Never, cast

import grpc
from grpc import aio

from records import canonical, errors
from records.canonical import Json
from records.errors import PeerUnavailable, Reason, RefusedError, UsufructError

METADATA_KEY: Final = "usufruct-error-bin"
MAX_ERROR_BYTES: Final = 6 << 10
MAX_TEXT: Final = 500
INTERNAL: Final = "internal"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """How a class of errors shows: its status, and the text that any client may see."""

    status: grpc.StatusCode
    text: str


CATALOGUE: Final[Mapping[type[UsufructError], CatalogueEntry]] = MappingProxyType(
    {
        errors.InputError: CatalogueEntry(grpc.StatusCode.INVALID_ARGUMENT, "the request is not valid"),
        errors.MalformedDocument: CatalogueEntry(grpc.StatusCode.INVALID_ARGUMENT, "a document is malformed"),
        errors.SignatureInvalid: CatalogueEntry(grpc.StatusCode.UNAUTHENTICATED, "a signature is not valid"),
        errors.UnknownObject: CatalogueEntry(grpc.StatusCode.NOT_FOUND, "there is no such object"),
        errors.RequestExpired: CatalogueEntry(grpc.StatusCode.FAILED_PRECONDITION, "past its time"),
        errors.RequestReplayed: CatalogueEntry(grpc.StatusCode.ALREADY_EXISTS, "seen before"),
        errors.SourceUnreadable: CatalogueEntry(
            grpc.StatusCode.FAILED_PRECONDITION, "a source is unreadable"
        ),
        errors.NotPermitted: CatalogueEntry(grpc.StatusCode.PERMISSION_DENIED, "not permitted"),
        errors.RefusedError: CatalogueEntry(grpc.StatusCode.FAILED_PRECONDITION, "refused"),
        errors.JobRefused: CatalogueEntry(grpc.StatusCode.FAILED_PRECONDITION, "the job is refused"),
        errors.ResultWithheld: CatalogueEntry(grpc.StatusCode.FAILED_PRECONDITION, "the result is withheld"),
        errors.JobEnded: CatalogueEntry(grpc.StatusCode.FAILED_PRECONDITION, "the job has ended"),
        errors.StateConflict: CatalogueEntry(grpc.StatusCode.ABORTED, "not possible in this state"),
        errors.EvidenceError: CatalogueEntry(grpc.StatusCode.DATA_LOSS, "the evidence does not agree"),
        errors.PeerUnavailable: CatalogueEntry(grpc.StatusCode.ABORTED, "a peer did not answer"),
        errors.LimitExceeded: CatalogueEntry(grpc.StatusCode.RESOURCE_EXHAUSTED, "a limit would be passed"),
    }
)
"""`PeerUnavailable` is not UNAVAILABLE: our server answered, and the client must not take it for down."""

_BY_CODE: Final = MappingProxyType({kind.code: kind for kind in CATALOGUE})


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it crosses the wire; `incident` is set for internal errors alone."""

    code: str
    text: str = ""
    reasons: tuple[Reason, ...] = ()
    incident: str = ""

    @property
    def status(self) -> grpc.StatusCode:
        """The gRPC status under which it travels."""
        kind = _BY_CODE.get(self.code)
        return CATALOGUE[kind].status if kind else grpc.StatusCode.INTERNAL

    @property
    def public_text(self) -> str:
        """The constant sentence for clients that know nothing of our metadata."""
        kind = _BY_CODE.get(self.code)
        return CATALOGUE[kind].text if kind else "internal error"

    def to_bytes(self) -> bytes:
        """Return canonical JSON of at most `MAX_ERROR_BYTES`; reasons that do not fit are left off."""
        room = MAX_ERROR_BYTES - len(canonical.encode(self._to_json(())))
        kept: list[Json] = []
        for reason in self.reasons:
            entry = reason.to_json()
            room -= len(canonical.encode(entry)) + 1
            if room < 0:
                break
            kept.append(entry)
        return canonical.encode(self._to_json(kept))

    def _to_json(self, reasons: Sequence[Json]) -> Json:
        return {"code": self.code, "text": self.text, "reasons": reasons, "incident": self.incident}

    @classmethod
    def from_bytes(cls, data: bytes) -> Failure:
        """Parse what `to_bytes` wrote.

        Raises:
            MalformedDocument: another form.
        """
        match canonical.decode(data):
            case {
                "code": str(code),
                "text": str(text),
                "reasons": [*reasons],
                "incident": str(incident),
                **rest,
            } if not rest:
                return cls(code, text, tuple(_reason(entry) for entry in reasons), incident)
        raise errors.MalformedDocument("not an error of this protocol")

    def to_exception(self, peer: str) -> UsufructError:
        """Return the exception that the other side raised."""
        kind = _BY_CODE.get(self.code)
        if kind is None:
            return UsufructError(f"`{peer}` failed inside; quote incident `{self.incident}` to its operator")
        if issubclass(kind, RefusedError):
            return kind(self.reasons)
        return kind(self.text)


def describe(error: Exception, method: str) -> Failure:
    """Return how `error` crosses the wire; log what is not ours, by type and incident id alone."""
    for kind in type(error).__mro__:
        if issubclass(kind, UsufructError) and kind in CATALOGUE:
            reasons = error.reasons if isinstance(error, RefusedError) else ()
            return Failure(kind.code, "" if reasons else str(error)[:MAX_TEXT], reasons)
    incident = secrets.token_hex(8)
    _log.error("incident %s in %s: %s", incident, method, type(error).__name__)
    return Failure(INTERNAL, incident=incident)


async def abort(context: aio.ServicerContext[Any, Any], failure: Failure) -> Never:
    """End the call with this failure."""
    await context.abort(failure.status, failure.public_text, ((METADATA_KEY, failure.to_bytes()),))


def rebuild(error: grpc.RpcError, peer: str) -> UsufructError:
    """Return our exception for a failed call to `peer`: the one it raised, or what the status says."""
    trailing: Iterable[tuple[str, str | bytes]] = cast("Any", error).trailing_metadata() or ()
    for key, value in trailing:
        if key == METADATA_KEY and isinstance(value, bytes):
            try:
                return Failure.from_bytes(value).to_exception(peer)
            except errors.MalformedDocument:
                return PeerUnavailable(f"`{peer}` answered with an error that is not of this protocol")
    return _by_status(error.code(), peer)


def _by_status(status: grpc.StatusCode, peer: str) -> UsufructError:
    # Without our metadata the transport speaks, not the peer's program.
    match status:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED | grpc.StatusCode.CANCELLED:
            return PeerUnavailable(f"`{peer}` did not answer in time: try again")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return errors.LimitExceeded(f"a message to or from `{peer}` is too large, or it is busy")
        case (
            grpc.StatusCode.UNIMPLEMENTED
            | grpc.StatusCode.PERMISSION_DENIED
            | grpc.StatusCode.UNAUTHENTICATED
        ):
            return errors.NotPermitted(f"`{peer}` does not offer this method to us")
    return UsufructError(f"`{peer}` failed inside; its operator finds the cause in its log")


def _reason(value: Json) -> Reason:
    match value:
        case {
            "provider": str(provider),
            "clause": str(clause),
            "wanted": str(wanted),
            "limit": str(limit),
            "remedy": str(remedy),
            **rest,
        } if not rest:
            return Reason(provider, clause, wanted, limit, remedy)
    raise errors.MalformedDocument("not a reason of a refusal")
