"""Splits are exact, and a settlement pays what the job brought in, once."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from billing import accounts, ledger, settlement, trial_balance
from billing.accounts import Bound
from billing.tariff import Charge, ExchangeFees, Tariff, Usage, charge
from records.errors import MalformedDocument, RefusedError, RequestReplayed
from tests.unit.billing.moments import NOW, after

names = st.text("abcde", min_size=1, max_size=3)
weights = st.dictionaries(
    names, st.one_of(st.integers(0, 1000), st.fractions(0, 10, max_denominator=50))
).filter(lambda found: any(found.values()))

JOB = "01890a5d-ac96-774b-bcce-b302099a8057"
TARIFF = Tariff("CNY", per_use_minor=100, per_cell_minor=1, per_compute_second_minor=0)
CHARGE = charge({"aurora": TARIFF, "skyline": TARIFF}, Usage(7, 0), ExchangeFees(250, 600))


@given(st.integers(0, 10**12), weights)
def test_parts_sum_to_the_total_and_are_within_one_unit_of_their_share(
    total: int, weights: dict[str, int | Fraction]
) -> None:
    parts = settlement.split(total, weights)
    whole = sum(map(Fraction, weights.values()))
    assert sum(parts.values()) == total
    assert parts.keys() == weights.keys()
    for name, weight in weights.items():
        assert abs(parts[name] - total * weight / whole) < 1
        assert weight or not parts[name]


@given(st.integers(0, 10**6), weights)
def test_a_heavier_weight_never_gets_less(total: int, weights: dict[str, int | Fraction]) -> None:
    parts = settlement.split(total, weights)
    for one, other in itertools.permutations(weights, 2):
        assert weights[one] <= weights[other] or parts[one] >= parts[other]


@given(st.integers(0, 10**6), weights)
def test_the_order_of_the_names_does_not_matter(total: int, weights: dict[str, int | Fraction]) -> None:
    backwards = dict(reversed(weights.items()))
    assert settlement.split(total, weights) == settlement.split(total, backwards)


def test_ties_go_to_the_name_that_sorts_first() -> None:
    assert settlement.split(10, {"c": 1, "a": 1, "b": 1}) == {"a": 4, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("total", "weights"), [(-1, {"a": 1}), (1, {}), (1, {"a": 0}), (1, {"a": -1, "b": 2}), (1, {"a": 0.5})]
)
def test_what_cannot_be_split_is_refused(total: int, weights: dict[str, int | Fraction]) -> None:
    with pytest.raises(MalformedDocument):
        settlement.split(total, weights)


def open_accounts(conn: Connection, clearing_bound: Bound) -> None:
    accounts.open_account(conn, "bank", "CNY", "free")
    accounts.open_account(conn, "buyer:acme", "CNY", "credit-limited")
    accounts.open_account(conn, settlement.clearing_account(JOB), "CNY", clearing_bound)
    for payee in CHARGE.split:
        accounts.open_account(conn, settlement.payee_account(payee), "CNY", "free")
    ledger.transfer(conn, "fund", debit="bank", credit="buyer:acme", amount=10_000, unit="CNY", now=NOW)


def pay(conn: Connection) -> None:
    ledger.hold(
        conn,
        "hold",
        debit="buyer:acme",
        credit=settlement.clearing_account(JOB),
        amount=1_000,
        unit="CNY",
        expires_at=after(60),
        now=NOW,
    )
    ledger.post(conn, "post", "hold", CHARGE.total_minor, NOW)


def test_a_settlement_pays_every_payee_and_empties_the_clearing_account(conn: Connection) -> None:
    open_accounts(conn, "credit-limited")
    pay(conn)
    settlement.settle(conn, CHARGE, JOB, NOW)
    settlement.settle(conn, CHARGE, JOB, after(5))
    for payee, part in CHARGE.split.items():
        assert accounts.balance(conn, settlement.payee_account(payee), "CNY").credits_posted == part
    assert accounts.balance(conn, settlement.clearing_account(JOB), "CNY").available == 0
    assert trial_balance.check(conn).open_holds == 0


def test_a_job_is_not_settled_before_it_is_paid(conn: Connection) -> None:
    open_accounts(conn, "credit-limited")
    with pytest.raises(RefusedError):
        settlement.settle(conn, CHARGE, JOB, NOW)


def test_a_payee_is_not_settled_with_another_amount(conn: Connection) -> None:
    open_accounts(conn, "credit-limited")
    pay(conn)
    settlement.settle(conn, CHARGE, JOB, NOW)
    with pytest.raises(RequestReplayed):
        settlement.settle(conn, charge({"aurora": TARIFF}, Usage(9, 0), ExchangeFees(0, 0)), JOB, NOW)


@pytest.mark.parametrize("defended", [True, False])
def test_a_job_is_not_settled_a_second_time_with_another_payee(conn: Connection, defended: bool) -> None:
    """The control has a clearing account without a bound: the second payee is paid from nothing."""
    open_accounts(conn, "credit-limited" if defended else "free")
    accounts.open_account(conn, "provider:mallory", "CNY", "free")
    pay(conn)
    settlement.settle(conn, CHARGE, JOB, NOW)
    other: Charge = charge({"mallory": TARIFF}, Usage(7, 0), ExchangeFees(0, 0))
    if defended:
        with pytest.raises(RefusedError):
            settlement.settle(conn, other, JOB, NOW)
    else:
        settlement.settle(conn, other, JOB, NOW)
        assert accounts.balance(conn, "provider:mallory", "CNY").credits_posted == 107
