"""The ledger against a model of plain dictionaries, in any order of calls, retries and time.

After every step the trial balance holds, the totals are the model's, and no bounded account is past its
bound. A call that the model forbids raises the error that the model names, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import Connection, StaticPool, create_engine

from billing import accounts, ledger, trial_balance
from billing.accounts import Balance, Outcome
from billing.ledger import Kind, Transfer
from billing.tables import metadata
from records.clock import to_text
from records.errors import (
    RefusedError,
    RequestExpired,
    RequestReplayed,
    StateConflict,
    UsufructError,
)
from tests.unit.billing.moments import after

BOUNDS: dict[str, accounts.Bound] = {"bank": "free", "acme": "credit-limited", "clearing": "credit-limited"}
UNITS = ("CNY", "uses:skyline.flights")

Call = Callable[[Connection], Outcome]

ways = st.sampled_from([("bank", "acme"), ("acme", "clearing"), ("clearing", "bank"), ("clearing", "acme")])
units = st.sampled_from(UNITS)
amounts = st.integers(1, 20)


class LedgerMachine(RuleBasedStateMachine):
    """Every public call of the ledger, with small amounts over a few accounts."""

    holds = Bundle("holds")
    moves = Bundle("moves")
    closings = Bundle("closings")

    @initialize()
    def open_ledger(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self.engine)
        self.now_s = 0
        self.totals = {(name, unit): [0, 0, 0, 0] for name in BOUNDS for unit in UNITS}
        self.transfers: dict[str, Transfer] = {}
        self.calls: dict[str, Call] = {}
        with self.engine.begin() as conn:
            for name, unit in self.totals:
                accounts.open_account(conn, name, unit, BOUNDS[name])
        for unit in UNITS:
            self.transfer(("bank", "acme"), unit, 30)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()

    @rule(target=holds, way=ways, unit=units, amount=amounts, life_s=st.integers(0, 9))
    def hold(self, way: tuple[str, str], unit: str, amount: int, life_s: int) -> object:
        debit, credit = way
        entry = self.entry("hold", None, debit, credit, unit, amount, self.now_s + life_s)
        expired = RequestExpired if life_s == 0 else None
        now, expires_at = after(self.now_s), after(self.now_s + life_s)
        return self.attempt(
            entry,
            lambda conn: ledger.hold(
                conn,
                entry.transfer_id,
                debit=debit,
                credit=credit,
                amount=amount,
                unit=unit,
                expires_at=expires_at,
                now=now,
            ),
            expired or self.lack(entry, amount),
            pending=amount,
        )

    @rule(target=moves, way=ways, unit=units, amount=amounts)
    def transfer(self, way: tuple[str, str], unit: str, amount: int) -> object:
        debit, credit = way
        entry, now = self.entry("transfer", None, debit, credit, unit, amount), after(self.now_s)
        return self.attempt(
            entry,
            lambda conn: ledger.transfer(
                conn, entry.transfer_id, debit=debit, credit=credit, amount=amount, unit=unit, now=now
            ),
            self.lack(entry, amount),
            posted=amount,
        )

    @rule(
        target=moves,
        of=holds,
        share=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1)]),
        even_expired=st.booleans(),
    )
    def post(self, of: str, share: Fraction, even_expired: bool) -> object:
        held, now = self.transfers[of], after(self.now_s)
        amount = int(held.amount * share)
        kind: Kind = "post" if amount else "void"
        entry = self.entry(kind, of, held.debit, held.credit, held.unit, amount or held.amount)
        expired = held.expires_at is not None and held.expires_at <= to_text(now)
        return self.attempt(
            entry,
            lambda conn: ledger.post(conn, entry.transfer_id, of, amount, now, even_expired=even_expired),
            self.closed(held) or (RequestExpired if amount and expired and not even_expired else None),
            pending=-held.amount,
            posted=amount,
        )

    @rule(target=closings, of=holds)
    def void(self, of: str) -> object:
        held, now = self.transfers[of], after(self.now_s)
        entry = self.entry("void", of, held.debit, held.credit, held.unit, held.amount)
        return self.attempt(
            entry,
            lambda conn: ledger.void(conn, entry.transfer_id, of, now),
            self.closed(held),
            pending=-held.amount,
        )

    @rule(target=closings, of=moves)
    def reverse(self, of: str) -> object:
        undone, now = self.transfers[of], after(self.now_s)
        entry = self.entry("reversal", of, undone.credit, undone.debit, undone.unit, undone.amount)
        reversible = undone.kind in ("post", "transfer") and not self.is_referred_to(of)
        return self.attempt(
            entry,
            lambda conn: ledger.reverse(conn, entry.transfer_id, of, now),
            self.lack(entry, undone.amount) if reversible else StateConflict,
            posted=undone.amount,
        )

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds

    @rule(of=st.one_of(holds, moves, closings))
    def retry(self, of: str) -> None:
        with self.engine.begin() as conn:
            assert self.calls[of](conn) == "exists"

    @rule(of=st.one_of(holds, moves, closings), unit=units)
    def use_an_id_again_for_something_else(self, of: str, unit: str) -> None:
        with pytest.raises(RequestReplayed), self.engine.begin() as conn:
            ledger.transfer(
                conn, of, debit="bank", credit="acme", amount=21, unit=unit, now=after(self.now_s)
            )

    @rule(of=st.one_of(moves, closings))
    def close_what_is_no_hold(self, of: str) -> None:
        with pytest.raises(StateConflict), self.engine.begin() as conn:
            ledger.post(conn, "t-none", of, 1, after(self.now_s))

    @rule(of=st.one_of(holds, closings))
    def reverse_what_moved_nothing(self, of: str) -> None:
        with pytest.raises(StateConflict), self.engine.begin() as conn:
            ledger.reverse(conn, "t-none", of, after(self.now_s))

    @invariant()
    def the_books_are_right(self) -> None:
        with self.engine.begin() as conn:
            report = trial_balance.check(conn)
            for (name, unit), totals in self.totals.items():
                found = accounts.balance(conn, name, unit)
                assert found == Balance(*totals)
                assert BOUNDS[name] == "free" or found.available >= 0
        holds = [held.transfer_id for held in self.transfers.values() if held.kind == "hold"]
        assert report.open_holds == sum(not self.is_referred_to(held) for held in holds)
        assert report.transfers == len(self.transfers)

    def entry(
        self,
        kind: Kind,
        refers_to: str | None,
        debit: str,
        credit: str,
        unit: str,
        amount: int,
        expires_s: int | None = None,
    ) -> Transfer:
        expires_at = None if expires_s is None else to_text(after(expires_s))
        transfer_id, made_at = f"t-{len(self.transfers)}", to_text(after(self.now_s))
        return Transfer(transfer_id, kind, refers_to, debit, credit, unit, amount, expires_at, made_at)

    def attempt(
        self,
        entry: Transfer,
        call: Call,
        refusal: type[UsufructError] | None,
        *,
        pending: int = 0,
        posted: int = 0,
    ) -> object:
        if refusal:
            with pytest.raises(refusal), self.engine.begin() as conn:
                call(conn)
            return multiple()
        with self.engine.begin() as conn:
            assert call(conn) == "made"
        self.transfers[entry.transfer_id], self.calls[entry.transfer_id] = entry, call
        for side, name in enumerate((entry.debit, entry.credit)):
            self.totals[name, entry.unit][side] += pending
            self.totals[name, entry.unit][side + 2] += posted
        return entry.transfer_id

    def lack(self, entry: Transfer, amount: int) -> type[UsufructError] | None:
        available = Balance(*self.totals[entry.debit, entry.unit]).available
        return RefusedError if BOUNDS[entry.debit] != "free" and amount > available else None

    def closed(self, held: Transfer) -> type[UsufructError] | None:
        return StateConflict if held.kind != "hold" or self.is_referred_to(held.transfer_id) else None

    def is_referred_to(self, transfer_id: str) -> bool:
        return any(entry.refers_to == transfer_id for entry in self.transfers.values())


LedgerMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    # A busy machine, or a run of steps without a transfer to act on, is no fault of the ledger.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedger = LedgerMachine.TestCase
