"""The types of single fields of the terms: names, lists that are sets, days, decimals, amounts."""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from policies.plain_text import MAX_INTEGER, show_name
from records.document import Part

T = TypeVar("T", bound=Hashable)

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DECIMAL = r"^[0-9]{1,9}(\.[0-9]{1,30})?(e-[0-9]{1,2})?$"
_MAX_DECIMALS = 30


def fault(text: str) -> PydanticCustomError:
    """Return a validation error that says `text` and nothing else. `text` holds no value of the document."""
    return PydanticCustomError("terms", "{text}", {"text": text})


class Section(Part):
    """A section of the terms: frozen, strict, and an unknown field is an error that lists the known ones."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, hide_input_in_errors=True, serialize_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in value:
                if key not in known:
                    raise fault(f"unknown field `{show_name(key)}`; allowed: {', '.join(known)}")
        return value


def decimal_text(text: str) -> str:
    """Return the one plain form of a decimal: `1e-6` → `0.000001`, `0.90` → `0.9`.

    Raises:
        PydanticCustomError: more than 30 places.
    """
    plain = format(Decimal(text).normalize(), "f")
    if len(plain.partition(".")[2]) > _MAX_DECIMALS:
        raise fault(f"a decimal has at most {_MAX_DECIMALS} places")
    return plain


def is_decimal(text: str) -> bool:
    """Tell whether `text` is a non-negative decimal of bounded length."""
    return re.fullmatch(_DECIMAL, text) is not None


def _distinct_sorted(items: tuple[T, ...]) -> tuple[T, ...]:
    # Order and repetition say nothing in these lists, so that equal terms have equal digests.
    if len(set(items)) != len(items):
        raise fault("an entry stands twice")
    return tuple(sorted(items, key=str))


def _day(value: object) -> date:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        raise fault("no such day") from None
    raise fault("a day is written `YYYY-MM-DD`")


def _at_most_one(text: str) -> str:
    if Decimal(text) > 1:
        raise fault("a ratio is at most 1")
    return text


Many = Annotated[
    tuple[T, ...],
    Field(strict=False, max_length=1000, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct_sorted),
]
"""A list whose order does not matter: distinct entries, kept sorted."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
NameOrAll = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_-]{0,62})$")]
Region = Annotated[str, Field(pattern=r"^(\*|[A-Z]{2}(-[A-Z0-9]{1,3})?)$")]
ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
Sentence = Annotated[str, Field(min_length=1, max_length=500)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Day = Annotated[date, BeforeValidator(_day)]
DecimalText = Annotated[str, Field(pattern=_DECIMAL), AfterValidator(decimal_text)]
Ratio = Annotated[DecimalText, AfterValidator(_at_most_one)]
AmountMinor = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Bound = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
