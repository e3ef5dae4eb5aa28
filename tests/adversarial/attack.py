"""What an attack is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Try = Callable[[bool], bool]
"""`attack(defended)` → whether it worked. It must work with the defence off, or it shows nothing."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack of a suite. `hole` says why it gets through today; empty: it is blocked."""

    name: str
    suite: str
    attack: Try
    hole: str = ""


def suite(title: str, *tries: Try, holes: dict[Try, str] | None = None) -> tuple[Attack, ...]:
    """Return the attacks of a suite, named by their functions."""
    found = holes or {}
    named = [(each.__name__.replace("_", "-"), each) for each in (*tries, *found)]
    return tuple(Attack(name, title, each, found.get(each, "")) for name, each in named)
