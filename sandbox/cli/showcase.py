"""Runs the jobs of the demo and holds each result against plain DuckDB over all the files together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from records.errors import JobRefused, RefusedError
from records.job import ReleaseToken
from sandbox.buyer.client import BuyerJob, Result
from sandbox.cli.demo import DemoJob
from sandbox.cli.deployment import Deployment

MIN_UNITS = 10
FLOAT_TOLERANCE = 1e-9
"""Relative; sums of decimal fractions are added in another order by every engine."""


class Showcase:
    """One buyer's jobs at one deployment."""

    def __init__(
        self, deployment: Deployment, buyer: str, files: Mapping[str, list[Path]], say: Callable[[str], None]
    ) -> None:
        """`files` are the sources of SQL by name, as only the demo may see them together."""
        self._buyer = deployment.buyer(buyer)
        self._files = files
        self._say = say

    def run(self, job: DemoJob) -> dict[str, Any]:
        """Run one job, and return its row of the report."""
        started = time.perf_counter()
        self._say(f"\n[bold]{job.name}[/bold]\n  {job.query}")
        reasons: tuple[dict[str, str], ...] = ()
        result: Result | None = None
        submitted: BuyerJob | None = None
        try:
            submitted = self._buyer.sql(job.query, purpose=job.purpose)
            quote = submitted.quote()
            self._say(f"  quote: at most {quote.price}, {quote.technique}")
            result = submitted.run(max_price=quote.price)
        except RefusedError as refusal:
            reasons = tuple(reason.to_json() for reason in refusal.reasons)
            for reason in refusal.reasons:
                self._say(f"  {'refused' if isinstance(refusal, JobRefused) else 'withheld'}: {reason}")
        seconds = time.perf_counter() - started
        row = self._row(job, submitted, result, reasons, seconds)
        self._say(f"  {row['state']} in {seconds:.1f} s, charge {row['charge_minor'] / 100:.2f} CNY")
        if result is not None:
            self._say(str(result.to_pandas().head(5).to_string(index=False)))
        return row

    def close(self) -> None:
        """Let the buyer go."""
        self._buyer.close()

    def _row(
        self,
        job: DemoJob,
        submitted: BuyerJob | None,
        result: Result | None,
        reasons: tuple[dict[str, str], ...],
        seconds: float,
    ) -> dict[str, Any]:
        facts = submitted.receipt.verify() if submitted is not None else {}
        token = submitted.release_token if submitted is not None and result is not None else None
        products = facts.get("products", ())
        # A job that was refused has no quote; the planner would have taken this technique.
        planned = "secret-sharing" if len(products) > 1 else "local"
        return {
            "name": job.name,
            "technique": facts.get("technique", planned),
            "providers": sorted({name.partition(".")[0] for name in products}),
            "state": submitted.state if submitted is not None else "REFUSED",
            "rows": result.to_arrow().num_rows if result is not None else 0,
            "plaintext_agrees": self._agrees(job, result) if result is not None else None,
            "charge_minor": token.charge.total_minor if token else 0,
            "split": dict(token.charge.split) if token else {},
            "receipt_verified": bool(facts) and _matches(facts, token),
            "refused_reasons": list(reasons),
            "seconds": round(seconds, 3),
        }

    def _agrees(self, job: DemoJob, result: Result) -> bool:
        source = next(name for name in self._files if f" {name} " in f"{job.query} ")
        return _equal(result.to_arrow(), self._expected(job.query, source))

    def _expected(self, query: str, source: str) -> pa.Table:
        """Run the query in plain DuckDB, keeping exactly the groups that the rules of release demand."""
        union = pa.concat_tables(
            [
                table.append_column("provider", pa.array([index] * len(table), pa.int64()))
                for index, table in enumerate(map(pq.read_table, self._files[source]))
            ]
        )
        text = query.replace(f"FROM {source}", "FROM everything")
        with duckdb.connect() as connection:
            connection.register("everything", union)
            answer: pa.Table = connection.sql(
                _with_rule(text) if len(self._files[source]) > 1 else text
            ).to_arrow_table()
        return answer


def _with_rule(text: str) -> str:
    """Add the release rule for groups as HAVING: enough units, also without any one provider (R9)."""
    providers = range(3)
    others = [f"(COUNT(*) - COUNT(*) FILTER (provider = {index}))" for index in providers]
    rule = " AND ".join([f"COUNT(*) >= {MIN_UNITS}", *(f"({n} = 0 OR {n} >= {MIN_UNITS})" for n in others)])
    head, order, tail = text.partition(" ORDER BY ")
    return f"{head} HAVING {rule}{order}{tail}"


def _equal(ours: pa.Table, plain: pa.Table) -> bool:
    if ours.column_names != plain.column_names or ours.num_rows != plain.num_rows:
        return False
    return all(_same_column(ours[name], plain[name]) for name in ours.column_names)


def _same_column(ours: pa.ChunkedArray, plain: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(ours.type):
        pairs = zip(ours.to_pylist(), plain.to_pylist(), strict=True)
        return all(a == b or _is_close(a, b) for a, b in pairs)
    same: bool = ours.to_pylist() == plain.cast(ours.type).to_pylist()
    return same


def _is_close(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= FLOAT_TOLERANCE * max(abs(a), abs(b))


def _matches(facts: Mapping[str, Any], token: ReleaseToken | None) -> bool:
    """Tell whether the receipt states the end that the buyer saw: a release with this charge, or none."""
    if token is None:
        return facts["event"] in ("refused", "withheld")
    charge = {"currency": token.charge.currency, "total_minor": token.charge.total_minor}
    return bool(facts["event"] == "release" and facts["charge"] == charge)
