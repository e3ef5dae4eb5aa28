"""All attacks, for pytest and for `python -m tests.adversarial`."""

from __future__ import annotations

from tests.adversarial import (
    acceptances,
    attempts,
    buyers,
    column_disclosure,
    compute_sets,
    deviations,
    disclosure,
    elsewhere,
    histories,
    literals,
    openings,
    ownership,
    pins,
    receipts,
    sealed_shares,
    sql_units,
    tokens,
    voids,
)
from tests.adversarial.attack import Attack

ON_THE_JOB_LINE: tuple[Attack, ...] = (
    *pins.ATTACKS,
    *buyers.ATTACKS,
    *compute_sets.ATTACKS,
    *acceptances.ATTACKS,
    *attempts.ATTACKS,
    *sealed_shares.ATTACKS,
    *tokens.ATTACKS,
    *histories.ATTACKS,
    *voids.ATTACKS,
    *openings.ATTACKS,
    *disclosure.ATTACKS,
    *column_disclosure.ATTACKS,
    *sql_units.ATTACKS,
    *literals.ATTACKS,
    *ownership.ATTACKS,
    *receipts.ATTACKS,
)
"""What `test_attacks.py` tries."""

ATTACKS: tuple[Attack, ...] = (*ON_THE_JOB_LINE, *deviations.ATTACKS, *elsewhere.ATTACKS)

INERT: dict[str, str] = {
    "seat-that-deviates-from-the-protocol": "no defence to try: every quote says that one deviating seat can "
    "defeat the joint gate (R24)",
    "sums-of-two-jobs-subtracted": "no defence to try: every quote says that releases of several jobs are "
    "not checked against each other yet (R15)",
    "fork-shown-to-buyers-only": "no defence to try: receipts say that without a witness they exclude no "
    "fork (R6)",
}
"""Attacks that would show nothing today, with the reason."""
