"""Identifiers: UUIDv7 (RFC 9562) for what is created, digests for what must be the same on every retry."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from datetime import datetime

from records.errors import MalformedDocument

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""Names of parties, tables and collections: lower case, never a number, no path or shell signs."""


def uuid7(now: datetime, random_bytes: Callable[[int], bytes]) -> str:
    """Return a UUIDv7: 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    value = bytearray(milliseconds.to_bytes(6, "big") + random_bytes(10))
    value[6] = 0x70 | value[6] & 0x0F
    value[8] = 0x80 | value[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(value)))


def derived(*parts: str) -> str:
    """Return an id that is a function of `parts` alone, so that a retry makes the same row.

    Parts are length-prefixed: no two lists of parts give the same input.
    """
    state = hashlib.sha256(b"usufruct/derived-id/v1")
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def require_name(text: str, what: str) -> str:
    """Return `text` if it is a name.

    Raises:
        MalformedDocument: it is not.
    """
    if not NAME.fullmatch(text):
        raise MalformedDocument(f"{what} is a letter, then lower-case letters, digits, `_` and `-`")
    return text


def require_product_name(text: str) -> str:
    """Return `text` if it is `provider.table`.

    Raises:
        MalformedDocument: it is not.
    """
    provider, dot, table = text.partition(".")
    if not dot:
        raise MalformedDocument("a product is named `provider.table`")
    require_name(provider, "a provider")
    require_name(table, "a table")
    return text
