"""The sort against NumPy's stable one, over key widths, directions, ties and lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mpc.manifest import Manifest, Opening
from mpc.party import Party
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.shuffle import disclose_order
from mpc.sharing import Shared
from records.errors import InputError
from tests.unit.mpc.relations import PlainKey, key_columns, opened, shared_words, stable_order
from tests.unit.mpc.three_parties import run, shared


@settings(max_examples=30, deadline=None)
@given(key_columns())
def test_rows_are_sorted_stably_by_all_keys(keys: list[PlainKey]) -> None:
    count = len(keys[0][3])
    shares = [shared_words(column, dtype) for _, dtype, _, column in keys]
    openings = sort_openings("sort", count, [bits for bits, *_ in keys])

    def program(party: Party) -> tuple[Shared, ...]:
        columns = [
            SortKey(share[party.index], bits, down)
            for share, (bits, _, down, _) in zip(shares, keys, strict=True)
        ]
        places = sorted_places(party, columns, "sort")
        party.finish()
        return (places,)

    (places,) = opened(run(program, Manifest(openings)))
    np.testing.assert_array_equal(places[stable_order(keys)], np.arange(count))


@pytest.mark.parametrize("values", [[5] * 9, list(range(9)), list(range(9))[::-1], [7], []])
def test_a_payload_is_brought_into_the_order_of_the_keys(values: list[int]) -> None:
    key, payload = shared_words(values), shared(np.arange(len(values)) * 10)
    openings = (*sort_openings("s", len(values), [4]), Opening("rows", "parties", (len(values),)))

    def program(party: Party) -> tuple[Shared, ...]:
        places = sorted_places(party, [SortKey(key[party.index], 4)], "s")
        return disclose_order(party, places, "rows", [payload[party.index]])[1]

    (moved,) = opened(run(program, Manifest(openings)))
    np.testing.assert_array_equal(moved, np.argsort(values, kind="stable") * 10)


def test_bits_above_the_declared_ones_do_not_count() -> None:
    key = shared_words([0b1101, 0b0110, 0b1000])
    places = run(
        lambda party: [sorted_places(party, [SortKey(key[party.index], 2)], "s")],
        Manifest(sort_openings("s", 3, [2])),
    )
    assert opened(places)[0].tolist() == [1, 2, 0]


def test_an_opened_order_does_not_depend_on_the_keys() -> None:
    """For fixed streams two sets of keys open different uniform orders; the sizes and ids are the same."""
    openings = sort_openings("s", 8, [6])
    traces = []
    for values in ([1] * 8, [9, 63, 0, 5, 5, 2, 7, 1]):
        key = shared_words(values)
        session = run(
            lambda party, key=key: sorted_places(party, [SortKey(key[party.index], 6)], "s"),  # type: ignore[misc]
            Manifest(openings),
        )
        traces.append(session.trace())
    assert traces[0] == traces[1]
    assert [opening.id for opening in openings] == ["s/1", "s/2"]


def test_keys_that_do_not_fit_together_are_refused() -> None:
    one, two = shared_words([1])[0], shared_words([1, 2])[0]
    for bits in (0, 33):
        with pytest.raises(InputError):
            SortKey(one, bits)
    for keys in ([], [SortKey(one, 3), SortKey(two, 3)]):
        with pytest.raises(InputError):
            run(lambda party, keys=keys: sorted_places(party, keys, "s"))  # type: ignore[misc]


@pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1])
def test_rows_are_sorted_where_the_word_of_places_changes(count: int) -> None:
    values = np.arange(count)[::-1] % 3
    key = shared_words(values, np.uint8)
    session = run(
        lambda party: [sorted_places(party, [SortKey(key[party.index], 2)], "s")],
        Manifest(sort_openings("s", count, [2])),
    )
    (places,) = opened(session)
    assert places.dtype.itemsize == (2 if count <= 1 << 16 else 4)
    np.testing.assert_array_equal(places[np.argsort(values, kind="stable")], np.arange(count))
