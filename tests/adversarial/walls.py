"""Taking one wall down for the control of an attack, and judging how an attack ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from records.dsse import Envelope
from records.errors import UsufructError

Wall = tuple[object, str, object]
"""The module, class or object that holds a check, the name of the check, and what stands there instead."""

ANY_SIGNATURE: Wall = (Envelope, "verify", lambda *_: "anybody")
"""No signature of a document is verified."""


@contextmanager
def standing(defended: bool, *walls: Wall) -> Iterator[None]:
    """Run with all walls standing, or without these."""
    with pytest.MonkeyPatch.context() as patch:
        for holder, name, instead in () if defended else walls:
            patch.setattr(holder, name, instead)
        yield


def got_through(step: Callable[[], object], kind: type[UsufructError], words: str) -> bool:
    """Return whether `step` ran; False where it was refused by `kind` with `words` in its text.

    Raises:
        AssertionError: something else stopped it, which says nothing about the wall in question.
    """
    try:
        step()
    except kind as refusal:
        if words not in str(refusal):
            raise AssertionError(f"stopped, but by: {refusal}") from refusal
        return False
    return True
