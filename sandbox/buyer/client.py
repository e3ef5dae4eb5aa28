"""The SDK: a buyer, its jobs, quotes and results, as a data scientist uses them. Synchronous."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from html import escape
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from records.document import Signed
from records.errors import MalformedDocument
from records.job import Job, Quote, ReleaseToken
from records.money import Money
from sandbox import receipt as receipts
from sandbox.buyer.loop import LoopThread
from sandbox.buyer.opening import OpenedResult
from sandbox.buyer.products import Product
from sandbox.buyer.session import DEFAULT_MAX_GROUPS, BuyerSession
from sandbox.derivation import Derived
from sandbox.explain.explanation import Explanation, explain
from sandbox.lifecycle import TERMINAL, State
from sandbox.ports import JobEvent

TechniqueAsked = Literal["auto", "local", "secret-sharing"]


class Buyer:
    """A buyer at one exchange."""

    def __init__(self, session: BuyerSession, loop: LoopThread, on_close: Callable[[], None]) -> None:
        """Use `sandbox.connect` or `LocalCluster.buyer` instead."""
        self._session = session
        self._loop = loop
        self._on_close = on_close

    def products(self, search: str = "") -> list[Product]:
        """Return the products on offer whose name contains `search`, by name."""
        listing = self._loop.run(self._session.listing())
        return [Product(item.document) for name, item in sorted(listing.products.items()) if search in name]

    def collections(self) -> dict[str, tuple[str, ...]]:
        """Return the collections with their products."""
        listing = self._loop.run(self._session.listing())
        return {
            name: tuple(item.product for item in members) for name, members in listing.collections.items()
        }

    def sql(
        self,
        query: str,
        *,
        purpose: str,
        technique: TechniqueAsked = "auto",
        epsilon: str | None = None,
        max_groups: int = DEFAULT_MAX_GROUPS,
        max_price: Money | int | None = None,
    ) -> BuyerJob:
        """Return a job for `query`; nothing is sent before `quote`, `submit` or `run`.

        `max_groups` bounds what is computed over several providers: at most so many rows are released, and of
        a table whose provider declares no `public.rows`, at most so many enter shares. `max_price` (minor
        units) bounds the price of any quote.

        Raises:
            UnknownObject, MalformedDocument, JobRefused: the query cannot be one.
        """
        job = self._loop.run(
            self._session.draft(
                query,
                purpose=purpose,
                technique=technique,
                epsilon=epsilon,
                max_groups=max_groups,
                max_price_minor=_minor(max_price),
            )
        )
        return BuyerJob(self._session, self._loop, job.document.job_id, job)

    def job(self, job_id: str) -> BuyerJob:
        """Return one of this buyer's jobs, also one that an earlier process submitted."""
        view = self._loop.run(self._session.view(job_id))
        return BuyerJob(self._session, self._loop, job_id, Job.unverified(view.job))

    def jobs(self) -> list[BuyerJob]:
        """Return all jobs of this buyer, newest first."""
        views = self._loop.run(self._session.views())
        return [BuyerJob(self._session, self._loop, view.job_id, Job.unverified(view.job)) for view in views]

    def statement(self) -> Any:
        """Return this buyer's account: balances and postings in minor units."""
        return self._loop.run(self._session.statement())

    def close(self) -> None:
        """Let go of the connection."""
        self._on_close()


class QuoteView:
    """A signed, expiring price for one job. Asking for it cost nothing."""

    def __init__(self, signed: Signed[Quote], plan: Callable[[], Explanation]) -> None:
        """Show what `signed` says; `plan` explains how the job is computed."""
        self.signed = signed
        self._plan = plan
        self._quote = signed.document

    @property
    def price(self) -> Money:
        """The most that this job can cost; fewer cells cost less."""
        return Money(self._quote.charge.total_minor, self._quote.charge.currency)

    @property
    def epsilon(self) -> str | None:
        """ε of the job, None without differential privacy."""
        return self._quote.epsilon

    @property
    def half_width(self) -> str | None:
        """95 % half-width of a cell; None where values are exact."""
        return self._quote.half_width

    @property
    def technique(self) -> str:
        """How values are computed."""
        return self._quote.technique

    @property
    def assumption(self) -> str:
        """What the secrecy rests on."""
        return self._quote.assumption

    @property
    def limits(self) -> tuple[str, ...]:
        """What is known not to be covered."""
        return self._quote.limits

    @property
    def leaks(self) -> tuple[str, ...]:
        """What protocols show beside the result."""
        return self._quote.leaks

    @property
    def seconds(self) -> float:
        """Declared compute, in seconds: a model over public sizes, which is also what is billed."""
        return float(self._quote.seconds)

    @property
    def rounds(self) -> int:
        """Declared rounds of the protocol, one after the other."""
        return self._quote.rounds

    @property
    def wire_bytes(self) -> int:
        """Declared bytes between nodes."""
        return self._quote.wire_bytes

    @property
    def plan(self) -> Explanation:
        """The plan as nodes: who computes what, who learns what, rounds, bytes and seconds."""
        return self._plan()

    def explain(self) -> str:
        """Return the quote and its plan, a tree, as text."""
        return f"{self._summary()}\n\n{self.plan}"

    def _summary(self) -> str:
        quote = self._quote
        lines = [
            f"technique   {quote.technique}",
            f"nodes       {', '.join(quote.nodes)}",
            f"compute set {', '.join(quote.compute_set) or 'none: one provider computes on its own rows'}",
            f"price       at most {self.price}",
            *(f"  {payee:<20} {amount:>10}" for payee, amount in sorted(quote.charge.split.items())),
            f"time        {quote.seconds} s declared: {quote.rounds} rounds, {quote.wire_bytes} bytes",
            f"epsilon     {quote.epsilon or 'none: exact values'}",
            *(f"opens       `{item.opening_id}` to the {item.receivers}" for item in quote.openings),
            f"leaks       {', '.join(quote.leaks) or 'none'}",
            f"assumption  {quote.assumption}",
            *(f"limit       {limit}" for limit in quote.limits),
            f"expires     {quote.expires_at}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Quote(at most {self.price}, {self.technique})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self._summary())}</pre>"


class ReceiptView:
    """A signed receipt; `verify` needs public keys alone."""

    def __init__(self, envelope: bytes, keys: receipts.ExchangeKeys) -> None:
        """`keys` are the exchange's, known since enrolment."""
        self.envelope = envelope
        self._keys = keys

    def verify(self) -> dict[str, Any]:
        """Return the facts that the receipt proves.

        Raises:
            SignatureInvalid, EvidenceError: it proves nothing.
        """
        return dict(receipts.verify(self.envelope, self._keys).facts)

    def save(self, path: str | Path) -> None:
        """Write the receipt to a file, for `usufruct receipt verify`."""
        Path(path).write_bytes(self.envelope)


class Result:
    """A released result."""

    def __init__(self, opened: OpenedResult, receipt: ReceiptView) -> None:
        """Hold the opened table and the receipt."""
        self._opened = opened
        self.receipt = receipt

    @property
    def suppressed(self) -> int:
        """How many cells the gate suppressed; they are null, never 0."""
        return self._opened.suppressed

    def to_arrow(self) -> pa.Table:
        """Return the result as an Arrow table."""
        return self._opened.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the result as a DataFrame."""
        frame: pd.DataFrame = self._opened.table.to_pandas()
        return frame

    def __repr__(self) -> str:
        table = self._opened.table
        return (
            f"Result({table.num_rows} rows, {table.num_columns} columns, {self.suppressed} cells suppressed)"
        )

    def _repr_html_(self) -> str:
        return str(self.to_pandas().to_html()) + f"<p>{self.suppressed} cells suppressed</p>"


class BuyerJob:
    """One job. A restarted client finds it again with `Buyer.job(id)`."""

    def __init__(self, session: BuyerSession, loop: LoopThread, job_id: str, job: Signed[Job]) -> None:
        """Use `Buyer.sql` or `Buyer.job`."""
        self._session = session
        self._loop = loop
        self._job = job
        self.id = job_id

    @property
    def query(self) -> str:
        """The SQL text."""
        return self._job.document.query

    @property
    def state(self) -> str:
        """Where the job stands at the exchange."""
        return self._loop.run(self._session.view(self.id)).state

    def quote(self) -> QuoteView:
        """Submit the job if it is not, and wait for its price.

        Raises:
            JobRefused: with every reason; nothing was charged.
        """
        self._loop.run(self._session.submit(self._job))
        signed = self._loop.run(self._session.quoted(self.id))
        return QuoteView(
            signed, lambda: self._explained(self._session.derived(self._job.document, signed.document))
        )

    def explain(self) -> Explanation:
        """Return how the job would be computed, from the catalogue alone: nothing is submitted or charged.

        Raises:
            JobRefused: the planner, or the terms of several providers together, leave no way.
        """
        return self._explained(self._session.planned(self._job.document))

    def _explained(self, deriving: Coroutine[Any, Any, Derived]) -> Explanation:
        return explain(self._loop.run(deriving), self._job.document.buyer)

    def submit(self, *, max_price: Money | int | None = None) -> str:
        """Get a quote and accept it, without waiting for the result; return the job's id.

        Raises:
            JobRefused: refused, or dearer than `max_price`; nothing was charged.
        """
        quote = self.quote()
        self._loop.run(self._session.accept(self.id, quote.signed, _minor(max_price, quote.price)))
        return self.id

    def run(self, *, max_price: Money | int | None = None) -> Result:
        """Quote, accept, wait, and open the result.

        Raises:
            JobRefused: refused, or dearer than `max_price`; nothing was charged.
            ResultWithheld: a release rule withheld the whole result.
            JobEnded: it was cancelled, expired or failed.
        """
        self.submit(max_price=max_price)
        return self.result()

    def result(self) -> Result:
        """Wait for the result of a submitted job, and open it. Raises as `run`."""
        opened = self._loop.run(self._session.open(self.id))
        return Result(opened, self.receipt)

    @property
    def receipt(self) -> ReceiptView:
        """The receipt of an ended job: of a release, or that there was none."""
        return ReceiptView(self._loop.run(self._session.receipt(self.id)), self._session.keys)

    @property
    def release_token(self) -> ReleaseToken:
        """The exchange's signed word that the charge is booked; its split sums to the charge."""
        return self._loop.run(self._session.token(self.id))

    def watch(self) -> Iterator[JobEvent]:
        """Yield every step of the job as it happens, until it ends."""
        yield from self._loop.iterate(self._session.watch(self.id))

    def wait(self) -> str:
        """Wait until the job has ended, and return how."""
        for event in self.watch():
            if State(event.state) in TERMINAL:
                break
        return self.state

    def cancel(self) -> None:
        """Stop the job; possible until METERED."""
        self._loop.run(self._session.cancel(self.id))

    def __repr__(self) -> str:
        return f"BuyerJob({self.id})"


def _minor(price: Money | int | None, quoted: Money | None = None) -> int | None:
    if isinstance(price, Money):
        if quoted is not None and price.currency != quoted.currency:
            raise MalformedDocument(f"the quote is in {quoted.currency}; state `max_price` in it")
        return price.amount_minor
    return price
