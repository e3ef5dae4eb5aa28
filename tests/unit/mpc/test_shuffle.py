from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.prg import Shape, Words
from mpc.sharing import Arithmetic
from mpc.shuffle import random_permutation, shuffle
from records.errors import InputError
from tests.unit.mpc.three_parties import run, shared, values_of


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(1, 3))
def test_all_columns_move_together_and_no_row_is_lost(count: int, columns: int) -> None:
    table = np.arange(count * columns).reshape(columns, count)
    shares = [shared(column) for column in table]
    session = run(lambda party: shuffle(party, [share[party.index] for share in shares]))
    shuffled = np.stack([values_of(column) for column in zip(*session.results, strict=True)])
    np.testing.assert_array_equal(shuffled[:, np.argsort(shuffled[0])], table)


def test_two_shuffles_of_a_session_differ() -> None:
    share = shared(np.arange(50))

    def program(party: object) -> tuple[Arithmetic, Arithmetic]:
        column = [share[party.index]]  # type: ignore[attr-defined]
        return shuffle(party, column)[0], shuffle(party, column)[0]  # type: ignore[arg-type]

    first, second = zip(*run(program).results, strict=True)
    assert values_of(first).tolist() != values_of(second).tolist()


def test_columns_of_unlike_length_are_refused_and_none_is_nothing() -> None:
    with pytest.raises(InputError):
        run(lambda party: shuffle(party, [shared([1, 2])[0], shared([1])[0]]))
    assert run(lambda party: shuffle(party, [])).results == ((), (), ())


class Tape:
    """A word stream that plays back given vectors."""

    def __init__(self, *vectors: list[int]) -> None:
        self._vectors = list(vectors)
        self.position_bytes = 0

    def words(self, shape: Shape, dtype: np.dtype[np.uint64]) -> Words:
        return np.array(self._vectors.pop(0), dtype=dtype).reshape(shape)


def test_colliding_keys_are_drawn_anew() -> None:
    # A collision anywhere discards the vector, so that no rule for ties can favour an order.
    assert random_permutation(Tape([5, 9, 5, 1], [40, 10, 30, 20]), 4).tolist() == [1, 3, 2, 0]


def test_distinct_keys_are_used_at_once() -> None:
    tape = Tape([3, 1, 2], [9, 9, 9])
    assert random_permutation(tape, 3).tolist() == [1, 2, 0]
    assert len(tape._vectors) == 1
