from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.prg import Shape, Words, open_stream
from mpc.relational import kernels as relational_kernels
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


@given(st.integers(0, 300))
def test_a_random_order_has_every_row_once(count: int) -> None:
    order = random_permutation(open_stream(bytes(32), "permutation"), count)
    assert order.dtype == WORD32
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    np.testing.assert_array_equal(order[inverse(order)], np.arange(count))


def test_two_draws_of_a_stream_differ_and_equal_streams_agree() -> None:
    first, second = (open_stream(bytes(32), "permutation") for _ in "ab")
    draws = [random_permutation(stream, 50).tolist() for stream in (first, first, second, second)]
    assert draws[0] == draws[2] != draws[1] == draws[3]


def test_a_biased_word_is_replaced_by_the_next_of_the_stream() -> None:
    # Place 2 takes the high half of 3·word; 2^32 mod 3 = 1, so the word 0 alone would favour place 0.
    accepted = 3 << 30  # high half of 3·word: 2
    tape = Tape([0, 1 << 31, 0], [accepted])
    assert random_permutation(tape, 3).tolist() == [0, 1, 2]
    assert tape.left == 0


def test_a_word_is_replaced_until_it_is_unbiased() -> None:
    tape = Tape([0, 0, 0], [0], [0], [1 << 30], [7])
    assert random_permutation(tape, 3).tolist() == [2, 0, 1]
    assert tape.left == 1


@pytest.mark.parametrize("rows", [[0, 0], [0, 2], [1, 2, 3], [4294967295]])
def test_rows_that_are_no_permutation_are_evidence(rows: list[int]) -> None:
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

    order = np.empty_like(targets)
    loops.swapped(targets, order)
    np.testing.assert_array_equal(order, relational_kernels.swapped(targets))

    undone = np.full_like(order, count)
    assert loops.inverse_of(order, undone)
    np.testing.assert_array_equal(undone, relational_kernels.inverse_of(order))
    if count > 1:
        order[0] = order[1]
        assert not loops.inverse_of(order, np.full_like(order, count))
        assert not loops.inverse_of(order + np.uint32(count), np.full_like(order, count))

    moved = np.empty_like(targets)
    loops.gathered(words[1], targets, moved)
    np.testing.assert_array_equal(moved, relational_kernels.gathered(words[1], targets))


@pytest.mark.parametrize("marks", [1, 3])
def test_long_columns_take_the_compiled_path_with_equal_results(
    marks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    from mpc.relational import compiled as loops

    own, following = open_stream(bytes(32), "input").words((2, marks, 999), WORD32)
    stream = [open_stream(bytes(32), "permutation") for _ in "ab"]
    reference = relational_kernels.rank_terms(own, following, (0, 1)), random_permutation(stream[0], 999)
    monkeypatch.setattr(relational_kernels, "_loops", lambda count: loops)
    compiled = relational_kernels.rank_terms(own, following, (0, 1)), random_permutation(stream[1], 999)
    for expected, found in zip(reference, compiled, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(inverse(compiled[1]), np.argsort(reference[1]))
    assert relational_kernels.inverse_of(np.zeros(9, dtype=WORD32)) is None
    np.testing.assert_array_equal(relational_kernels.gathered(own[0], compiled[1]), own[0][reference[1]])
