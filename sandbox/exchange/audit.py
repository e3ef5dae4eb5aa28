"""The invariants of an exchange, checked over its whole store: what must hold after every crash.

- postings sum to zero in every unit, and no balance is past its bound;
- the log is consistent with every checkpoint it signed;
- a charge that was not reversed, a release token and a `release` leaf exist together or not at all;
- a job that has ended holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from billing import ledger, log, trial_balance
from records import canonical, ids
from records.errors import EvidenceError
from records.job import ReleaseToken
from sandbox.exchange import jobs, money
from sandbox.exchange.metering import TOKEN
from sandbox.exchange.tables import job as job_table
from sandbox.exchange.tables import log_field
from sandbox.lifecycle import TERMINAL, State

RELEASING = frozenset({State.METERED, State.RELEASED, State.SETTLED})


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found; `faults` says where something does not hold."""

    ledger_balanced: bool
    log_consistent: bool
    charges_equal_releases: bool
    nothing_held_after_the_end: bool
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return not self.faults


def audit(connection: Connection, environment: str) -> Audit:
    """Check all invariants; finds faults, raises none."""
    ledger_faults = _faults_of(lambda: trial_balance.check(connection))
    log_faults = _faults_of(lambda: log.check(connection, environment))
    release_faults: list[str] = []
    hold_faults: list[str] = []
    for job_id, state in connection.execute(select(job_table.c.job_id, job_table.c.state)):
        release_faults += _release_faults(connection, job_id, State(state))
        if State(state) in TERMINAL and ledger.is_open(connection, money.hold_id(job_id)):
            hold_faults.append(f"job {job_id} ended as {state} and still holds money")
    faults = (*ledger_faults, *log_faults, *release_faults, *hold_faults)
    return Audit(not ledger_faults, not log_faults, not release_faults, not hold_faults, faults)


def _release_faults(connection: Connection, job_id: str, state: State) -> list[str]:
    attempt = jobs.snapshot(connection, job_id).attempt
    envelope = jobs.documents(connection, job_id, TOKEN, attempt).get("exchange")
    token = ReleaseToken.unverified(envelope).document if envelope else None
    charged = ledger.exists(connection, ids.derived("charge", job_id))
    reversed_ = ledger.exists(connection, ids.derived("reversal", job_id))
    owed = token is not None and token.charge.total_minor > 0
    faults = []
    if state is State.WITHHELD:
        return [f"job {job_id} is withheld and has a token"] if token else []
    if (token is not None) != (state in RELEASING or (state is State.FAILED and reversed_)):
        faults.append(f"job {job_id} is {state}: token and state do not go together")
    if charged != owed:
        faults.append(f"job {job_id}: charge and token do not go together")
    if reversed_ and state is not State.FAILED:
        faults.append(f"job {job_id} is {state} and its charge is reversed")
    if token is not None and _leaf(connection, token.log_index) != ("release", job_id):
        faults.append(f"job {job_id}: the token's entry in the log is not its release")
    return faults


def _leaf(connection: Connection, index: int) -> tuple[object, object]:
    rows = connection.execute(select(log_field).where(log_field.c.leaf_index == index))
    fields = {row.name: canonical.decode(row.value) for row in rows}
    return fields.get("event"), fields.get("job")


def _faults_of(check: Callable[[], object]) -> tuple[str, ...]:
    try:
        check()
    except EvidenceError as fault:
        return (str(fault),)
    return ()
