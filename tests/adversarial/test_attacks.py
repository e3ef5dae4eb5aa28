"""Every attack of the registry, twice: without the defence it works, with it it does not."""

from __future__ import annotations

import pytest

from tests.adversarial.attack import Attack
from tests.adversarial.registry import OWN

ALL = pytest.mark.parametrize("attack", OWN, ids=lambda attack: attack.name)


@ALL
def test_control_works_without_the_defence(attack: Attack) -> None:
    assert attack.attack(False)


@ALL
def test_defence_blocks_it(attack: Attack) -> None:
    if attack.hole:
        pytest.xfail(attack.hole)
    assert not attack.attack(True)
