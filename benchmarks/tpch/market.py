"""An exchange with the three providers of TPC-H, a notary and a buyer: real processes over mTLS.

A query over several providers is computed by three processes: the notary and two providers of the query (R2).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import pyarrow as pa

from benchmarks import servers
from benchmarks.tpch import data
from benchmarks.tpch.queries import Query
from benchmarks.tpch.terms import PURPOSE, terms
from records.errors import (
    InputError,
    JobRefused,
    LimitExceeded,
    RefusedError,
    ResultWithheld,
    UsufructError,
)
from sandbox.buyer.client import QuoteView, Result
from sandbox.cli.deployment import Blueprint, Deployment, Offer

BUYER = "analyst"
FUNDS_MINOR = 1_000_000_000
MAX_GROUPS = 4096
"""How many groups a joint result may have; the largest here has 1500, one for each customer of SF 0.01."""

Outcome = Literal["answered", "suppressed", "withheld", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one job: the result, or why there is none.

    `rounds`, `wire_bytes` and `declared_s` are the quote's, 0 where there is none. `phases` are seconds of
    the slowest node; `peak_mib` is that of the largest server during the job.
    """

    outcome: Outcome
    seconds: float
    table: pa.Table | None = None
    suppressed: int = 0
    reasons: tuple[str, ...] = ()
    technique: str = ""
    rounds: int = 0
    wire_bytes: int = 0
    declared_s: float = 0.0
    peak_mib: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)


class Market:
    """A running exchange on loopback whose products are the tables of `source`."""

    def __init__(self, folder: Path, source: Path, scale: str, *, protect_customers: bool = False) -> None:
        """Draw keys and write terms into `folder`; nothing runs before `with`."""
        paths = data.files(source)
        self.deployment = Deployment(
            folder,
            Blueprint(
                providers={
                    provider: {
                        table: Offer(
                            paths[f"{provider}.{table}"],
                            terms(f"{provider}.{table}", scale, protect_customers=protect_customers),
                        )
                        for table in tables
                    }
                    for provider, tables in data.PROVIDERS.items()
                },
                buyers={BUYER: {"CNY": FUNDS_MINOR}},
            ),
        )

    def __enter__(self) -> Market:
        try:
            self.deployment.start()
            self._buyer = self.deployment.buyer(BUYER)
        except BaseException:
            self.deployment.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buyer.close()
        self.deployment.stop()

    def ask(self, query: Query) -> Answer:
        """Run `query` as one new job, from its text to the opened result."""
        servers.forget_peaks(self.deployment)
        marks = servers.log_sizes(self.deployment)
        quote: QuoteView | None = None
        result: Result | None = None
        outcome: Outcome = "answered"
        reasons: tuple[str, ...] = ()
        started = time.perf_counter()
        try:
            job = self._buyer.sql(query.text, purpose=PURPOSE, max_groups=MAX_GROUPS)
            quote = job.quote()
            result = job.run(max_price=quote.price)
        except UsufructError as error:
            outcome, reasons = _outcome(error), _reasons(error)
        seconds = time.perf_counter() - started
        if result is not None and result.suppressed:
            outcome = "suppressed"
        return Answer(
            outcome,
            seconds,
            result.to_arrow() if result else None,
            result.suppressed if result else 0,
            reasons,
            technique=quote.technique if quote else "",
            rounds=quote.rounds if quote else 0,
            wire_bytes=quote.wire_bytes if quote else 0,
            declared_s=quote.seconds if quote else 0.0,
            peak_mib=max(servers.peaks_mib(self.deployment).values()),
            phases=servers.phases(self.deployment, marks),
        )


def _outcome(error: UsufructError) -> Outcome:
    """Tell a decision from a failure: what no rule of policy, gate or SQL demands is a failure."""
    if isinstance(error, ResultWithheld):
        return "withheld"
    return "refused" if isinstance(error, JobRefused | InputError | LimitExceeded) else "failed"


def _reasons(error: UsufructError) -> tuple[str, ...]:
    if isinstance(error, RefusedError):
        return tuple(str(reason) for reason in error.reasons)
    return (f"{error.code}: {error}",)
