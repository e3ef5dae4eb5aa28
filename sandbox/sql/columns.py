"""Values of columns as 64-bit words, so that they can be shared, moved, and shown to the buyer at the end.

A value has at least one bit set, so that all-zero words are NULL. One word holds

    BOOLEAN        1 for FALSE, 2 for TRUE
    BIGINT         value + 2^63, which leaves out -2^63
    TIMESTAMP      microseconds + 2^63
    DATE           days + 2^31 + 1
    DOUBLE         IEEE bits ⊕ a NaN that no engine writes; every NaN is one NaN
    DECIMAL(p,s)   value · 10^s + 10^p, for p ≤ 18

A wider DECIMAL is two words, value · 10^s + 10^38, the lower first. A VARCHAR is its length in bytes + 1 in
16 bits, then its UTF-8, then zeros. Words are little-endian. One value has one encoding: `decode_payload`
refuses all others.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.column_types import arrow_type
from records.errors import EvidenceError, LimitExceeded, MalformedDocument
from sandbox.sql.catalogue import is_decimal
from sandbox.sql.decimals import INTEGERS, scaled

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

WORD_BYTES = 8
MAX_TEXT_BYTES = (1 << 16) - 2
_LENGTH_BYTES = 2
_ONE_WORD_DIGITS = 18
_LOW_64 = (1 << 64) - 1
_WIDE_BIAS = 10**38
_TOP = np.uint64(1 << 63)
_DAYS_BIAS = (1 << 31) + 1
_NAN = np.uint64(0x7FF8_0000_0000_0000)
_NO_DOUBLE = np.uint64(0x7FF8_0000_0000_0001)
_INFINITY = np.uint64(0x7FF0_0000_0000_0000)


def payload_words(column_type: str, max_bytes: int = 0) -> int:
    """Return the words of one value; `max_bytes` bounds a VARCHAR, and is at most `MAX_TEXT_BYTES`."""
    if column_type == "VARCHAR":
        return -(-(_LENGTH_BYTES + max_bytes) // WORD_BYTES)
    return 2 if is_decimal(column_type) and not _is_narrow(column_type) else 1


def encode_payload(array: pa.Array, column_type: str, words: int) -> Words:
    """Return the values (n,) as words (n, `words`).

    Raises:
        LimitExceeded: a text is longer than its words hold, or a value does not fit the type.
    """
    try:
        column = array.cast(arrow_type(column_type))
    except pa.ArrowInvalid:
        raise _beyond() from None
    known = _known(column)
    if column_type == "VARCHAR":
        return _encode_texts(column, known, words)
    if is_decimal(column_type) and not _is_narrow(column_type):
        return _encode_wide(column, known)
    encoded = np.where(known, _encode_words(column, column_type), np.uint64(0))
    if not encoded[known].all():
        raise _beyond()
    return encoded.reshape(-1, 1)


def decode_payload(words: Words, column_type: str) -> pa.Array:
    """Return the values of opened words (n, w).

    Raises:
        EvidenceError: a row that `encode_payload` cannot have written.
    """
    known: Mask = np.asarray(words.any(axis=1))
    try:
        if column_type == "VARCHAR":
            return _decode_texts(words, known)
        if words.shape[1] != payload_words(column_type):
            raise _forged()
        if is_decimal(column_type) and not _is_narrow(column_type):
            return _decode_wide(words, known, arrow_type(column_type))
        return _decode_words(np.ascontiguousarray(words[:, 0]), known, column_type)
    except pa.ArrowInvalid:
        raise _forged() from None


def decode_numbers(values: npt.NDArray[np.int64], column_type: str, scale: int) -> pa.Array:
    """Return integers (n,) divided by `scale` as values of a type: days of a DATE, else microseconds.

    Raises:
        EvidenceError: a value that the type does not have.
        MalformedDocument: the quotient by the scale is no value of the type.
    """
    kind = arrow_type(column_type)
    if column_type == "DOUBLE":
        return pa.array(values / float(scale), kind)
    unit = 10**kind.scale if is_decimal(column_type) else 1
    if unit % scale:
        raise MalformedDocument("the plan divides integers by another scale than their type has")
    integers = pa.array(values)
    try:
        if is_decimal(column_type):
            factor = pa.scalar(Decimal(unit // scale), pa.decimal256(38, 0))
            product = pc.multiply(integers.cast(pa.decimal256(19, 0)), factor)
            return scaled(product.cast(INTEGERS), kind)
        return integers.cast(pa.int32()).cast(kind) if column_type == "DATE" else integers.cast(kind)
    except pa.ArrowInvalid:
        raise _forged() from None


def _encode_words(column: pa.Array, column_type: str) -> Words:
    if is_decimal(column_type):
        low: Words = _halves(column)[:, 0]
        return low + np.uint64(10**column.type.precision)
    if column_type == "BOOLEAN":
        return _stored(column, pa.uint8()).astype(np.uint64) + np.uint64(1)
    if column_type == "DATE":
        return (_stored(column, pa.int32()).astype(np.int64) + _DAYS_BIAS).view(np.uint64)
    if column_type == "DOUBLE":
        values = _stored(column, pa.float64())
        return np.where(np.isnan(values), _NAN, values.view(np.uint64)) ^ _NO_DOUBLE
    return _stored(column, pa.int64()).view(np.uint64) ^ _TOP


def _decode_words(words: Words, known: Mask, column_type: str) -> pa.Array:
    shown = words[known]
    if is_decimal(column_type):
        kind = arrow_type(column_type)
        _require_below(shown, 2 * 10**kind.precision)
        low = words - np.uint64(10**kind.precision)
        high = np.where(low >> np.uint64(63), np.uint64(_LOW_64), np.uint64(0))
        return _from_halves(np.stack([low, high], axis=1), known, kind)
    if column_type == "BOOLEAN":
        _require_below(shown, 3)
        return pa.array(words == 2, pa.bool_(), mask=~known)
    if column_type == "DATE":
        _require_below(shown, (1 << 32) + 1)
        days = np.where(known, words, np.uint64(_DAYS_BIAS)).view(np.int64) - _DAYS_BIAS
        return pa.array(days.astype(np.int32), pa.int32(), mask=~known).cast(pa.date32())
    if column_type == "DOUBLE":
        bits = words ^ _NO_DOUBLE
        is_nan = (bits & ~_TOP) > _INFINITY
        if (bits[is_nan & known] != _NAN).any():
            raise _forged()
        return pa.array(bits.view(np.float64), pa.float64(), mask=~known)
    return pa.array((words ^ _TOP).view(np.int64), pa.int64(), mask=~known).cast(arrow_type(column_type))


def _encode_wide(column: pa.Array, known: Mask) -> Words:
    halves = _halves(column)
    low = halves[:, 0] + np.uint64(_WIDE_BIAS & _LOW_64)
    carry = (low < halves[:, 0]).astype(np.uint64)
    encoded = np.stack([low, halves[:, 1] + np.uint64(_WIDE_BIAS >> 64) + carry], axis=1)
    return np.where(known[:, np.newaxis], encoded, np.uint64(0))


def _decode_wide(words: Words, known: Mask, kind: pa.DataType) -> pa.Array:
    low = words[:, 0] - np.uint64(_WIDE_BIAS & _LOW_64)
    borrow = (low > words[:, 0]).astype(np.uint64)
    halves = np.stack([low, words[:, 1] - np.uint64(_WIDE_BIAS >> 64) - borrow], axis=1)
    return _from_halves(halves, known, kind)


def _encode_texts(column: pa.Array, known: Mask, words: int) -> Words:
    texts = column.fill_null("")
    count, width = len(texts), words * WORD_BYTES
    if count == 0:
        return np.zeros((0, words), dtype=np.uint64)
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[texts.offset : texts.offset + count + 1]
    lengths = np.diff(offsets)
    if int(lengths.max()) > min(width - _LENGTH_BYTES, MAX_TEXT_BYTES):
        raise LimitExceeded("a text is longer than its declared bound; declare more bytes")
    encoded = np.zeros(count * width, dtype=np.uint8)
    first, last = int(offsets[0]), int(offsets[-1])
    if last > first:
        data = np.frombuffer(data_buffer, dtype=np.uint8)[first:last]
        starts = np.arange(count) * width + _LENGTH_BYTES - offsets[:-1]
        encoded[np.repeat(starts, lengths) + np.arange(first, last)] = data
    rows = encoded.reshape(count, width)
    rows[:, :_LENGTH_BYTES] = np.where(known, lengths + 1, 0).astype("<u2").view(np.uint8).reshape(count, -1)
    return rows.view("<u8").astype(np.uint64, copy=False)


def _decode_texts(words: Words, known: Mask) -> pa.Array:
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    count, width = octets.shape
    stored = octets[:, :_LENGTH_BYTES].copy().view("<u2")[:, 0].astype(np.int64)
    lengths = np.where(known, stored - 1, 0)
    if (lengths < 0).any() or (lengths > width - _LENGTH_BYTES).any():
        raise _forged()
    places = np.arange(width) - _LENGTH_BYTES
    inside = (places >= 0) & (places < lengths[:, np.newaxis])
    if octets[(places >= 0) & ~inside].any():
        raise _forged()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    validity = pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(octets[inside].tobytes())]
    texts = pa.Array.from_buffers(pa.string(), count, buffers)
    texts.validate(full=True)
    return texts


def _stored(column: pa.Array, kind: pa.DataType) -> npt.NDArray[Any]:
    """Return the numbers that Arrow stores the values as; anything where one is NULL."""
    values: npt.NDArray[Any] = pc.fill_null(column.cast(kind), 0).to_numpy(zero_copy_only=False)
    return values


def _halves(column: pa.Array) -> Words:
    """Return value · 10^s of a DECIMAL in two's complement, (n, 2), the lower word first."""
    if len(column) == 0:
        return np.zeros((0, 2), dtype=np.uint64)
    halves = np.frombuffer(column.buffers()[1], dtype="<u8").reshape(-1, 2)
    return halves[column.offset : column.offset + len(column)].astype(np.uint64, copy=False)


def _from_halves(halves: Words, known: Mask, kind: pa.DataType) -> pa.Array:
    validity = pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    digits = np.where(known[:, np.newaxis], halves, np.uint64(0)).astype("<u8", copy=False)
    column = pa.Array.from_buffers(kind, len(halves), [validity, pa.py_buffer(digits.tobytes())])
    column.validate(full=True)
    return column


def _known(column: pa.Array) -> Mask:
    known: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return known


def _is_narrow(column_type: str) -> bool:
    return int(arrow_type(column_type).precision) <= _ONE_WORD_DIGITS


def _require_below(words: Words, bound: int) -> None:
    if (words >= np.uint64(bound)).any():
        raise _forged()


def _forged() -> EvidenceError:
    return EvidenceError("an opened value is not in canonical form; void the attempt")


def _beyond() -> LimitExceeded:
    return LimitExceeded("a value does not fit the type that its column was planned with")
