"""From a part's Arrow rows to the columns that a provider puts into shares, padded to their public number.

Run by the provider, in plain. Batches are encoded as they come, so that of Arrow's memory one batch is held;
the sources of `code`, and the columns that enter, are held whole: the program takes them whole too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpc.sharing import BYTE
from records.errors import LimitExceeded, MalformedDocument
from sandbox.joint.tables import key_word, rings
from sandbox.sql.columns import encode_payload
from sandbox.sql.decimals import unscaled
from sandbox.sql.plan import LocalPart, PartColumn

Values: TypeAlias = npt.NDArray[Any]

_HASH_BYTES = 8
_NEITHER = 2
"""Stands for NULL among truth values."""
_LARGEST_EXACT = 2.0**62
"""Doubles below it are rounded to integers of 64 bits without a doubt."""


@dataclass(frozen=True, slots=True)
class PlainInput:
    """What a provider puts in: `columns` are the words (rows,) of all columns of shares, in their order.

    `valid` is 1 for rows that count, the others are zero throughout. Where it is `faulty`, all are.
    """

    columns: tuple[Values, ...]
    valid: Values
    faulty: bool = False


def encode_part(part: LocalPart, batches: Iterable[pa.RecordBatch], context: bytes) -> PlainInput:
    """Return the rows of a part as they enter shares; `context` is the key of `text`, equal at all providers.

    Raises:
        LimitExceeded: more rows than the part has, a value out of bounds, a text too long, or two rows with
            one key that is declared unique: the part cannot be put in (`faulty_part`).
        MalformedDocument: the rows lack a source, or have another type than a facet takes.
    """
    columns: list[list[Values]] = [[] for _ in part.columns]
    later = [item for item in part.columns if item.facet == "code"]
    kept: dict[str, list[pa.Array]] = {name: [] for item in later for name in item.sources}
    rows = 0
    for batch in batches:
        sources = _sources(part, batch)
        for found, item in zip(columns, part.columns, strict=True):
            if item.facet != "code":
                found.append(_encoded(item, sources, batch.num_rows, rows, context))
        for name, arrays in kept.items():
            arrays.append(sources[name])
        rows += batch.num_rows
        if rows > part.rows:
            raise LimitExceeded("a provider has more rows for this query than the plan allows")
    for found, item in zip(columns, part.columns, strict=True):
        if item.facet == "code" and rows:
            found.append(_codes([pa.concat_arrays(kept[name]) for name in item.sources], item.column.bits))
    by_name = {item.column.name: found for item, found in zip(part.columns, columns, strict=True)}
    for names in part.unique if rows else ():
        _check_unique([np.concatenate(by_name[name]) for name in names])
    return _padded(part, rows, columns)


def faulty_part(part: LocalPart) -> PlainInput:
    """Return what a provider puts in for a part that cannot be put in: no row, and the mark that says so."""
    empty = _padded(part, 0, [[] for _ in part.columns])
    return replace(empty, faulty=True)


def _padded(part: LocalPart, rows: int, columns: Sequence[Sequence[Values]]) -> PlainInput:
    arrays: list[Values] = []
    for item, found in zip(part.columns, columns, strict=True):
        columns_of_shares = rings(item.column)
        words = len(columns_of_shares)
        array = np.zeros((words, part.rows), dtype=columns_of_shares[0][1])
        start = 0
        for values in found:
            array[:, start : start + len(values)] = values.reshape(len(values), words).T.view(array.dtype)
            start += len(values)
        arrays.extend(array)
    valid = (np.arange(part.rows) < rows).astype(BYTE)
    return PlainInput(tuple(arrays), valid)


def _sources(part: LocalPart, batch: pa.RecordBatch) -> dict[str, pa.Array]:
    names = {name for item in part.columns for name in item.sources}
    if not names <= set(batch.schema.names):
        raise MalformedDocument("the rows of a part lack a column that enters shares")
    return {name: batch.column(name) for name in names}


def _encoded(
    item: PartColumn, sources: Mapping[str, pa.Array], rows: int, before: int, context: bytes
) -> Values:
    columns = [sources[name] for name in item.sources]
    match item.facet:
        case "number":
            return _scaled(columns[0], item)
        case "true" | "false":
            return _truth(columns[0], wanted=item.facet == "true")
        case "known":
            return _known(columns).astype(BYTE)
        case "value":
            return _value_keys(columns[0], item)
        case "text":
            return _hashes(columns, context)
        case "row":
            return _within_bits(np.arange(before + 1, before + rows + 1, dtype=np.uint64), item.column.bits)
        case "payload":
            return encode_payload(columns[0], item.type, item.column.words)
        case "code":
            raise MalformedDocument("places among values are taken of the whole column")


def _scaled(column: pa.Array, item: PartColumn) -> Values:
    """Return value · scale, rounded to the nearest integer, within its bounds; NULL is 0."""
    known = _known([column])
    values = np.where(known, _integers(column, item.scale), 0)
    shown = values[known]
    if shown.size and (int(shown.min()) < item.low or int(shown.max()) > item.high):
        raise _beyond()
    return values


def _value_keys(column: pa.Array, item: PartColumn) -> Values:
    values = _scaled(column, item)
    # Differences of integers of 64 bits need 64 bits without a sign: modular words have them.
    keys = values.view(np.uint64) - np.uint64(item.low % (1 << 64)) + np.uint64(1)
    return _within_bits(np.where(_known([column]), keys, np.uint64(0)), item.column.bits)


def _integers(column: pa.Array, scale: int) -> npt.NDArray[np.int64]:
    """Return value · scale of numbers, dates (days), timestamps (microseconds) or truth values."""
    kind = column.type
    if pa.types.is_floating(kind):
        scaled = np.rint(pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False) * float(scale))
        if not (np.abs(scaled) < _LARGEST_EXACT).all():  # NaN is not below
            raise _beyond()
        rounded: npt.NDArray[np.int64] = scaled.astype(np.int64)
        return rounded
    denominator = 1
    if pa.types.is_decimal(kind):
        denominator = 10**kind.scale
        column = unscaled(column)
    elif pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    try:
        whole: npt.NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise _beyond() from None
    if scale % denominator == 0:
        return _times(whole, scale // denominator)
    return _nearest(whole, scale, denominator)


def _times(values: npt.NDArray[np.int64], factor: int) -> npt.NDArray[np.int64]:
    least, greatest = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if least * factor < -(1 << 63) or greatest * factor >= 1 << 63:
        raise _beyond()
    return values * np.int64(factor)


def _nearest(values: npt.NDArray[np.int64], scale: int, denominator: int) -> npt.NDArray[np.int64]:
    """Return values · scale / denominator, rounded half away from zero: exact, quotient and rest apart."""
    magnitude = np.abs(values)
    quotient, rest = np.divmod(magnitude, np.int64(denominator))
    if (magnitude < 0).any() or denominator * scale >= 1 << 62:
        raise _beyond()
    rounded = _times(quotient, scale) + (rest * scale * 2 + denominator) // (2 * denominator)
    return np.asarray(np.where(values < 0, -rounded, rounded))


def _truth(column: pa.Array, *, wanted: bool) -> Values:
    if not pa.types.is_boolean(column.type):
        raise MalformedDocument("a truth value enters shares that is none")
    truth = pc.fill_null(column.cast(pa.uint8()), _NEITHER).to_numpy() == int(wanted)
    return np.asarray(truth, dtype=BYTE)


def _codes(columns: Sequence[pa.Array], bits: int) -> Values:
    """Return the place of each row's tuple among the different ones, from 1; 0 where a value is NULL."""
    known = _known(columns)
    codes = np.zeros(len(known), dtype=np.uint64)
    _, places = np.unique(_tuple_places(columns)[known], return_inverse=True)
    codes[known] = places.astype(np.uint64) + np.uint64(1)
    return _within_bits(codes, bits)


def _hashes(columns: Sequence[pa.Array], context: bytes) -> Values:
    """Return 1 + the first 63 bits of a keyed hash of each row's tuple, 0 where a value is NULL.

    Two of M different tuples agree with probability below M² / 2^64 over the key: 2·10^-9 for M = 200,000.
    """
    known = _known(columns)
    hashes = np.zeros(len(known), dtype=np.uint64)
    _, rows, places = np.unique(_tuple_places(columns)[known], return_index=True, return_inverse=True)
    different = np.flatnonzero(known)[rows]
    octets = [_octets(_comparable(column).take(pa.array(different))) for column in columns]
    digests = [_hash(values, context) for values in zip(*octets, strict=True)]
    hashes[known] = np.array(digests, dtype=np.uint64)[places]
    return hashes


def _tuple_places(columns: Sequence[pa.Array]) -> npt.NDArray[np.int64]:
    """Return a number for each row that orders and tells apart its tuple; texts in binary order.

    NaN is one value, the greatest number; NULL is behind it.
    """
    places = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        encoded = _comparable(column).dictionary_encode()
        order = pc.array_sort_indices(encoded.dictionary).to_numpy()
        ranks = np.empty(len(order) + 1, dtype=np.int64)
        ranks[order], ranks[-1] = np.arange(len(order)), len(order)
        own = ranks[pc.fill_null(encoded.indices, len(order)).to_numpy()]
        # Dense again behind each column, so that products stay below the square of the rows.
        _, places = np.unique(places * ranks.size + own, return_inverse=True)
    return places.astype(np.int64, copy=False)


def _comparable(column: pa.Array) -> pa.Array:
    """Return a column whose equal values are equal in every bit, and which Arrow sorts."""
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int8())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), float("nan"), pc.add(column, 0.0))  # -0.0 is 0.0
    return column


def _octets(column: pa.Array) -> list[bytes]:
    if pa.types.is_string(column.type):
        return [text.encode() for text in column.to_pylist()]
    width = column.type.bit_width // 8
    data = column.buffers()[1].to_pybytes() if len(column) else b""
    start = column.offset * width
    return [data[start + k * width : start + (k + 1) * width] for k in range(len(column))]


def _hash(values: Sequence[bytes], context: bytes) -> int:
    digest = blake2b(key=context, digest_size=_HASH_BYTES)
    for value in values:
        digest.update(len(value).to_bytes(_HASH_BYTES, "little") + value)
    return (int.from_bytes(digest.digest(), "little") >> 1) + 1


def _check_unique(keys: Sequence[Values]) -> None:
    """Return if no two rows agree in all keys; rows with a NULL do not count."""
    known = np.logical_and.reduce([key != 0 for key in keys])
    rows = np.stack([key[known] for key in keys], axis=1)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise LimitExceeded("two rows have one key that is declared unique")


def _known(columns: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
    known = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
    return np.asarray(known)


def _within_bits(keys: Values, bits: int) -> Values:
    if keys.size and int(keys.max()) >= 1 << bits:
        raise _beyond()
    return keys.astype(key_word(bits))


def _beyond() -> LimitExceeded:
    return LimitExceeded("a value is outside the bounds that the plan was made with")
