"""Times have one spelling: UTC, milliseconds, `Z`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import clock
from records.errors import MalformedDocument

MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_a_time_reads_back_to_the_millisecond(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert clock.from_text(clock.to_text(moment)) == whole


@given(MOMENTS, MOMENTS)
def test_texts_sort_as_times_do(first: datetime, second: datetime) -> None:
    if first <= second:
        assert clock.to_text(first) <= clock.to_text(second)


def test_other_zones_are_brought_to_utc() -> None:
    moment = datetime(2026, 1, 31, 20, 0, 0, tzinfo=timezone(timedelta(hours=8)))
    assert clock.to_text(moment) == "2026-01-31T12:00:00.000Z"


def test_now_is_aware_and_whole_milliseconds() -> None:
    now = clock.utc_now()
    assert now.tzinfo is UTC
    assert clock.from_text(clock.to_text(now)) == now


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00.0Z",
        "2026-01-31T12:00:00.000000Z",
        "2026-01-31T12:00:00.000+00:00",
        "2026-01-31 12:00:00.000Z",
        "2026-1-31T12:00:00.000Z",
        "2026-02-30T12:00:00.000Z",
        "2026-01-31T24:00:00.000Z",
        "2026-01-31T12:00:00.000z",
        " 2026-01-31T12:00:00.000Z",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(MalformedDocument):
        clock.from_text(text)
