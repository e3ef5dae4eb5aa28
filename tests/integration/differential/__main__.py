"""`python -m tests.integration.differential [--cases N] [--seed S]`: thousands of cases, in a table.

`--level` is what is compared with DuckDB: the resolved text, the engine, or a local cluster. With `--market M
--query Q` one case is shown in full.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from tests.integration.differential.cluster import cluster
from tests.integration.differential.engine import engine
from tests.integration.differential.harness import ALL, Engine, Tally, judge, one_case, run
from tests.integration.differential.oracle import Oracle
from tests.integration.differential.resolver import resolver

LEVELS: dict[str, Engine] = {"engine": engine, "cluster": cluster, "resolver": resolver}
MAX_SHOWN = 20


def show(console: Console, tally: Tally) -> None:
    """Print outcomes by construct, refusals by clause, and the first cases that differ."""
    table = Table("construct", "cases", "answered", "refused", "withheld", "differing")
    for construct, counts in sorted(tally.verdicts.items(), key=lambda item: (item[0] != ALL, item[0])):
        verdicts = (counts["answered"], counts["refused"], counts["withheld"], counts["differs"])
        table.add_row(construct, str(counts.total()), *map(str, verdicts))
    console.print(table)
    clauses = Table("refused by", "cases")
    for clause, count in tally.clauses.most_common():
        clauses.add_row(clause, str(count))
    console.print(clauses)
    for outcome in tally.differing[:MAX_SHOWN]:
        console.print(
            f"{outcome.verdict}: {outcome.detail}\n{outcome.case.describe()}\n", markup=False, soft_wrap=True
        )


def show_one(console: Console, market_seed: int, number: int, level: Engine) -> int:
    """Print one case in full; return 0 unless it differs."""
    case = one_case(market_seed, number)
    console.print(case.describe(), markup=False, soft_wrap=True)
    with Oracle(case.market) as oracle, level(case.market) as answer:
        outcome = judge(case, oracle, answer)
    console.print(
        "DuckDB has no answer" if outcome is None else f"{outcome.verdict}: {outcome.detail}", markup=False
    )
    return int(outcome is not None and outcome.verdict == "differs")


def main() -> int:
    """Return 0 if no case differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.differential")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="of the first market")
    parser.add_argument("--level", choices=LEVELS, default="engine")
    parser.add_argument("--market", type=int, help="one case: the seed of its market")
    parser.add_argument("--query", type=int, default=0, help="one case: its number in the market")
    chosen = parser.parse_args()
    console = Console()
    level = LEVELS[chosen.level]
    if chosen.market is not None:
        return show_one(console, chosen.market, chosen.query, level)
    tally = run(chosen.seed, chosen.cases, level)
    show(console, tally)
    return int(bool(tally.differing))


if __name__ == "__main__":
    sys.exit(main())
