"""Quote and charge are one function: exact, monotone, and silent about what was withheld."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.tariff import Charge, ExchangeFees, Line, Tariff, Usage, charge
from records.errors import LimitExceeded, MalformedDocument

prices = st.integers(0, 10_000)
tariffs = st.builds(Tariff, st.just("CNY"), prices, prices, prices, st.booleans())
products = st.dictionaries(st.sampled_from(["skyline", "aurora", "zephyr"]), tariffs, min_size=1)
usages = st.builds(Usage, cells=st.integers(0, 10**6), compute_ms=st.integers(0, 10**7))
rates = st.builds(ExchangeFees, st.integers(0, 10_000), st.integers(0, 10_000))

SKYLINE = Tariff("CNY", per_use_minor=500, per_cell_minor=2, per_compute_second_minor=1)


def test_a_charge_worked_by_hand() -> None:
    aurora = Tariff("CNY", per_use_minor=100, per_cell_minor=0, per_compute_second_minor=3)
    found = charge({"skyline": SKYLINE, "aurora": aurora}, Usage(10, 1500), ExchangeFees(250, 600))
    assert found.lines == (
        Line("aurora", "use", 100),
        Line("aurora", "cells", 0),
        Line("aurora", "compute", 5),  # 4.5 rounds half up
        Line("skyline", "use", 500),
        Line("skyline", "cells", 20),
        Line("skyline", "compute", 2),  # 1.5 rounds half up
        Line("exchange-fee", "fee", 16),  # 2.5 % of 627 is 15.675
        Line("tax", "tax", 39),  # 6 % of 643 is 38.58
    )
    assert found.split == {"aurora": 105, "skyline": 522, "exchange-fee": 16, "tax": 39}
    assert found.total_minor == 682


@given(products, usages, rates, st.booleans())
def test_the_split_sums_to_the_total(
    products: dict[str, Tariff], usage: Usage, fees: ExchangeFees, withheld: bool
) -> None:
    found = charge(products, usage, fees, withheld=withheld)
    assert sum(found.split.values()) == found.total_minor
    assert found.split.keys() == {*products, "exchange-fee", "tax"}
    assert all(line.amount_minor >= 0 for line in found.lines)


@given(products, usages, usages, rates)
def test_more_usage_never_costs_less(
    products: dict[str, Tariff], one: Usage, other: Usage, fees: ExchangeFees
) -> None:
    upper = Usage(max(one.cells, other.cells), max(one.compute_ms, other.compute_ms))
    quote = charge(products, upper, fees)
    for usage in (one, other):
        for withheld in (False, True):
            booked = charge(products, usage, fees, withheld=withheld)
            assert booked.total_minor <= quote.total_minor
            assert all(part <= quote.split[payee] for payee, part in booked.split.items())


@given(products, usages, rates)
def test_a_withheld_result_costs_compute_only_where_the_terms_say_so(
    products: dict[str, Tariff], usage: Usage, fees: ExchangeFees
) -> None:
    found = charge(products, usage, fees, withheld=True)
    assert not any(line.item in ("use", "cells") for line in found.lines)
    for provider, tariff in products.items():
        released = charge({provider: tariff}, usage, fees)
        compute = next(line for line in released.lines if line.item == "compute")
        assert found.split[provider] == (compute.amount_minor if tariff.compute_when_withheld else 0)


def test_a_withheld_result_is_free_by_default() -> None:
    assert (
        charge({"skyline": SKYLINE}, Usage(0, 9000), ExchangeFees(250, 600), withheld=True).total_minor == 0
    )


def test_a_provider_is_paid_for_each_of_its_products() -> None:
    both = {"skyline.flights": SKYLINE, "skyline.planes": SKYLINE, "aurora.flights": SKYLINE}
    found = charge(both, Usage(10, 1500), ExchangeFees(0, 0))
    assert found.split == {"skyline": 2 * 522, "aurora": 522, "exchange-fee": 0, "tax": 0}


def test_products_of_several_currencies_are_not_added() -> None:
    euro = Tariff("EUR", 1, 1, 1)
    with pytest.raises(MalformedDocument, match="one currency"):
        charge({"skyline": SKYLINE, "aurora": euro}, Usage(1, 1), ExchangeFees(0, 0))


def test_a_job_without_a_provider_has_no_price() -> None:
    with pytest.raises(MalformedDocument):
        charge({}, Usage(1, 1), ExchangeFees(0, 0))


@pytest.mark.parametrize("name", ["tax", "exchange-fee"])
def test_no_provider_passes_for_a_line_of_the_exchange(name: str) -> None:
    """The control shows the attack: in a split by name the provider would be paid the tax."""
    forged = Charge("CNY", (Line("tax", "use", 500), Line("tax", "tax", 30)))
    assert forged.split == {"tax": 530}
    with pytest.raises(MalformedDocument, match="lines of a charge"):
        charge({name: SKYLINE}, Usage(1, 1), ExchangeFees(0, 600))


def test_a_charge_stays_below_what_a_document_can_hold() -> None:
    dear = Tariff("CNY", 0, 1 << 30, 0)
    with pytest.raises(LimitExceeded):
        charge({"skyline": dear}, Usage(1 << 30, 0), ExchangeFees(0, 0))


@pytest.mark.parametrize("price", [-1, 1.5, True, 1 << 53])
def test_prices_rates_and_meters_are_counts(price: int) -> None:
    with pytest.raises(MalformedDocument):
        Tariff("CNY", price, 0, 0)
    with pytest.raises(MalformedDocument):
        ExchangeFees(price, 0)
    with pytest.raises(MalformedDocument):
        Usage(0, price)


def test_a_currency_is_an_iso_code() -> None:
    with pytest.raises(MalformedDocument):
        Tariff("yuan", 0, 0, 0)
