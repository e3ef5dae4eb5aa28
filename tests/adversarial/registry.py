"""All attacks, for pytest and for `python -m tests.adversarial`."""

from __future__ import annotations

from tests.adversarial import acceptances, attempts, compute_sets, pins
from tests.adversarial.attack import Attack

OWN: tuple[Attack, ...] = (*attempts.ATTACKS,)
