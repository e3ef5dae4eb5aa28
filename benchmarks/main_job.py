"""The main job: submit → released result over all 336,776 flights, every party a process of its own.

Beside it, in the same run: the same query in plain DuckDB over all files together; and as physical limit the
local query plus what the declared rounds and bytes take on plain loopback TCP. Then trivial jobs per second
through the exchange with `synchronous=FULL`, beside the transactions that one SQLite file commits.

    python -m benchmarks.main_job --json FILE [--runs 7]
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import loopback, servers
from benchmarks.report import Row, publish
from sandbox.buyer.client import Buyer, QuoteView, Result
from sandbox.cli.demo import INSURER, PURPOSE, prepare
from sandbox.cli.deployment import Blueprint, Deployment, Offer
from sandbox.exchange.audit import audit

QUERY = (
    "SELECT origin, COUNT(*) AS flights, AVG(dep_delay) AS mean_delay FROM flights "
    "GROUP BY origin ORDER BY origin"
)
TRIVIAL = "SELECT COUNT(*) AS rows FROM bureau.tiny"
TRIVIAL_TERMS: dict[str, object] = {
    "purposes": [PURPOSE],
    "buyers": {"allow": ["*"]},
    "columns": {"value": {"reveal": ["plain"]}},
}
CLIENTS = 8
TRIVIAL_JOBS = 48


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", default=None, help="write the report here; `-` is stdout")
    parser.add_argument("--runs", type=int, default=7, help="timed jobs, at least 5")
    arguments = parser.parse_args()
    runs = max(5, arguments.runs)
    with tempfile.TemporaryDirectory(prefix="usufruct-bench-") as name:
        folder = Path(name)
        files, blueprint = prepare(folder / "data")
        deployment = Deployment(folder, _with_trivial(folder, blueprint))
        with deployment:
            deployment.start()
            rows = _measure(deployment, files["flights"], runs)
    settings = {
        "runs": runs,
        "servers": list(deployment.servers),
        "query": QUERY,
        "rows": 336_776,
        "transport": "mTLS gRPC on loopback",
        "sqlite": "WAL, synchronous=FULL",
        "clients_of_trivial_jobs": CLIENTS,
    }
    publish(settings, rows, arguments.json)


def _measure(deployment: Deployment, files: list[Path], runs: int) -> list[Row]:
    buyer = deployment.buyer(INSURER)
    expected, duckdb_s = _in_duckdb(files, runs)
    _job(buyer, QUERY)  # warm: connections are open, modules imported
    timed, results, quote, phases = [], [], None, []
    for _ in range(runs):
        marks = servers.log_sizes(deployment)
        started = time.perf_counter()
        quote, result = _job(buyer, QUERY)
        timed.append(time.perf_counter() - started)
        results.append(result.to_arrow())
        phases.append(servers.phases(deployment, marks))
    assert quote is not None
    agrees = all(result.equals(expected) for result in results)
    checked = (
        f"every result of {runs} jobs equals plain DuckDB, {expected.num_rows * expected.num_columns} cells"
    )
    limit = duckdb_s + loopback.measure().seconds(quote.rounds, quote.wire_bytes)
    union_s = statistics.median(timed)
    rows = [
        Row(
            "union_query_s", union_s, "s", "<= 3", agrees, checked,
            {"duckdb": duckdb_s}, {"duckdb": duckdb_s / union_s}, limit,
        ),
        Row("duckdb_s", duckdb_s, "s", None, agrees, checked),
    ]  # fmt: skip
    rows += _shares(phases, timed, agrees, checked)
    rows += _trivial(deployment, buyer)
    rows.append(_peak(deployment))
    buyer.close()
    return rows


def _job(buyer: Buyer, query: str) -> tuple[QuoteView, Result]:
    job = buyer.sql(query, purpose=PURPOSE)
    quote = job.quote()
    return quote, job.run(max_price=quote.price)


def _in_duckdb(files: list[Path], runs: int) -> tuple[pa.Table, float]:
    names = ", ".join(f"'{path}'" for path in files)
    text = QUERY.replace("FROM flights", f"FROM read_parquet([{names}])")
    timed = []
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        for _ in range(runs + 1):
            started = time.perf_counter()
            answer: pa.Table = connection.sql(text).to_arrow_table()
            timed.append(time.perf_counter() - started)
    return answer, statistics.median(timed[1:])


def _shares(phases: list[dict[str, float]], timed: list[float], verified: bool, checked: str) -> list[Row]:  # noqa: FBT001
    shares = {
        name: statistics.median(each[name] / total for each, total in zip(phases, timed, strict=True))
        for name in phases[0]
    }
    rest = max(0.0, 1.0 - sum(shares.values()))
    return [
        Row(f"share_{name}", value, "of union_query_s", None, verified, checked)
        for name, value in {**shares, "everything_else": rest}.items()
    ]


def _with_trivial(folder: Path, blueprint: Blueprint) -> Blueprint:
    tiny = folder / "data" / "tiny.parquet"
    pq.write_table(pa.table({"value": list(range(100))}), tiny)
    bureau = {**blueprint.providers["bureau"], "tiny": Offer(tiny, TRIVIAL_TERMS)}
    return Blueprint({**blueprint.providers, "bureau": bureau}, blueprint.buyers, blueprint.notaries)


def _trivial(deployment: Deployment, buyer: Buyer) -> list[Row]:
    def one(_number: int) -> bool:
        result = _job(buyer, TRIVIAL)[1]
        rows: list[int] = result.to_arrow()["rows"].to_pylist()
        return rows == [100]

    rates, right = [], True
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(5):
            started = time.perf_counter()
            right = all(pool.map(one, range(TRIVIAL_JOBS))) and right
            rates.append(TRIVIAL_JOBS / (time.perf_counter() - started))
    site = deployment.site()
    with site.store.read() as connection:
        sound = audit(connection, site.identity.environment).holds
    site.store.close()
    rate = statistics.median(rates)
    commits = _commits_per_s(deployment.folder)
    checked = f"{5 * TRIVIAL_JOBS} results compared; ledger, log and charges audited afterwards"
    peers = {"sqlite_commits": commits}
    return [Row("jobs_per_s", rate, "1/s", None, right and sound, checked, peers, {}, commits)]


def _commits_per_s(folder: Path, seconds: float = 1.0) -> float:
    """Return how many one-row transactions a single SQLite file commits durably: one a job is the limit."""
    connection = sqlite3.connect(folder / "limit.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE row (value INTEGER)")
    return _rate(lambda: connection.execute("INSERT INTO row VALUES (1)"), seconds)


def _rate(act: Callable[[], object], seconds: float) -> float:
    count = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        act()
        count += 1
    return count / (time.perf_counter() - started)


def _peak(deployment: Deployment) -> Row:
    peaks = servers.peaks_mib(deployment)
    largest = max(peaks.values())
    checked = "VmHWM of every server: " + ", ".join(f"{name} {value:.0f}" for name, value in peaks.items())
    return Row("peak_mib", largest, "MiB", None, len(peaks) == len(deployment.servers), checked)


if __name__ == "__main__":
    main()
