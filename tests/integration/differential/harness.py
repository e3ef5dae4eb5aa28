"""Cases in a row: each query asked of DuckDB and of an engine under test, and a tally of how they ended.

A difference is a failure. A refusal is none, but how many queries of a construct are answered is counted too:
an engine that refuses everything agrees with every answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import duckdb
import pyarrow as pa

from records.errors import InputError, JobRefused, LimitExceeded, ResultWithheld
from tests.integration.differential.oracle import Oracle, difference
from tests.integration.differential.queries import Query, query
from tests.integration.differential.schemas import Market, market

QUERIES_PER_MARKET = 12
ALL = "all queries"

Verdict = Literal["answered", "refused", "withheld", "differs"]
Answer = Callable[[str], pa.Table]
Engine = Callable[[Market], AbstractContextManager[Answer]]
"""Opens the market in the engine under test; what it gives answers queries until it is closed."""


@dataclass(frozen=True, slots=True)
class Case:
    """Query number `number` of a market."""

    market: Market
    number: int
    query: Query

    def describe(self) -> str:
        """Return all that is needed to look at the case again."""
        again = f"python -m tests.integration.differential --market {self.market.seed} --query {self.number}"
        return f"{self.query.sql}\n{self.market.describe()}\nagain: {again}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended. `detail` is the clause of a refusal, or what differs."""

    case: Case
    verdict: Verdict
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """Outcomes counted by construct; the cases that differ are kept."""

    verdicts: dict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    clauses: Counter[str] = field(default_factory=Counter)
    differing: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome for each construct of its query."""
        for construct in (ALL, *outcome.case.query.constructs):
            self.verdicts[construct][outcome.verdict] += 1
        if outcome.verdict == "refused":
            self.clauses[outcome.detail] += 1
        if outcome.verdict == "differs":
            self.differing.append(outcome)

    def answered(self, construct: str = ALL) -> float:
        """Return the share of queries of a construct whose answer was DuckDB's; of those that there are."""
        counts = self.verdicts[construct]
        return counts["answered"] / max(1, counts.total())


def one_case(market_seed: int, number: int) -> Case:
    """Return a case by its seeds."""
    found = market(market_seed)
    return Case(found, number, query(found, number))


def cases(seed: int, count: int) -> Iterator[list[Case]]:
    """Return `count` cases, those of one market together; seeds far apart have no market in common."""
    for start in range(0, count, QUERIES_PER_MARKET):
        found = market(seed + start // QUERIES_PER_MARKET)
        numbers = range(min(QUERIES_PER_MARKET, count - start))
        yield [Case(found, number, query(found, number)) for number in numbers]


def run(seed: int, count: int, engine: Engine) -> Tally:
    """Ask `count` queries of DuckDB and of `engine`; those that DuckDB itself refuses are left out."""
    tally = Tally()
    for group in cases(seed, count):
        with Oracle(group[0].market) as oracle, engine(group[0].market) as answer:
            for case in group:
                outcome = judge(case, oracle, answer)
                if outcome is not None:
                    tally.add(outcome)
    return tally


def judge(case: Case, oracle: Oracle, answer: Answer) -> Outcome | None:
    """Compare both answers to a case; None where DuckDB has none."""
    try:
        expected = oracle.answer(case.query.sql)
    except duckdb.Error:
        return None
    try:
        ours = answer(case.query.sql)
    except JobRefused as refused:
        return Outcome(case, "refused", min(reason.clause for reason in refused.reasons))
    except (InputError, LimitExceeded) as error:
        return Outcome(case, "refused", error.code)
    except ResultWithheld:
        # A result without a row is withheld: that there is none may be known only where a rule lets it.
        if expected.num_rows == 0:
            return Outcome(case, "answered")
        return Outcome(case, "withheld")
    found = difference(ours, expected, ordered=case.query.ordered)
    return Outcome(case, "differs", found) if found else Outcome(case, "answered")
