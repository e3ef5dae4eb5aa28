"""Money: whole minor units of one currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.errors import MalformedDocument
from records.money import Money

AMOUNTS = st.integers(-(1 << 51), 1 << 51)


@given(AMOUNTS, AMOUNTS)
def test_amounts_of_one_currency_add(first: int, second: int) -> None:
    assert Money(first, "CNY") + Money(second, "CNY") == Money(first + second, "CNY")


def test_amounts_of_two_currencies_do_not_add() -> None:
    with pytest.raises(MalformedDocument):
        Money(1, "CNY") + Money(1, "EUR")


@pytest.mark.parametrize("currency", ["", "cny", "CN", "CNYX", "C1Y", "CNY\n"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(MalformedDocument):
        Money(1, currency)


@pytest.mark.parametrize("amount", [1 << 53, -(1 << 53)])
def test_amounts_beyond_exact_json_are_refused(amount: int) -> None:
    with pytest.raises(MalformedDocument):
        Money(amount, "CNY")


def test_sums_are_bounded_too() -> None:
    with pytest.raises(MalformedDocument):
        Money((1 << 53) - 1, "CNY") + Money(1, "CNY")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (0, "CNY", "0.00 CNY"),
        (12345, "CNY", "123.45 CNY"),
        (-5, "EUR", "-0.05 EUR"),
        (500, "JPY", "500 JPY"),
        ((1 << 53) - 1, "CNY", "90071992547409.91 CNY"),
    ],
)
def test_amounts_are_written_in_major_units(amount: int, currency: str, text: str) -> None:
    assert str(Money(amount, currency)) == text


@given(st.integers(1 - (1 << 53), (1 << 53) - 1))
def test_the_text_is_exact(amount: int) -> None:
    digits = str(Money(amount, "CNY")).removesuffix(" CNY").replace(".", "")
    assert int(digits) == amount
