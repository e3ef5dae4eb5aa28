from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from mpc.sharing import (
    BYTE,
    WORD,
    WORD32,
    Arithmetic,
    Boolean,
    concatenate,
    decode,
    encode,
    from_bytes,
    reconstruct,
    require_one_ring,
    split,
    stack,
    to_bytes,
)
from records.errors import InputError, MalformedDocument
from tests.unit.mpc.columns import Column, columns
from tests.unit.mpc.three_parties import shared, values_of, words_of


@given(columns())
def test_split_reconstructs_and_linear_operators_agree_with_numpy(
    drawn: tuple[np.dtype[Any], list[Column]],
) -> None:
    dtype, (x, y) = drawn
    shares_x, shares_y = shared(x, dtype), shared(y, dtype)
    np.testing.assert_array_equal(values_of(shares_x), x)
    cases = [
        (x + y, [a + b for a, b in zip(shares_x, shares_y, strict=True)]),
        (x - y, [a - b for a, b in zip(shares_x, shares_y, strict=True)]),
        (-x, [-a for a in shares_x]),
        (x * 7, [a * 7 for a in shares_x]),
        (x * -1, [a * -1 for a in shares_x]),
        (x * y, [a * encode(y, dtype) for a in shares_x]),
        (x * y, [a * y.astype(np.int64) for a in shares_x]),
        (x[::-1], [a[::-1] for a in shares_x]),
        (np.concatenate([x, y]), [concatenate([a, b]) for a, b in zip(shares_x, shares_y, strict=True)]),
        (np.stack([x, y]), [stack([a, b]) for a, b in zip(shares_x, shares_y, strict=True)]),
        (
            np.stack([x, y]).sum(axis=0, dtype=x.dtype),
            [stack([a, b]).sum(0) for a, b in zip(shares_x, shares_y, strict=True)],
        ),
    ]
    for expected, shares in cases:
        np.testing.assert_array_equal(values_of(shares), expected)


def test_boolean_shares_add_by_xor_and_scale_by_and() -> None:
    words = np.frombuffer(secrets.token_bytes(7), dtype=np.uint8)
    other = np.frombuffer(secrets.token_bytes(7), dtype=np.uint8)
    zeros = np.zeros_like(words)
    shares = [Boolean(words, zeros), Boolean(zeros, other), Boolean(other, words)]
    np.testing.assert_array_equal(words_of(shares), words ^ other)
    np.testing.assert_array_equal(words_of([s ^ s for s in shares]), zeros)
    np.testing.assert_array_equal(words_of([s & 5 for s in shares]), (words ^ other) & 5)


def test_each_share_alone_is_uniform_noise_of_the_given_source() -> None:
    drawn = [secrets.token_bytes(24), secrets.token_bytes(24)]
    supply = iter(drawn)
    first, second, third = split([1, 2, 3], lambda count: next(supply))
    assert to_bytes(first.own) == drawn[0]
    assert to_bytes(first.next) == to_bytes(second.own) == drawn[1]
    np.testing.assert_array_equal(second.next, third.own)


def test_representation_shows_shape_only() -> None:
    assert repr(shared([5, 6])[0]) == "Arithmetic(shape=(2,))"


@pytest.mark.parametrize("values", [[0.5], ["1"], 3, [None]])
def test_what_is_no_array_of_integers_is_refused(values: object) -> None:
    with pytest.raises(InputError):
        encode(values)  # type: ignore[arg-type]


def test_encoding_keeps_truth_values_tags_and_narrow_integers() -> None:
    assert encode([True, False]).tolist() == [1, 0]
    assert encode(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [2**64 - 1]
    assert decode(encode(np.array([-3], dtype=np.int8))).tolist() == [-3]


@given(columns(count=1))
def test_narrowing_keeps_what_fits_and_is_local(drawn: tuple[np.dtype[Any], list[Column]]) -> None:
    _, (x,) = drawn
    narrow = [share.narrow(BYTE) for share in shared(x)]
    np.testing.assert_array_equal(values_of(narrow), x.astype(np.int8))


def test_widening_and_mixing_rings_are_refused() -> None:
    wide, narrow = shared([1])[0], shared([1], WORD32)[0]
    with pytest.raises(InputError):
        narrow.narrow(WORD)
    with pytest.raises(InputError):
        wide + narrow
    with pytest.raises(InputError):
        narrow - wide
    with pytest.raises(InputError):
        require_one_ring(wide, Boolean(wide.own, wide.next))
    with pytest.raises(InputError):
        reconstruct(wide.own, wide.next, narrow.own)


@pytest.mark.parametrize("value", [-(1 << 31) - 1, 1 << 31, 1 << 40])
def test_values_that_a_narrow_word_cannot_hold_are_refused_without_showing_them(value: int) -> None:
    with pytest.raises(InputError) as refusal:
        encode([0, value], WORD32)
    assert str(value) not in str(refusal.value)
    assert encode([-(1 << 31), (1 << 31) - 1], WORD32).tolist() == [1 << 31, (1 << 31) - 1]
    assert encode(np.array([(1 << 32) - 1], np.uint32), WORD32).tolist() == [(1 << 32) - 1]


def test_what_is_read_can_be_written_to() -> None:
    assert from_bytes(bytes(16), (2,)).flags.writeable


def test_bytes_are_little_endian_and_of_the_announced_length() -> None:
    assert to_bytes(encode([1, 256])) == b"\x01" + bytes(7) + b"\x00\x01" + bytes(6)
    assert from_bytes(to_bytes(encode([[1, 2]])), (1, 2)).tolist() == [[1, 2]]
    with pytest.raises(MalformedDocument):
        from_bytes(bytes(9), (1,))


def test_shares_of_unlike_shape_or_without_axis_are_refused() -> None:
    word = np.zeros(1, dtype=np.uint64)
    for own, following in ((word, np.zeros(2, dtype=np.uint64)), (word.reshape(()), word.reshape(()))):
        with pytest.raises(InputError):
            Arithmetic(own, following)
    with pytest.raises(InputError):
        Arithmetic(word.view(np.int64), word.view(np.int64))
