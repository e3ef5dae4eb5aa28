"""Money: integer minor units (fen, cents) with an ISO 4217 code. No floats, no implicit conversion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from records.errors import MalformedDocument

CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units of one currency."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if not CURRENCY.fullmatch(self.currency):
            raise MalformedDocument("a currency is three capital letters (ISO 4217)")
        if abs(self.amount_minor) >= 1 << 53:
            raise MalformedDocument("an amount is below 2^53 minor units")

    def __add__(self, other: Money) -> Money:
        if self.currency != other.currency:
            raise MalformedDocument("amounts of different currencies are not added")
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __str__(self) -> str:
        if self.currency == "JPY":
            return f"{self.amount_minor} {self.currency}"
        whole, cents = divmod(abs(self.amount_minor), 100)
        return f"{'-' if self.amount_minor < 0 else ''}{whole}.{cents:02d} {self.currency}"
