"""Fixed times for the tests of billing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def after(seconds: int) -> datetime:
    """Return the moment `seconds` after `NOW`."""
    return NOW + timedelta(seconds=seconds)
