from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest, Opening
from mpc.party import Party
from mpc.relational import permutation
from mpc.relational.shuffle import apply, disclose_order, move, move_back, secret_permutation, shuffle, undo
from mpc.sharing import WORD32, Arithmetic, Shared
from records.errors import EvidenceError, InputError
from tests.unit.mpc.relations import opened, shared_words
from tests.unit.mpc.three_parties import run, shared, values_of

ORDER = Manifest((Opening("order", "parties", None),))


@pytest.fixture(params=["one bucket", "many buckets"])
def _buckets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many buckets":
        monkeypatch.setattr(permutation, "_AT_ONCE", 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40))
def test_columns_of_all_rings_move_together_and_no_row_is_lost(count: int) -> None:
    rows = np.arange(count)
    columns = [shared(rows), shared(rows * 3, WORD32), shared_words(rows, np.uint8), shared_words(rows << 20)]
    session = run(lambda party: shuffle(party, [column[party.index] for column in columns]))
    numbers, thrice, octets, words = opened(session)
    np.testing.assert_array_equal(np.sort(numbers), rows)
    np.testing.assert_array_equal(thrice, numbers * 3)
    np.testing.assert_array_equal(octets, numbers)
    np.testing.assert_array_equal(words, numbers << 20)


def test_two_shuffles_of_a_session_differ() -> None:
    share = shared(np.arange(50))

    def program(party: Party) -> tuple[Arithmetic, Arithmetic]:
        column = [share[party.index]]
        return shuffle(party, column)[0], shuffle(party, column)[0]

    first, second = zip(*run(program).results, strict=True)
    assert values_of(first).tolist() != values_of(second).tolist()


def test_columns_of_unlike_length_are_refused_and_none_is_nothing() -> None:
    with pytest.raises(InputError):
        run(lambda party: shuffle(party, [shared([1, 2])[0], shared([1])[0]]))
    with pytest.raises(InputError):
        run(lambda party: shuffle(party, [shared([[1, 2]])[0]]))
    assert run(lambda party: shuffle(party, [])).results == ((), (), ())


@pytest.mark.usefixtures("_buckets")
@pytest.mark.parametrize("count", [0, 1, 2, 37])
def test_a_permutation_that_was_applied_can_be_undone(count: int) -> None:
    share, words = shared(np.arange(count)), shared_words(np.arange(count))

    def program(party: Party) -> tuple[Shared, ...]:
        secret = secret_permutation(party, count)
        moved = apply(party, secret, [share[party.index], words[party.index]])
        return (*undo(party, secret, moved), *undo(party, secret, [words[party.index]]), *moved)

    number, word, unmoved, *moved = opened(run(program))
    np.testing.assert_array_equal(number, np.arange(count))
    np.testing.assert_array_equal(word, np.arange(count))
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_array_equal(moved[0][unmoved], np.arange(count))  # undoing is the inverse


@pytest.mark.usefixtures("_buckets")
@pytest.mark.parametrize("count", [0, 1, 2, 37])
def test_a_shared_order_moves_columns_there_and_back(count: int) -> None:
    order = np.random.default_rng(7).permutation(count)
    places, rows, words = shared(order, WORD32), shared(np.arange(count)), shared_words(np.arange(count))

    def program(party: Party) -> tuple[Shared, ...]:
        i = party.index
        revealed, early = disclose_order(party, places[i], "order", [words[i]])
        party.finish()
        return (*early, *move(party, revealed, [rows[i]]), *move_back(party, revealed, [rows[i]]))

    early, moved, unmoved = opened(run(program, ORDER))
    np.testing.assert_array_equal(moved[order], np.arange(count))
    np.testing.assert_array_equal(early, moved)
    np.testing.assert_array_equal(unmoved, order)


def test_places_that_are_no_permutation_are_evidence() -> None:
    places = shared([0, 0, 1], WORD32)
    with pytest.raises(EvidenceError, match="no permutation"):
        run(lambda party: disclose_order(party, places[party.index], "order"), ORDER)


def test_an_order_that_was_not_accepted_is_not_opened() -> None:
    places = shared([1, 0], WORD32)
    with pytest.raises(EvidenceError, match="lacks"):
        run(lambda party: disclose_order(party, places[party.index], "order"))
