"""What a job costs: one function for the quote and for the charge.

The quote is `charge` over an upper bound of the usage, the charge is `charge` over the metered usage.
It is monotone in every meter, so that a charge never exceeds its quote. Compute comes from the declared
cost model over public sizes, never from a clock: the bill is a release (R13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from records.errors import LimitExceeded, MalformedDocument
from records.ids import require_name
from records.money import CURRENCY

BASIS_POINTS = 10_000
AMOUNT_LIMIT = 1 << 53

EXCHANGE_FEE = "exchange-fee"
TAX = "tax"


@dataclass(frozen=True, slots=True)
class Tariff:
    """A provider's prices, in minor units of `currency`."""

    currency: str
    per_use_minor: int
    per_cell_minor: int
    per_compute_second_minor: int
    compute_when_withheld: bool = False

    def __post_init__(self) -> None:
        if not CURRENCY.fullmatch(self.currency):
            raise MalformedDocument("a currency is three capital letters (ISO 4217)")
        for price in (self.per_use_minor, self.per_cell_minor, self.per_compute_second_minor):
            _require_count(price, "a price")


@dataclass(frozen=True, slots=True)
class ExchangeFees:
    """What the exchange adds: its fee on the providers' prices, tax on prices and fee."""

    fee_basis_points: int
    tax_basis_points: int

    def __post_init__(self) -> None:
        for rate in (self.fee_basis_points, self.tax_basis_points):
            _require_count(rate, "a rate in basis points")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job uses: cells shown (suppressed ones cost nothing), modelled compute in milliseconds."""

    cells: int
    compute_ms: int

    def __post_init__(self) -> None:
        for meter in (self.cells, self.compute_ms):
            _require_count(meter, "a meter")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a charge: who gets it, and for what (`use`, `cells`, `compute`, `fee`, `tax`)."""

    payee: str
    item: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A quoted or booked price, as the lines that make it."""

    currency: str
    lines: tuple[Line, ...]

    @property
    def total_minor(self) -> int:
        """The sum of the lines: what the buyer pays."""
        return sum(line.amount_minor for line in self.lines)

    @property
    def split(self) -> dict[str, int]:
        """{payee: minor units}: every provider, `exchange-fee` and `tax`; sums to the total."""
        shares: dict[str, int] = {}
        for line in self.lines:
            shares[line.payee] = shares.get(line.payee, 0) + line.amount_minor
        return shares


def charge(
    tariffs: Mapping[str, Tariff], usage: Usage, fees: ExchangeFees, *, withheld: bool = False
) -> Charge:
    """Return the charge of a job over the products in `tariffs`, by name: `provider.table`.

    A provider is paid for each of its products. A withheld result has no use-right fee and no cells; compute
    is owed only where the terms say so.
    Amounts are rounded half up to the minor unit, line by line.

    Raises:
        MalformedDocument: no product, a provider named like a line of the exchange, or several currencies.
        LimitExceeded: the total is not below 2^53.
    """
    currencies = {tariff.currency for tariff in tariffs.values()}
    if len(currencies) != 1:
        raise MalformedDocument("a job is priced in one currency; choose products that share one")
    prices = tuple(
        line
        for product in sorted(tariffs)
        for line in _product_lines(_provider(product), tariffs[product], usage, withheld=withheld)
    )
    subtotal = sum(line.amount_minor for line in prices)
    fee = _rounded(subtotal * fees.fee_basis_points, BASIS_POINTS)
    tax = _rounded((subtotal + fee) * fees.tax_basis_points, BASIS_POINTS)
    if subtotal + fee + tax >= AMOUNT_LIMIT:
        raise LimitExceeded("a charge is below 2^53 minor units; ask for less at a time")
    return Charge(currencies.pop(), (*prices, Line(EXCHANGE_FEE, "fee", fee), Line(TAX, "tax", tax)))


def _product_lines(provider: str, tariff: Tariff, usage: Usage, *, withheld: bool) -> tuple[Line, ...]:
    computed = _rounded(tariff.per_compute_second_minor * usage.compute_ms, 1000)
    if withheld:
        return (Line(provider, "compute", computed if tariff.compute_when_withheld else 0),)
    return (
        Line(provider, "use", tariff.per_use_minor),
        Line(provider, "cells", tariff.per_cell_minor * usage.cells),
        Line(provider, "compute", computed),
    )


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _provider(product: str) -> str:
    provider = require_name(product.partition(".")[0], "a provider")
    if provider in (EXCHANGE_FEE, TAX):
        raise MalformedDocument(
            f"no provider is named `{EXCHANGE_FEE}` or `{TAX}`; these are lines of a charge"
        )
    return provider


def _require_count(value: int, what: str) -> None:
    if type(value) is not int or not 0 <= value < AMOUNT_LIMIT:
        raise MalformedDocument(f"{what} is an integer from 0, below 2^53")
