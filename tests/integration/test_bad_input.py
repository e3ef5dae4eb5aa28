"""Bad input and absent parties: one clear error that names the next step, nothing charged, nothing held."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing import accounts
from records import clock, ids
from records.document import Signed
from records.errors import (
    JobEnded,
    JobRefused,
    MalformedDocument,
    NotPermitted,
    RefusedError,
    RequestExpired,
    RequestReplayed,
    SignatureInvalid,
    SourceUnreadable,
    StateConflict,
    UnknownObject,
    UsufructError,
)
from records.job import Acceptance, Job
from sandbox.buyer.client import Buyer, BuyerJob
from sandbox.lifecycle import State
from sandbox.local import LocalCluster
from sandbox.node import journal
from sandbox.node.configuration import NodeConfiguration, ProductConfiguration
from sandbox.ports import Caller
from tests.adversarial.town import CALLER
from tests.adversarial.town import Town as ByHand
from tests.crash.bookkeeping import Standing, events, violations
from tests.crash.town import TERMS, Town, blueprint, lasting

PROVIDER = "alpha"
FUNDS = 1_000_000
QUERY = "SELECT city, SUM(amount) AS s FROM alice.sales GROUP BY city"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("away")
    with Town(folder / "run", blueprint(folder, token_ttl_s=3, silent_node_s=1)) as town:
        town.start()
        yield town


@pytest.mark.parametrize(
    ("point", "clause", "event", "uses"),
    [
        pytest.param("before admission", "submitted.", "failed", 0, id="admit"),
        pytest.param("before the hold", "quoted.", "failed", 0, id="hold"),
        pytest.param("before the attempt is prepared", "held.", "failed", 0, id="prepare"),
        pytest.param("the attempt is started", "held.", "failed", 0, id="execute"),
        # From here on a result was computed, which is a use (R12).
        pytest.param("sealed, not uploaded", "held.", "failed", 1, id="upload"),
        pytest.param("the token is checked, nothing is journalled", "execution", "reversed", 1, id="release"),
    ],
)
def test_a_provider_is_away_from(point: str, clause: str, event: str, uses: int, town: Town) -> None:
    town.start_all()
    before = Standing.of(town)
    town.set_faults(PROVIDER, {point: "kill"})
    job = town.job()
    with pytest.raises(JobEnded) as ended:
        job.run()
    (reason,) = ended.value.reasons
    assert reason.clause.startswith(clause)
    assert reason.remedy
    assert State(job.state) is State.FAILED
    with town.books.store.read() as connection:
        assert event in events(connection, job.id)
    assert job.receipt.verify()["event"] == event

    town.launch(PROVIDER)
    assert lasting(lambda: violations(town, job.id, before, dict.fromkeys(before.uses, uses))) == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        pytest.param(State.HELD, "void", id="nothing was computed"),
        # A token in time may already name the result: only the exchange's word ends this one.
        pytest.param(State.EXECUTED, "held", id="a result is sealed"),
    ],
)
def test_a_hold_of_which_nobody_speaks_any_more_ends_with_its_acceptance(state: State, status: str) -> None:
    with ByHand() as town:
        job_id = town.at(state)
        digest, node = town.acceptance_digest(job_id), town.node("alice")
        if state is State.HELD:
            town.run(node.prepare(CALLER, digest, 1))
        town.pass_time(hours=2)
        town.at(State.QUOTED)
        with node._store.read() as connection:
            agreed = journal.agreed(connection, digest)
            held = accounts.balance(connection, "total", "uses:alice.sales").debits_pending
    assert agreed is not None
    assert (agreed.status, held) == (status, 1 if status == "held" else 0)


def test_a_broken_file_does_not_keep_the_other_products_off_the_market(town: Town, tmp_path: Path) -> None:
    town.start_all()
    folder = town.folder / PROVIDER
    (folder / "broken.parquet").write_bytes(b"PAR1 but not for long")
    pq.write_table(pa.table({"city": ["Aachen"] * 20, "amount": range(20)}), folder / "later.parquet")
    configured = NodeConfiguration.read(folder / "node.yaml")
    terms = configured.products["sales"].terms
    added = {
        name: ProductConfiguration(source=f"{name}.parquet", terms=terms) for name in ("broken", "later")
    }
    products = {**added, **configured.products}
    configured.model_copy(update={"products": products}).write(folder / "node.yaml")

    def on_offer() -> set[str]:
        return {product.name for product in town.client.products(f"{PROVIDER}.")}

    town.wait_until(lambda: f"{PROVIDER}.later" in on_offer(), "the product is not offered")
    assert on_offer() == {f"{PROVIDER}.sales", f"{PROVIDER}.later"}
    lines = [json.loads(line) for line in (folder / "server.log").read_text().splitlines() if line[0] == "{"]
    told = [line for line in lines if line["message"] == "a product is not offered"]
    assert {line["product"] for line in told} == {f"{PROVIDER}.broken"}
    assert {line["fault"] for line in told} == {"source-unreadable"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sales.parquet", b"PAR1 and nothing that a Parquet file has"),
        ("sales.parquet", b""),
        ("sales.csv", b"city,amount\nAachen,1,2,3\n\xff\xfe\x00"),
        ("sales.csv", b""),
    ],
)
def test_a_corrupt_file_is_refused_when_it_is_offered(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"write|give|check|save") as refusal:
        LocalCluster(providers={"alice": {"sales": tmp_path / name}}, terms={"alice": {"sales": TERMS}})
    assert "Aachen" not in str(refusal.value)


class Shop:
    """A local cluster with one product in a file, and a buyer whose account is looked at."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "sales.parquet"
        pq.write_table(pa.table({"city": ["A"] * 20 + ["B"] * 30, "amount": [1] * 50}), self.source)
        self.cluster = LocalCluster(
            providers={"alice": {"sales": self.source}}, terms={"alice": {"sales": TERMS}}
        )
        self.buyer = self.cluster.buyer("acme", funds={"CNY": FUNDS})
        self.rival = self.cluster.buyer("rival", funds={"CNY": FUNDS})
        self.exchange: Any = self.cluster._exchange

    def run(self, call: Any) -> Any:
        return self.cluster._loop.run(call)

    def submit(self, job: Signed[Job], caller: str = "acme") -> str:
        answer: str = self.run(self.exchange.submit(Caller(caller, "buyer"), job.to_bytes()))
        return answer

    def signed(self, by: Buyer | None = None, **changes: Any) -> Signed[Job]:
        """Return a job of the buyer with some fields changed, signed by it or by somebody else."""
        draft = self.buyer.sql(QUERY, purpose="research")._job.document
        fresh = {
            "job_id": ids.uuid7(clock.utc_now(), secrets.token_bytes),
            "idempotency_key": secrets.token_hex(),
        }
        return draft.model_copy(update=fresh | changes).sign((by or self.buyer)._session._identity.signer)

    def assert_untouched(self) -> None:
        """Nothing was charged, nothing is held, ledger and log hold."""
        self.cluster.ledger.check()
        self.cluster.log.check()
        (account,) = self.buyer.statement()["accounts"]
        sums = ("credits_posted", "debits_posted", "debits_pending")
        assert [account[f"{name}_minor"] for name in sums] == [FUNDS, 0, 0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    shop.assert_untouched()
    shop.cluster.close()


def _later(**past: int) -> str:
    return clock.to_text(clock.utc_now() + timedelta(**past))


def _refused(job: BuyerJob, **options: Any) -> RefusedError:
    with pytest.raises((JobRefused, JobEnded)) as refusal:
        job.run(**options)
    assert all(reason.remedy for reason in refusal.value.reasons)
    return refusal.value


def test_an_unknown_product_is_said_to_be_unknown(shop: Shop) -> None:
    with pytest.raises(UnknownObject, match="products"):
        shop.buyer.sql("SELECT city FROM nobody.sales", purpose="research")


def test_an_unknown_column_refuses_the_job(shop: Shop) -> None:
    query = "SELECT town, SUM(amount) AS s FROM alice.sales GROUP BY town"
    refusal = _refused(shop.buyer.sql(query, purpose="research"))
    assert [reason.clause for reason in refusal.reasons] == ["query.object-unknown"]
    shop.assert_untouched()


def test_an_unknown_purpose_refuses_the_job(shop: Shop) -> None:
    refusal = _refused(shop.buyer.sql(QUERY, purpose="advertising"))
    assert [(reason.provider, reason.clause) for reason in refusal.reasons] == [("alice", "purposes")]
    shop.assert_untouched()


def test_a_price_above_the_cap_of_the_client_is_not_accepted(shop: Shop) -> None:
    refusal = _refused(shop.buyer.sql(QUERY, purpose="research"), max_price=1)
    assert [reason.clause for reason in refusal.reasons] == ["max_price"]
    shop.assert_untouched()


def test_a_price_above_the_cap_in_the_job_is_not_quoted(shop: Shop) -> None:
    refusal = _refused(shop.buyer.sql(QUERY, purpose="research", max_price=1))
    assert [reason.provider for reason in refusal.reasons] == ["exchange"]
    shop.assert_untouched()


def test_a_source_that_changed_after_its_registration_is_not_computed_on(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        job = shop.buyer.sql(QUERY, purpose="research")
        quote = job.quote()
        pd.DataFrame({"city": ["A"] * 40, "amount": [2] * 40}).to_parquet(shop.source)
        refusal = _refused(job, max_price=quote.price)
        assert [reason.clause for reason in refusal.reasons] == ["held.source-unreadable"]
        shop.assert_untouched()
    finally:
        shop.cluster.close()


@pytest.mark.parametrize(
    ("changes", "caller", "by_rival", "error"),
    [
        pytest.param({}, "nobody", False, NotPermitted, id="somebody else's job"),
        pytest.param({"buyer": "nobody"}, "nobody", False, UnknownObject, id="an unknown party"),
        pytest.param({}, "acme", True, SignatureInvalid, id="another's signature"),
        pytest.param({"environment": "prod"}, "acme", False, UsufructError, id="another exchange's"),
        pytest.param(
            {"issued_at": _later(hours=-2), "expires_at": _later(hours=-1)},
            "acme",
            False,
            RequestExpired,
            id="expired",
        ),
        pytest.param(
            {"issued_at": _later(hours=1), "expires_at": _later(hours=2)},
            "acme",
            False,
            RequestExpired,
            id="from the future",
        ),
        pytest.param({"expires_at": _later(days=30)}, "acme", False, RequestExpired, id="valid for a month"),
    ],
)
def test_the_exchange_does_not_take_in(
    changes: dict[str, Any], caller: str, by_rival: bool, error: type[UsufructError], shop: Shop
) -> None:
    jobs_before = len(shop.buyer.jobs())
    with pytest.raises(error) as refusal:
        shop.submit(shop.signed(shop.rival if by_rival else None, **changes), caller)
    assert str(refusal.value)
    assert len(shop.buyer.jobs()) == jobs_before
    shop.assert_untouched()


@pytest.mark.parametrize(
    "envelope", [b"", b"{}", b"\x00" * 64, b'{"payload":"","payloadType":"x","signatures":[]}']
)
def test_the_exchange_does_not_take_in_what_is_no_document(envelope: bytes, shop: Shop) -> None:
    with pytest.raises((MalformedDocument, SignatureInvalid)):
        shop.run(shop.exchange.submit(Caller("acme", "buyer"), envelope))


def test_an_idempotency_key_or_job_id_is_used_for_one_job_only(shop: Shop) -> None:
    first = shop.signed()
    assert shop.submit(first) == shop.submit(first)
    with pytest.raises(RequestReplayed):
        shop.submit(shop.signed(idempotency_key=first.document.idempotency_key))
    with pytest.raises(RequestReplayed):
        shop.submit(shop.signed(job_id=first.document.job_id))
    assert len([job for job in shop.buyer.jobs() if job.id == first.document.job_id]) == 1


def test_an_acceptance_is_of_this_quote_by_this_buyer_in_time(shop: Shop) -> None:
    job = shop.buyer.sql(QUERY, purpose="research")
    quote = job.quote().signed
    other = shop.buyer.sql(QUERY, purpose="research").quote().signed

    def accept(by: Buyer, caller: str = "acme", **changes: Any) -> None:
        fields = {
            "environment": quote.document.environment,
            "quote_digest": quote.digest,
            "job_digest": quote.document.job_digest,
            "buyer": "acme",
            "issued_at": _later(),
            "expires_at": _later(hours=1),
        } | changes
        signed = Acceptance(**fields).sign(by._session._identity.signer)
        shop.run(shop.exchange.accept(Caller(caller, "buyer"), job.id, signed.to_bytes()))

    with pytest.raises(NotPermitted):
        accept(shop.buyer, quote_digest=other.digest)
    with pytest.raises(RequestExpired):
        accept(shop.buyer, expires_at=_later(hours=-1))
    with pytest.raises(SignatureInvalid):
        accept(shop.rival)
    with pytest.raises(UnknownObject):
        accept(shop.rival, caller="rival", buyer="rival")
    assert job.state == State.QUOTED
    job.cancel()
    assert job.wait() == State.CANCELLED
    with pytest.raises(StateConflict):
        accept(shop.buyer)
    shop.assert_untouched()
