"""A market from nothing to a verified receipt, by the command line alone, with real processes on loopback."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from billing import notes
from records.clock import utc_now
from sandbox.cli import key_rotation, node_file
from sandbox.cli.folder import exchange_record
from sandbox.cli.log_check import LAST_VERIFIED
from sandbox.exchange.site import Site
from sandbox.identity import Identity
from sandbox.keystore import write_private
from sandbox.node.configuration import PostgresqlConfiguration, ProductConfiguration
from sandbox.ports import Caller
from sandbox.wire.exchange_client import ExchangeClient
from tests.integration.market import (
    ENVIRONMENT,
    PASSPHRASE,
    QUERY,
    Market,
    alone,
    asked,
    insisted,
    invoke,
    wait_until,
)
from tests.unit.connectors.postgresql_server import PostgresqlPlace, running_server

PURPOSE = ("--purpose", "insurance-pricing")
CAP = ("--max-price", 10_000)
KEPT_TERMS = """\
unit: row
purposes: [insurance-pricing]
buyers: {allow: ["*"]}
columns:
  origin: {reveal: [after-group-by]}
  dep_delay: {reveal: [after-aggregate], functions: [sum, count]}
public: {rows: 100, ranges: {dep_delay: [-10, 200]}, bytes: {origin: 3}}
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    made = Market(tmp_path_factory.mktemp("market"))
    try:
        made.open_exchange()
        made.open_nodes()
        made.offer()
        yield made
    finally:
        codes = made.stop()
    assert set(codes.values()) == {0}, "a server did not stop gracefully"


@pytest.fixture(scope="module")
def insurer(market: Market) -> Path:
    folder = market.buyer("insurer")
    wait_until(lambda: len(asked("catalogue", "--as", folder)["collections"].get("flights", ())) == 2)
    return folder


def expected(market: Market) -> list[dict[str, object]]:
    return totals([row for part in market.rows.values() for row in part])


def totals(rows: Sequence[tuple[str, int]]) -> list[dict[str, object]]:
    flights = Counter(origin for origin, _ in rows)
    delay: Counter[str] = Counter()
    for origin, minutes in rows:
        delay[origin] += minutes
    return [{"origin": name, "flights": flights[name], "delay": delay[name]} for name in sorted(flights)]


def test_a_job_goes_from_quote_to_receipt_to_statement(market: Market, insurer: Path, tmp_path: Path) -> None:
    quoted = asked("quote", QUERY, *PURPOSE, "--as", insurer)["quote"]
    assert quoted["technique"] == "secret-sharing"
    assert quoted["nodes"] == ["alice", "bob", "notary"]
    price = quoted["charge"]["total_minor"]
    before = asked("statement", "--as", insurer)["accounts"][0]["debits_posted_minor"]
    ran = asked("run", QUERY, *PURPOSE, "--max-price", price, "--as", insurer)
    assert ran["state"] == "SETTLED"
    assert ran["result"] == expected(market)
    charge = ran["charge"]
    assert sum(charge["split"].values()) == charge["total_minor"] <= price
    after = asked("statement", "--as", insurer)["accounts"][0]["debits_posted_minor"]
    assert after - before == charge["total_minor"]
    share = asked("statement", "--as", market.folder / "alice")["accounts"][0]["credits_posted_minor"]
    assert share >= charge["split"]["alice"]
    assert asked("exchange", "check", market.exchange)["faults"] == []

    receipt = tmp_path / "receipt.json"
    asked("receipt", "fetch", ran["job"], receipt, "--as", insurer)
    facts = asked("receipt", "verify", receipt, "--exchange", insurer / "exchange.json")["facts"]
    assert facts["charge"] == {"currency": "CNY", "total_minor": charge["total_minor"]}
    # A provider's receipt opens its own part of the split, and not what the buyer paid.
    asked("receipt", "fetch", ran["job"], receipt, "--as", market.folder / "alice")
    facts = asked("receipt", "verify", receipt, "--exchange", insurer / "exchange.json")["facts"]
    parts = [value for name, value in facts.items() if name.startswith("part.")]
    assert parts == [{"payee": "alice", "amount_minor": charge["split"]["alice"]}]
    assert "charge" not in facts


def test_a_receipt_verifies_elsewhere_with_the_public_record_alone(
    market: Market, insurer: Path, tmp_path: Path
) -> None:
    table, receipt = market.folder / "result.csv", market.folder / "receipt.json"
    ran = asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer, "--out", table, "--receipt", receipt)
    assert ran["result"] is None
    with table.open() as file:
        assert [row["origin"] for row in csv.DictReader(file)] == ["JFK", "LGA"]
    shutil.copy(receipt, tmp_path / "receipt.json")
    shutil.copy(insurer / "exchange.json", tmp_path / "exchange.json")
    arguments = ("receipt", "verify", "receipt.json", "--exchange", "exchange.json", "--json", "-")
    found = alone(tmp_path, *arguments)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["job"] == ran["job"]
    # Another exchange's keys prove nothing about it.
    shutil.copy(market.folder / "alice" / "identity" / "party.json", tmp_path / "exchange.json")
    refused = alone(tmp_path, *arguments)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "document-malformed"
    assert "Traceback" not in refused.stderr


def test_a_changed_receipt_is_refused(market: Market, insurer: Path, tmp_path: Path) -> None:
    job = asked("jobs", "--as", insurer)["jobs"][0]["job"]
    if asked("jobs", job, "--as", insurer)["state"] != "SETTLED":
        job = asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer)["job"]
    receipt = tmp_path / "receipt.json"
    asked("receipt", "fetch", job, receipt, "--as", insurer)
    envelope = json.loads(receipt.read_bytes())
    signature = envelope["signatures"][0]["sig"]
    envelope["signatures"][0]["sig"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    receipt.write_text(json.dumps(envelope, separators=(",", ":"), sort_keys=True))
    failed = asked("receipt", "verify", receipt, "--exchange", insurer / "exchange.json", exit_code=1)
    assert failed["error"]["code"] == "signature-invalid"


def test_a_detached_job_is_found_again_and_its_result_fetched(insurer: Path, market: Market) -> None:
    job = asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer, "--detach")["job"]
    assert asked("jobs", job, "--watch", "--as", insurer)["state"] == "SETTLED"
    assert asked("jobs", "--as", insurer)["jobs"][0]["job"] == job
    out = market.folder / "again.parquet"
    assert asked("jobs", job, "--out", out, "--as", insurer)["rows"] == 2
    assert out.stat().st_size > 0


def test_a_query_is_explained_without_a_job(insurer: Path) -> None:
    jobs = asked("jobs", "--as", insurer)
    plan = asked("explain", QUERY, "--as", insurer)["plan"]
    assert asked("jobs", "--as", insurer) == jobs
    assert {"alice", "bob", "insurer"} <= {name for node in plan["nodes"] for name in node["by"]}
    quoted = asked("quote", QUERY, *PURPOSE, "--as", insurer)
    assert quoted["plan"] == plan
    assert (plan["rounds"], plan["bytes"]) == (quoted["quote"]["rounds"], quoted["quote"]["wire_bytes"])
    said = invoke("explain", QUERY, "--as", insurer).stdout
    assert "insurer: open what is shown, and finish" in said
    asked("jobs", quoted["job"], "--cancel", "--watch", "--as", insurer)


def test_a_quoted_job_can_be_cancelled(insurer: Path) -> None:
    job = asked("quote", QUERY, *PURPOSE, "--as", insurer)["job"]
    assert asked("jobs", job, "--cancel", "--watch", "--as", insurer)["state"] == "CANCELLED"
    failed = asked("jobs", job, "--cancel", "--as", insurer, exit_code=1)
    assert failed["error"]["code"] == "state-conflict"


@pytest.mark.parametrize(
    ("query", "options", "code"),
    [
        (QUERY, ("--purpose", "insurance-pricing", "--max-price", 1), "job-refused"),
        (QUERY, ("--purpose", "marketing", *CAP), "job-refused"),
        ("SELECT tailnum, COUNT(*) AS n FROM flights GROUP BY tailnum", (*PURPOSE, *CAP), "job-refused"),
        ("SELECT origin, COUNT(*) AS n FROM nowhere GROUP BY origin", (*PURPOSE, *CAP), "object-unknown"),
        ("SELECT origin, FROM", (*PURPOSE, *CAP), "document-malformed"),
    ],
)
def test_what_cannot_run_is_refused_with_its_reasons(
    insurer: Path, query: str, options: tuple[object, ...], code: str
) -> None:
    failed = asked("run", query, *options, "--as", insurer, exit_code=1)["error"]
    assert failed["code"] == code
    assert bool(failed["reasons"]) == (code == "job-refused")
    assert all(reason["remedy"] for reason in failed["reasons"])


def test_the_log_is_verified_against_what_was_seen_before(market: Market, insurer: Path) -> None:
    (insurer / LAST_VERIFIED).unlink(missing_ok=True)
    first = asked("log", "verify", "--as", insurer)
    assert first["extends_size"] is None
    asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer)
    second = asked("log", "verify", "--as", insurer)
    assert second["extends_size"] == first["size"] < second["size"]
    assert asked("log", "verify", "--as", market.folder / "alice")["root"] == second["root"]
    # An exchange that rewrote its history: what it signed before is not a part of what it shows now.
    site = Site.open(market.exchange, PASSPHRASE)
    forked = notes.Checkpoint(ENVIRONMENT, first["size"], bytes(32))
    write_private(insurer / LAST_VERIFIED, notes.sign_checkpoint(forked, site.identity.log_signer).to_bytes())
    site.store.close()
    failed = asked("log", "verify", "--as", insurer, exit_code=1)
    assert failed["error"]["code"] == "evidence"
    (insurer / LAST_VERIFIED).unlink()


def test_a_payment_is_booked_once_and_to_buyers_alone(market: Market, insurer: Path) -> None:
    def balance() -> int:
        return int(asked("statement", "--as", insurer)["accounts"][0]["credits_posted_minor"])

    before = balance()
    for _ in range(2):
        asked("exchange", "deposit", market.exchange, "insurer", 700, "CNY", "--id", "wire-7")
    assert balance() == before + 700
    for party, amount_minor in (("insurer", 9), ("alice", 700), ("nobody", 700)):
        payment = (party, amount_minor, "CNY", "--id", "wire-7")
        asked("exchange", "deposit", market.exchange, *payment, exit_code=1)


def test_a_name_is_given_once(market: Market, insurer: Path) -> None:
    out = market.folder / "second.invitation"
    failed = asked("exchange", "invite", market.exchange, "insurer", "buyer", "--out", out, exit_code=1)
    assert failed["error"]["code"] == "state-conflict"
    assert not out.exists()


def test_roles_are_kept_apart(market: Market, insurer: Path) -> None:
    failed = asked("run", QUERY, *PURPOSE, *CAP, "--as", market.folder / "alice", exit_code=1)
    assert failed["error"]["code"] == "not-permitted"
    assert invoke("node", "run", insurer).exit_code == 1
    assert invoke("exchange", "run", market.folder / "alice").exit_code == 1


def test_a_running_node_offers_what_is_registered(market: Market, insurer: Path) -> None:
    alice, source = market.folder / "alice", market.folder / "alice.csv"
    asked("product", "register", alice, "more", source, market.folder / "terms.yaml")
    wait_until(
        lambda: (
            [row["state"] == "on offer" for row in asked("product", "list", "--as", alice)["products"]]
            == [True, True]
        ),
        timeout_s=10,
    )
    assert [item["product"] for item in asked("catalogue", "more", "--as", insurer)["products"]] == [
        "alice.more"
    ]
    # A misspelt name neither founds nor joins anything, and what exists is not founded again.
    for act, name in (("join", "flihgts"), ("propose", "Flights!"), ("propose", "flights")):
        assert invoke("collection", act, alice, name, "more").exit_code == 1


def test_a_running_node_offers_a_table_of_a_database_and_shows_its_connection_string_nowhere(
    market: Market, insurer: Path
) -> None:
    alice = market.folder / "alice"
    with running_server() as uri:
        place = PostgresqlPlace(uri)
        columns = zip(*market.rows["alice"], strict=True)
        place.write(pa.table(dict(zip(("origin", "dep_delay"), map(list, columns), strict=True))))
        write_private(alice / "shop.dsn", f"{uri}&application_name=planted-secret\n".encode())
        (alice / "kept.terms.yaml").write_text(KEPT_TERMS)
        configured = node_file.read(alice)
        offer = ProductConfiguration(
            source=PostgresqlConfiguration(kind="postgresql", table=place.table, dsn_file="shop.dsn"),
            terms="kept.terms.yaml",
        )
        products = {**configured.products, "kept": offer}
        node_file.write(alice, configured.model_copy(update={"products": products}))
        found = asked("product", "check", alice, "kept")
        assert found["columns"] == {"origin": "VARCHAR", "dep_delay": "BIGINT"}
        wait_until(lambda: bool(asked("catalogue", "kept", "--as", insurer)["products"]), timeout_s=20)
        query = QUERY.replace("FROM flights", "FROM alice.kept")
        ran = asked("run", query, *PURPOSE, *CAP, "--as", insurer)
        assert ran["result"] == totals(market.rows["alice"])
        node_file.write(alice, configured)
    assert "planted-secret" not in market.log("alice") + json.dumps([found, ran])


def test_keys_are_rotated_while_everything_runs(market: Market, insurer: Path) -> None:
    notary = market.folder / "notary"
    pids = {name: market.pid(name) for name in ("exchange", "notary")}
    for folder in (insurer, notary):
        before = asked("identity", "show", folder)
        rotated = insisted("identity", "rotate", folder)
        assert rotated["previous_key_id"] == before["key_id"] != rotated["key_id"]
        assert rotated["version"] == before["version"] + 1
    wait_until(lambda: "rotated keys" in market.log("notary"), timeout_s=10)
    assert asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer)["result"] == expected(market)
    assert {name: market.pid(name) for name in pids} == pids


def is_refused(folder: Path) -> bool:
    """Ask for a party's statement; the exchange remembers a key for a second."""
    result = invoke("statement", "--as", folder, "--json", "-")
    return bool(json.loads(result.stdout).get("error", {}).get("code") == "not-permitted")


def test_an_interrupted_rotation_goes_on(market: Market, insurer: Path) -> None:
    begun = key_rotation._begin(insurer, PASSPHRASE)
    heir = begun.heir.record.document.verifying_key.key_id
    # Before the exchange heard of it, the old keys are good.
    asked("statement", "--as", insurer)

    async def tell_the_exchange() -> None:
        assert begun.old is not None
        exchange = exchange_record(insurer).document
        client = ExchangeClient(str(exchange.address), begun.old, exchange, clock=utc_now)
        await client.rotate_key(Caller("insurer", "buyer"), begun.event, begun.heir.record.to_bytes())
        await client.close()

    asyncio.run(tell_the_exchange())
    # Cut off here, the old keys are good no more, and the new ones lie beside them.
    wait_until(lambda: is_refused(insurer), timeout_s=5)
    assert insisted("identity", "rotate", insurer)["key_id"] == heir
    asked("statement", "--as", insurer)
    assert not (insurer / "identity.next").exists()


def test_a_revoked_buyer_is_refused_without_a_restart(market: Market) -> None:
    mallory = market.buyer("mallory")
    pid = market.pid("exchange")
    assert not is_refused(mallory)
    asked("exchange", "revoke", market.exchange, "mallory")
    wait_until(lambda: is_refused(mallory), timeout_s=5)
    for command in (("statement",), ("run", QUERY, *PURPOSE, *CAP)):
        failed = asked(*command, "--as", mallory, exit_code=1)
        assert failed["error"]["code"] == "not-permitted"
    assert market.pid("exchange") == pid
    assert invoke("exchange", "revoke", market.exchange, "mallory").exit_code == 1
    assert invoke("exchange", "revoke", market.exchange, "exchange").exit_code == 1


def test_logs_are_json_lines_without_data(market: Market, insurer: Path) -> None:
    asked("run", QUERY, *PURPOSE, *CAP, "--as", insurer)
    for name in ("exchange", "alice", "bob", "notary"):
        lines = market.log(name).splitlines()
        assert lines
        for line in lines:
            assert {"time", "level", "logger", "message"} <= set(json.loads(line))
        assert "N0001" not in market.log(name)
        assert "SELECT" not in market.log(name)


def test_an_exchange_that_is_away_is_named(insurer: Path, tmp_path: Path) -> None:
    closed = Identity.create(
        "closed",
        "exchange",
        controller="nobody",
        region="CN",
        address="127.0.0.1:1",
        environment=ENVIRONMENT,
        clock=utc_now,
    )
    shutil.copytree(insurer, tmp_path / "insurer")
    write_private(tmp_path / "insurer" / "exchange.json", closed.record.to_bytes())
    failed = asked("statement", "--as", tmp_path / "insurer", exit_code=1)
    assert failed["error"]["code"] == "peer-unavailable"
    assert "closed" in failed["error"]["message"]
