"""Every attack of the registry, twice: without the defence it works, with it it does not."""

from __future__ import annotations

import inspect

import pytest

from sandbox.ports import ExchangePort
from tests.adversarial import ownership
from tests.adversarial.attack import Attack
from tests.adversarial.registry import ATTACKS, ON_THE_JOB_LINE

EACH = pytest.mark.parametrize("attack", ON_THE_JOB_LINE, ids=lambda attack: attack.name)


@EACH
def test_control_works_without_the_defence(attack: Attack) -> None:
    assert attack.attack(False)


@EACH
def test_defence_blocks_it(attack: Attack) -> None:
    worked = attack.attack(True)
    if attack.hole:
        assert worked, "the hole is closed: move the attack from `holes` to the others"
        pytest.xfail(attack.hole)
    assert not worked


def test_names_are_unique_within_a_suite() -> None:
    names = [(attack.suite, attack.name) for attack in ATTACKS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R12", "R19"])
def test_rule_is_attacked(rule: str) -> None:
    assert any(attack.suite.split()[0] == rule for attack in ATTACKS)


def test_every_method_that_takes_a_job_is_asked_for_anothers() -> None:
    methods = {
        name
        for name, method in inspect.getmembers(ExchangePort, inspect.isfunction)
        if "job_id" in inspect.signature(method).parameters
    }
    assert methods == set(ownership.METHODS)
