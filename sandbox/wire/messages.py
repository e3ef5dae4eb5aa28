"""Messages as bytes: parsed strictly, an unknown field is refused."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from records.errors import MalformedDocument

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """Parse `data` as a message of `kind`.

    Raises:
        MalformedDocument: it does not parse, or it, or a part of it, has an unknown field.
    """
    try:
        message = kind.FromString(data)
    except DecodeError as error:
        raise MalformedDocument(f"not a message `{kind.DESCRIPTOR.name}`") from error
    require_known_fields(message)
    return message


def require_known_fields(message: Message) -> None:
    """Return if neither `message` nor a part of it has an unknown field.

    Raises:
        MalformedDocument: one has; protobuf alone would carry it along unseen.
    """
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise MalformedDocument(f"the message `{message.DESCRIPTOR.name}` has an unknown field")
