"""Per-field salted commitments (R19): the log holds these, a receipt opens only its own fields.

A leaf is the canonical JSON of {field name: commitment}. Deleting a field's salt and value makes its
commitment say nothing, and the leaf stays.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from records import canonical
from records.canonical import Json
from records.errors import EvidenceError, MalformedDocument

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Opening:
    """The value of one field with the salt that opens its commitment."""

    salt: bytes
    value: Json


def commit(name: str, opening: Opening) -> str:
    """Return `sha256:<hex of HMAC-SHA256(salt, name ‖ 0x00 ‖ canonical value)>`."""
    message = name.encode() + bytes(1) + canonical.encode(opening.value)
    return "sha256:" + hmac.new(opening.salt, message, hashlib.sha256).hexdigest()


def open_fields(fields: Mapping[str, Json], random_bytes: Callable[[int], bytes]) -> dict[str, Opening]:
    """Draw a salt for each field."""
    return {name: Opening(random_bytes(SALT_BYTES), value) for name, value in fields.items()}


def leaf(openings: Mapping[str, Opening]) -> dict[str, str]:
    """Return {field: commitment}, what the log holds."""
    return {name: commit(name, opening) for name, opening in openings.items()}


def encode(openings: Mapping[str, Opening]) -> bytes:
    """Return openings as canonical JSON {field: {salt, value}}, to be handed to whom they are for."""
    return canonical.encode(
        {name: {"salt": opening.salt.hex(), "value": opening.value} for name, opening in openings.items()}
    )


def decode(data: bytes) -> dict[str, Opening]:
    """Read what `encode` wrote.

    Raises:
        MalformedDocument: it is of another form.
    """
    document = canonical.decode(data)
    openings: dict[str, Opening] = {}
    for name, entry in document.items() if isinstance(document, dict) else ():
        match entry:
            case {"salt": str(salt), "value": value, **rest} if not rest:
                openings[name] = Opening(_salt(salt), value)
            case _:
                raise MalformedDocument("an opening is {salt, value}")
    return openings


def check(commitments: Mapping[str, str], opened: Mapping[str, Opening]) -> None:
    """Return if every opened field matches its commitment.

    Raises:
        EvidenceError: a field that the leaf does not hold, or one with another value.
    """
    for name, opening in opened.items():
        if name not in commitments or not hmac.compare_digest(commitments[name], commit(name, opening)):
            raise EvidenceError(f"the field `{name}` does not match its commitment in the log")


def _salt(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise MalformedDocument("a salt is hexadecimal") from error
