"""Identifiers: ordered in time where drawn, equal on every retry where derived, and plain names."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import ids
from records.errors import MalformedDocument

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PARTS = st.lists(st.text(st.characters(codec="utf-8")), max_size=4)


@given(MOMENTS)
def test_a_drawn_id_is_a_uuid_of_version_7(now: datetime) -> None:
    drawn = uuid.UUID(ids.uuid7(now, secrets.token_bytes))
    assert (drawn.version, drawn.variant) == (7, uuid.RFC_4122)
    assert drawn.int >> 80 == int(now.timestamp() * 1000)


@given(MOMENTS, MOMENTS)
def test_drawn_ids_sort_by_time(first: datetime, second: datetime) -> None:
    earlier, later = sorted((first, second))
    if int(earlier.timestamp() * 1000) < int(later.timestamp() * 1000):
        assert ids.uuid7(earlier, secrets.token_bytes) < ids.uuid7(later, secrets.token_bytes)


@given(PARTS, PARTS)
def test_derived_ids_are_equal_only_for_equal_parts(first: list[str], second: list[str]) -> None:
    assert (ids.derived(*first) == ids.derived(*second)) == (first == second)


@pytest.mark.parametrize("text", ["a", "alice", "air-line_2", "a" * 63])
def test_names_pass(text: str) -> None:
    assert ids.require_name(text, "a party") == text
    assert ids.require_product_name(f"{text}.{text}") == f"{text}.{text}"


@pytest.mark.parametrize(
    "text", ["", "2a", "-a", "Alice", "a.b", "a/b", "a b", "a\n", "ä", "a" * 64, "a;drop", "../a"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        ids.require_name(text, "a party")


@pytest.mark.parametrize("text", ["alice", "alice.", ".flights", "alice.flights.x", "Alice.flights", "a..b"])
def test_what_is_no_product_name_is_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        ids.require_product_name(text)
