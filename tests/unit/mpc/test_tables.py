from __future__ import annotations

import numpy as np
import pytest

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.bit_columns import (
    byte_column,
    equal_words,
    inverted,
    masked_numbers,
    masked_words,
    packed_bits,
)
from mpc.relational.radix_sort import SortKey
from mpc.relational.tables import Rows, check_distinct, check_values, repeated, row_openings, sort_rows
from mpc.sharing import WORD32, Shared, decode
from records.errors import InputError
from tests.unit.mpc.relations import bits_of, columns_of, either_sort, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols


@pytest.mark.parametrize("values", [[], [0], [0, 15], [3, 3]])
def test_an_owner_finds_its_keys_within_the_declared_bits(values: list[int]) -> None:
    check_values(np.array(values, dtype=np.int64), 4)


@pytest.mark.parametrize("values", [[16], [-1, 3], [0.5], [np.nan], [np.inf], ["1"], [True]])
def test_an_owner_is_told_of_keys_that_would_be_cut(values: list[object]) -> None:
    with pytest.raises(InputError):
        check_values(np.array(values), 4)


def test_an_owner_is_told_of_a_primary_key_that_occurs_twice() -> None:
    check_distinct(np.array([3, 1, 2]))
    check_distinct(np.array([], dtype=np.int64))
    with pytest.raises(InputError, match="twice"):
        check_distinct(np.array([3, 1, 3]))


def test_rows_that_do_not_fit_together_are_refused() -> None:
    key, short = SortKey(shared_words([1, 2])[0], 2), SortKey(shared_words([1])[0], 2)
    octets, words = shared_words([1], np.uint8)[0], shared_words([1, 1])[0]
    for keys, valid in (((), None), ((key, short), None), ((key,), octets), ((key,), words)):
        with pytest.raises(InputError):
            Rows(keys, valid)


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_packed_bits_and_bytes_are_one_another(count: int) -> None:
    bits = np.arange(count) % 3 % 2
    column = shared_words(bits, np.uint8)

    def program(party: Party) -> list[Shared]:
        packed = packed_bits(column[party.index])
        return [packed, inverted(party, packed), byte_column(packed, count)]

    packed, inverse, octets = opened(run(program))
    np.testing.assert_array_equal(bits_of(packed, count), bits)
    np.testing.assert_array_equal(bits_of(inverse, count), 1 - bits)
    np.testing.assert_array_equal(octets & 1, bits)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8"])
def test_columns_are_equal_in_the_bits_that_count(dtype: str) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    x = np.array([0, 1, (1 << bits) - 1, 1 << bits - 1, 5], dtype=dtype)
    y = np.array([0, 3, (1 << bits) - 1, 0, 5], dtype=dtype)
    share_x, share_y, other = (
        shared_words(x, dtype),
        shared_words(y, dtype),
        shared_words([0, 0, 0, 0, 1], dtype),
    )

    def program(party: Party) -> list[Shared]:
        i = party.index
        zero = other[i] ^ other[i]
        return [
            equal_words(party, [(share_x[i], share_y[i], bits)]),
            equal_words(party, [(share_x[i], share_y[i], 1)]),
            equal_words(party, [(share_x[i], share_y[i], bits), (other[i], zero, 1)]),
        ]

    full, lowest, both = (bits_of(packed, 5).tolist() for packed in opened(run(program)))
    assert full == [True, False, True, False, True]
    assert lowest == [True] * 5 if bits == 1 else lowest == [True, True, True, True, True]
    assert both == [True, False, True, False, False]


def test_masks_clear_words_and_numbers_of_every_width() -> None:
    bits = np.array([1, 0, 0, 1, 1, 0, 1, 0, 1])
    column = shared_words(bits, np.uint8)
    numbers = [shared(-np.arange(9) - 1), shared(np.arange(9) + 1, WORD32)]
    words = [shared_words(np.arange(9) + 1, dtype) for dtype in ("u1", "u4", "u8")]

    def program(party: Party) -> list[Shared]:
        i = party.index
        packed = packed_bits(column[i])
        return columns_of(
            masked_words(party, packed, [word[i] for word in words]),
            masked_numbers(party, packed, [number[i] for number in numbers]),
            masked_numbers(party, packed, []),
        )

    *found, wide, narrow = opened(run(program))
    for column_found in (*found, narrow):
        np.testing.assert_array_equal(column_found, (np.arange(9) + 1) * bits)
    np.testing.assert_array_equal(decode(wide), -(np.arange(9) + 1) * bits)


@pytest.mark.parametrize("filtered", [False, True])
def test_sorted_rows_carry_their_columns_and_invalid_ones_go_last(filtered: bool) -> None:
    key, number, valid = [3, 1, 2, 1, 0], [30, 10, 20, 11, 0], [1, 1, 0, 1, 1] if filtered else [1] * 5
    keys, numbers, marks = shared_words(key), shared(number), shared_words(valid, np.uint8)
    letters = shared_words([3, 1, 2, 11, 0], np.uint16)

    def program(party: Party) -> list[Shared]:
        i = party.index
        rows = Rows((SortKey(keys[i], 2),), marks[i] if filtered else None)
        table = sort_rows(party, rows, rows.keys, [numbers[i]], "t", words=[letters[i]])
        party.finish()
        first = table.first(3)
        packed = [] if first.valid is None else [first.valid]
        return columns_of(table.keys, table.numbers, table.words, first.keys, first.words, packed)

    manifest = Manifest(row_openings("t", 5, [1, 2] if filtered else [2]))
    words, moved, letter, first, first_letter, *packed = opened(run(program, manifest))
    order = [4, 1, 3, 0, 2] if filtered else [4, 1, 3, 2, 0]
    assert words.tolist() == [key[row] for row in order]
    assert moved.tolist() == [number[row] for row in order]
    assert letter.tolist() == [[3, 1, 2, 11, 0][row] for row in order]
    assert first.tolist() == words[:3].tolist()
    assert first_letter.tolist() == letter[:3].tolist()
    assert [bits_of(column, 3).all() for column in packed] == ([True] if filtered else [])


def test_rows_without_an_order_are_parted_by_their_valid_bits() -> None:
    valid, number = shared_words([0, 1, 0, 1], np.uint8), shared([1, 2, 3, 4])

    def program(party: Party) -> list[Shared]:
        i = party.index
        return list(sort_rows(party, Rows((), valid[i]), (), [number[i]], "t").numbers)

    assert opened(run(program, Manifest(row_openings("t", 4, [1]))))[0].tolist() == [2, 4, 1, 3]
    key = SortKey(shared_words([1])[0], 1)
    with pytest.raises(InputError, match="at least one key"):
        run(lambda party: sort_rows(party, Rows((key,)), (), [], "t"))


def test_a_row_is_repeated() -> None:
    number, word = shared([-7]), shared_words([9], np.uint16)
    found = opened(run(lambda p: [repeated(number[p.index], 3), repeated(word[p.index], 2)]))
    assert [column.tolist() for column in (decode(found[0]), found[1])] == [[-7] * 3, [9] * 2]
