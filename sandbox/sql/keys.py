"""Group keys as fixed-width words, so that they can be shared and compared at several providers.

A row is, column after column, one tag byte (0 for NULL, else the type's) and a payload of the type's
width, zero-filled; zeros fill the row up to whole 64-bit words. Integers are little-endian two's
complement; a VARCHAR is its length in bytes, then its UTF-8. Equal keys have equal bytes and no others do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.column_types import arrow_type
from records.errors import EvidenceError, LimitExceeded
from sandbox.sql.catalogue import is_decimal
from sandbox.sql.decimals import INTEGERS, scaled, unscaled

Words = npt.NDArray[np.uint64]

MAX_TEXT_BYTES = 32
WORD_BYTES = 8

_NULL = 0
_LAYOUT: dict[str, tuple[int, int]] = {
    "BOOLEAN": (1, 1),
    "BIGINT": (2, 8),
    "DATE": (3, 4),
    "TIMESTAMP": (4, 8),
    "DECIMAL": (5, 16),
    "VARCHAR": (6, 1 + MAX_TEXT_BYTES),
}
"""Type → its tag, and the bytes of its payload."""
_STORED = {
    "BOOLEAN": pa.uint8(),
    "BIGINT": pa.int64(),
    "DATE": pa.int32(),
    "TIMESTAMP": pa.int64(),
}
"""Type → the integers that Arrow stores its values as."""


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A key: its column, its type, its bytes in a shared row (0: the plan shares no keys)."""

    name: str
    type: str
    width_bytes: int


def key_width_bytes(column_type: str) -> int:
    """Return the bytes of a key of this type, tag included."""
    return 1 + _layout(column_type)[1]


def row_words(keys: Sequence[KeyColumn]) -> int:
    """Return the 64-bit words of one row of keys."""
    return -(-sum(key.width_bytes for key in keys) // WORD_BYTES)


def encode_keys(table: pa.Table, keys: Sequence[KeyColumn]) -> Words:
    """Return the rows of columns `k0…` of `table` as words (G, W).

    Raises:
        LimitExceeded: a text is longer than 32 bytes.
    """
    columns = [
        [_encode(value, key.type) for value in _values(table[f"k{index}"].combine_chunks(), key.type)]
        for index, key in enumerate(keys)
    ]
    words = row_words(keys)
    rows = (b"".join(fields).ljust(words * WORD_BYTES, b"\0") for fields in zip(*columns, strict=True))
    return np.frombuffer(b"".join(rows), dtype="<u8").astype(np.uint64).reshape(table.num_rows, words)


def decode_keys(words: Words, keys: Sequence[KeyColumn]) -> list[pa.Array]:
    """Return the columns whose words (G, W) were opened.

    Raises:
        EvidenceError: a row that `encode_keys` cannot have written.
    """
    forged = EvidenceError("an opened group key is not in canonical form; void the attempt")
    if words.ndim != 2 or words.shape[1] != row_words(keys):
        raise forged
    rows = [row.astype("<u8").tobytes() for row in words]
    columns = []
    start = 0
    try:
        for key in keys:
            end = start + key.width_bytes
            columns.append(_column([_decode(row[start:end], key.type) for row in rows], key.type))
            start = end
    except (ValueError, LimitExceeded):  # Arrow's refusal of a value is a ValueError too
        raise forged from None
    if any(any(row[start:]) for row in rows):
        raise forged
    return columns


def tags(words: Words, salt: bytes) -> Words:
    """Return the first 64 bits of SHA-256(salt ‖ row) for each row of `words`.

    Two of M different rows share a tag with probability below M²/2^65, over the salt: 10^-9 for M = 190,000.
    A shared tag would merge two groups.
    """
    digests = (hashlib.sha256(salt + row.astype("<u8").tobytes()).digest()[:WORD_BYTES] for row in words)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _layout(column_type: str) -> tuple[int, int]:
    return _LAYOUT[column_type.partition("(")[0]]


def _values(column: pa.Array, column_type: str) -> list[int | str | None]:
    """Return texts as they are, everything else as integers: days, microseconds, unscaled decimals."""
    if column_type == "VARCHAR":
        texts: list[int | str | None] = column.to_pylist()
        return texts
    stored = unscaled(column) if is_decimal(column_type) else column.cast(_STORED[column_type])
    return [None if value is None else int(value) for value in stored.to_pylist()]


def _column(values: list[int | str | None], column_type: str) -> pa.Array:
    """Return the Arrow column of what `_values` returns."""
    if is_decimal(column_type):
        return scaled(pa.array(values, INTEGERS), arrow_type(column_type))
    return pa.array(values, _STORED.get(column_type, pa.string())).cast(arrow_type(column_type))


def _encode(value: int | str | None, column_type: str) -> bytes:
    tag, width = _layout(column_type)
    if value is None:
        return bytes(1 + width)
    if isinstance(value, int):
        return bytes((tag,)) + value.to_bytes(width, "little", signed=True)
    text = value.encode()
    if len(text) > MAX_TEXT_BYTES:
        raise LimitExceeded(
            f"a text that groups rows is longer than {MAX_TEXT_BYTES} bytes; group by a shorter column"
        )
    return (bytes((tag, len(text))) + text).ljust(1 + width, b"\0")


def _decode(field: bytes, column_type: str) -> int | str | None:
    """Return the value whose encoding is `field`.

    Raises:
        ValueError: there is none.
    """
    value: int | str | None = None
    if any(field):
        payload = field[1:]
        is_text = column_type == "VARCHAR"
        value = (
            payload[1 : 1 + payload[0]].decode()
            if is_text
            else int.from_bytes(payload, "little", signed=True)
        )
    if _encode(value, column_type) != field or (column_type == "BOOLEAN" and value not in (None, 0, 1)):
        raise ValueError
    return value
