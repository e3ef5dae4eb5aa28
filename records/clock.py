"""Time as it stands in documents: aware UTC inside, RFC 3339 with milliseconds and `Z` outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from records.errors import MalformedDocument

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time, aware, in UTC, cut to milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """Return `2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_text(text: str) -> datetime:
    """Parse what `to_text` writes, and nothing else.

    Raises:
        MalformedDocument: another form.
    """
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise MalformedDocument("a time is written `YYYY-MM-DDThh:mm:ss.mmmZ`") from error
    if to_text(moment) != text:
        raise MalformedDocument("a time is written `YYYY-MM-DDThh:mm:ss.mmmZ`")
    return moment
