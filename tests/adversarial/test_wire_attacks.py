from __future__ import annotations

import asyncio

import pytest

from tests.adversarial.wire_attacks import ATTACKS


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_works_without_the_defence(name: str) -> None:
    assert asyncio.run(ATTACKS[name](False))


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_blocked(name: str) -> None:
    assert not asyncio.run(ATTACKS[name](True))
