from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc.prg import Shape, Words, open_stream
from mpc.relational import kernels as relational_kernels
from mpc.relational import permutation as drawing
from mpc.relational.permutation import inverse, random_permutation
from mpc.sharing import WORD32
from records.errors import EvidenceError


class Tape:
    """A word stream that plays back given vectors."""

    def __init__(self, *vectors: list[int]) -> None:
        self._vectors = list(vectors)
        self.position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint32]) -> Words:
        return np.array(self._vectors.pop(0), dtype=dtype).reshape(shape)

    @property
    def left(self) -> int:
        return len(self._vectors)


@pytest.fixture(params=["one bucket", "many buckets"])
def in_buckets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Deal rows to buckets however few they are, or leave them in one."""
    many: bool = request.param == "many buckets"
    if many:
        monkeypatch.setattr(drawing, "_AT_ONCE", 0)
    return many


@pytest.mark.parametrize("count", [0, 1, 2, 255, 1000])
def test_a_random_permutation_has_every_row_once_and_is_undone(in_buckets: bool, count: int) -> None:
    permutation = random_permutation(open_stream(bytes(32), "permutation"), count)
    rows, column = permutation.rows, np.arange(count, dtype=np.uint64) << 40
    assert rows.dtype == WORD32
    assert permutation.digits.size == (count if in_buckets else 0)
    np.testing.assert_array_equal(np.sort(rows), np.arange(count))
    np.testing.assert_array_equal(rows[inverse(rows)], np.arange(count))
    np.testing.assert_array_equal(permutation.apply(column), column[rows])
    np.testing.assert_array_equal(permutation.undo(column), column[inverse(rows)])


@pytest.mark.usefixtures("in_buckets")
def test_two_draws_of_a_stream_differ_and_equal_streams_agree() -> None:
    first, second = (open_stream(bytes(32), "permutation") for _ in "ab")
    draws = [random_permutation(stream, 50).rows.tolist() for stream in (first, first, second, second)]
    assert draws[0] == draws[2] != draws[1] == draws[3]


def test_rows_are_dealt_by_digits_and_swapped_within_their_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_AT_ONCE", 3)
    # Bucket 0 holds rows 1 and 3, which swap; bucket 7 holds rows 0, 2 and 4, of which 4 swaps with 0.
    tape = Tape([7, 0, 7, 0, 7], [9, 0, 9, 1 << 31, 1])
    assert random_permutation(tape, 5).rows.tolist() == [3, 1, 4, 2, 0]
    assert tape.left == 0


def test_a_biased_word_of_a_bucket_is_drawn_again_for_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_AT_ONCE", 3)
    # The third place of bucket 7 draws 0, which is biased there; then it stays where it is.
    tape = Tape([7, 0, 7, 0, 7], [9, 0, 9, 1 << 31, 0], [3 << 30])
    assert random_permutation(tape, 5).rows.tolist() == [3, 1, 0, 2, 4]
    assert tape.left == 0


def test_a_biased_word_is_replaced_by_the_next_of_the_stream() -> None:
    # Place 2 takes the high half of 3·word; 2^32 mod 3 = 1, so the word 0 alone would favour place 0.
    accepted = 3 << 30  # high half of 3·word: 2
    tape = Tape([0, 1 << 31, 0], [accepted])
    assert random_permutation(tape, 3).rows.tolist() == [0, 1, 2]
    assert tape.left == 0


def test_a_word_is_replaced_until_it_is_unbiased() -> None:
    tape = Tape([0, 0, 0], [0], [0], [1 << 30], [7])
    assert random_permutation(tape, 3).rows.tolist() == [2, 0, 1]
    assert tape.left == 1


@pytest.mark.parametrize("rows", [[0, 0], [0, 2], [1, 2, 3], [4294967295]])
@pytest.mark.parametrize("compiled", [False, True])
def test_rows_that_are_no_permutation_are_evidence(
    rows: list[int], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled:
        loops = pytest.importorskip("mpc.relational.compiled", exc_type=ImportError)
        monkeypatch.setattr(relational_kernels, "_loops", lambda count: loops)
    with pytest.raises(EvidenceError):
        inverse(np.array(rows, dtype=WORD32))


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("marks", [1, 3])
def test_compiled_kernels_agree_with_numpy_bit_for_bit(count: int, marks: int) -> None:
    loops = pytest.importorskip("mpc.relational.compiled", exc_type=ImportError)
    words = open_stream(bytes(32), "input").words((2 * marks + 1, count), WORD32)
    words[0, ::3] = 0  # biased, except in places of a power of two
    places = np.arange(count, dtype=WORD32)

    targets, rejected = relational_kernels.lemire_targets(words[0], places)
    found, again = np.empty_like(targets), np.empty(count, dtype=np.intp)
    biased = loops.lemire_targets(words[0], places, found, again)
    np.testing.assert_array_equal(found, targets)
    np.testing.assert_array_equal(again[:biased], rejected)


@pytest.mark.usefixtures("in_buckets")
@pytest.mark.parametrize("count", [1, 2, 999])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_compiled_permutations_agree_with_numpy_bit_for_bit(
    count: int, dtype: type[np.unsignedinteger[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = pytest.importorskip("mpc.relational.compiled", exc_type=ImportError)
    column = open_stream(bytes(32), "input").words((count,), np.dtype(dtype))

    def results() -> tuple[Words, ...]:
        stream = open_stream(bytes(32), "permutation")
        drawn = random_permutation(stream, count)
        moved = (drawn.apply(column), drawn.undo(column))
        return (drawn.digits, drawn.sizes, drawn.order, drawn.rows, inverse(drawn.rows), *moved)

    reference = results()
    monkeypatch.setattr(relational_kernels, "_loops", lambda count: loops)
    for expected, found in zip(reference, results(), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("marks", [1, 3])
def test_long_columns_take_the_compiled_path_with_equal_results(
    marks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    from mpc.relational import compiled as loops

    own, following = open_stream(bytes(32), "input").words((2, marks, 999), WORD32)
    reference = relational_kernels.rank_terms(own, following, (0, 1))
    monkeypatch.setattr(relational_kernels, "_loops", lambda count: loops)
    np.testing.assert_array_equal(relational_kernels.rank_terms(own, following, (0, 1)), reference)
