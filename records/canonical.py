"""Canonical JSON (RFC 8785) and digests over it.

Signed documents hold no floats: money is integer minor units, ε and ratios are decimal strings.
Integers stay within ±(2^53 − 1), the range in which RFC 8785 is exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import rfc8785

from records.errors import MalformedDocument

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]

MAX_DOCUMENT_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_INTEGER = (1 << 53) - 1
PLAIN_ONLY = "documents hold objects, arrays, strings, integers, booleans and null only"


def encode(value: Json) -> bytes:
    """Return the RFC 8785 encoding of `value`.

    Raises:
        MalformedDocument: `value` holds a float, an integer beyond 2^53 − 1, or another type.
    """
    ascii_keys = _require_plain(value, 0)
    if not ascii_keys:
        # RFC 8785 orders keys by UTF-16 units, which Python's order equals only for some alphabets.
        try:
            return rfc8785.dumps(value)
        except rfc8785.CanonicalizationError as error:
            raise MalformedDocument("the document has no canonical form") from error
    try:
        # Without floats and with ASCII keys this is RFC 8785, 20 times faster; a test holds both equal.
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise MalformedDocument("the document has no canonical form") from error


def decode(data: bytes) -> Json:
    """Parse `data` and demand that it is already canonical, so that one document has one encoding.

    Raises:
        MalformedDocument: not JSON, too large, a duplicate key, a float, or not canonical.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument("the document is larger than 1 MiB")
    try:
        value: Json = json.loads(data, parse_float=_refuse_float, parse_constant=_refuse_float)
    except (ValueError, RecursionError) as error:
        raise MalformedDocument("the document is not JSON") from error
    if encode(value) != data:
        raise MalformedDocument("the document is not in canonical form (RFC 8785)")
    return value


def digest(value: Json) -> str:
    """Return `sha256:<hex>` over the canonical encoding of `value`."""
    return digest_bytes(encode(value))


def digest_bytes(data: bytes) -> str:
    """Return `sha256:<hex>` over `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _refuse_float(_: str) -> Json:
    raise MalformedDocument("the document holds a float; use an integer or a decimal string")


def _require_plain(value: Json, depth: int) -> bool:
    """Check types, depth and range; tell whether all keys are ASCII."""
    if value is None or isinstance(value, (bool, str)):
        return True
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise MalformedDocument("an integer is beyond 2^53 − 1; write it as a string")
        return True
    if depth == MAX_DEPTH:
        raise MalformedDocument("the document is nested too deeply")
    if isinstance(value, Mapping):
        ascii_keys = True
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedDocument(PLAIN_ONLY)
            ascii_keys &= key.isascii() & _require_plain(item, depth + 1)
        return ascii_keys
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        ascii_keys = True
        for item in value:
            ascii_keys &= _require_plain(item, depth + 1)
        return ascii_keys
    raise MalformedDocument(PLAIN_ONLY)
