"""The terms of use of a product, in the words of a provider's data officer: parse, canonical form, schema.

Deny by default: an unknown field is an error, and what is absent permits nothing, except where terms
without it could permit nothing at all. Those defaults are: techniques `local` and `secret-sharing`;
compute parties of kind notary and provider in any region; `min_units` 10; `max_rows` 5000; the unit is the
row; always valid; free of charge; no limit on the number of uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from policies import plain_text
from policies.enforced import require_enforced
from policies.fields import (
    AmountMinor,
    Bound,
    ColumnName,
    Count,
    Currency,
    Day,
    DecimalText,
    Many,
    Name,
    NameOrAll,
    Ratio,
    Region,
    Section,
    Sentence,
    fault,
)
from policies.public import Public
from policies.vocabulary import Differencing, Function, Grade, LeakId, PartyKind, Reveal, Role, Technique
from records import canonical
from records.canonical import Json
from records.errors import MalformedDocument, Reason
from records.ids import require_product_name

MIN_UNITS_FLOOR = 3
"""The least `min_units` wherever a unit is named (dsBase `nfilter.tab`; the default of 10 is ACRO's)."""

MAX_FAULTS_SHOWN = 8
EVERY_OTHER_COLUMN = "*"
SCHEMA_ID = "https://usufruct.invalid/schema/terms.v1.json"


class NoUnit(Section):
    """No subject is protected: unit rules do not apply, and the quote says so."""

    none: Sentence
    """Why no subject is protected."""


class Buyers(Section):
    """Who may submit jobs. `deny` wins over `allow`; `*` is everyone."""

    allow: Many[NameOrAll] = ()
    deny: Many[NameOrAll] = ()


class Parties(Section):
    """Which parties may hold a share of the data while it is computed on."""

    accept: Many[PartyKind] = ("notary", "provider")
    """`provider` is any provider of the same job."""
    regions: Many[Region] = ("*",)
    """ISO 3166 codes, or `*` for any."""


class ColumnTerms(Section):
    """What may become visible of a column, and what it may be used for."""

    reveal: Many[Reveal] = ("never",)
    roles: Many[Role] = ()
    """Where given, the column serves in these roles only; absent, in those that `reveal` itself needs."""
    functions: Many[Function] = ()
    """The aggregates that `after-aggregate` permits."""
    clamp: Annotated[tuple[Bound, Bound], Field(strict=False)] | None = None
    """Least and greatest value, for jobs with ε."""

    @model_validator(mode="after")
    def _require_sense(self) -> ColumnTerms:
        if "never" in self.reveal and len(self.reveal) > 1:
            raise fault("`reveal`: `never` stands alone")
        if "after-aggregate" in self.reveal and not self.functions:
            raise fault("`reveal`: `after-aggregate` needs `functions`")
        if self.clamp is not None and self.clamp[0] >= self.clamp[1]:
            raise fault("`clamp`: the first bound is below the second")
        return self


class Dominance(Section):
    """(n,k) rule: the n largest units contribute less than the share k of a sum."""

    n: Annotated[int, Field(ge=1, le=100)]
    k: Ratio


class Release(Section):
    """What a result must satisfy before it is opened."""

    min_units: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10
    """The least number of distinct units in a visible group; at least 3 where a unit is named."""
    dominance: Dominance | None = None
    p_ratio: Ratio | None = None
    max_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 5000
    round_to: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    differencing: Differencing = "off"


class Privacy(Section):
    """Caps on ε and δ of differentially private jobs; absent, no ε is granted."""

    required: bool = False
    epsilon_per_job: DecimalText | None = None
    epsilon_per_buyer: DecimalText | None = None
    epsilon_total: DecimalText | None = None
    delta: Ratio | None = None


class Uses(Section):
    """How many jobs may run; absent, no limit is kept."""

    total: Count | None = None
    per_buyer: Count | None = None
    per_day: Count | None = None


class Valid(Section):
    """From the first moment (UTC) of `from` to the first moment of `until`; absent, without that bound."""

    from_: Annotated[Day | None, Field(alias="from")] = None
    until: Day | None = None

    @model_validator(mode="after")
    def _require_order(self) -> Valid:
        if self.from_ is not None and self.until is not None and self.from_ >= self.until:
            raise fault("`from` is before `until`")
        return self


class Price(Section):
    """Prices in minor units of one currency."""

    currency: Currency = "CNY"
    per_use: AmountMinor = 0
    per_cell: AmountMinor = 0
    per_compute_second: AmountMinor = 0
    per_epsilon: AmountMinor = 0


class Approval(Section):
    """Approval of each job by several people."""

    people: Annotated[int, Field(ge=1, le=10)]
    author_excluded: bool = True


class RefusedResult(Section):
    """What is charged for a result that the gate withheld."""

    charge_compute: bool = False


class Terms(Section):
    """A provider's terms of use for one product."""

    product: Annotated[str, Field(max_length=127)]
    """`provider.table`."""
    grade: Grade = "important"
    """GB/T 43697; core data is not listable."""
    unit: ColumnName | Many[ColumnName] | NoUnit = "row"
    """Whose distinct count makes a group large enough: `row`, a column, a list of columns, or none."""
    purposes: Many[Name] = ()
    buyers: Buyers = Buyers()
    techniques: Many[Technique] = ("local", "secret-sharing")
    parties: Parties = Parties()
    columns: Annotated[Mapping[ColumnName, ColumnTerms], Field(default_factory=dict, max_length=5000)]
    """Terms by column name; `*` stands for every column that is not listed."""
    public: Public = Public(most={}, ranges={}, bytes={})
    """What everybody is told of the table; checked when the product is registered."""
    release: Release = Release()
    privacy: Privacy = Privacy()
    uses: Uses = Uses()
    valid: Valid = Valid()
    leaks: Many[LeakId] = ()
    """What protocols may show beside the result; anything else is refused."""
    price: Price = Price()
    approval: Literal["auto", "manual"] | Approval = "auto"
    refused_result: RefusedResult = RefusedResult()

    @field_validator("product")
    @classmethod
    def _require_product_name(cls, text: str) -> str:
        try:
            return require_product_name(text)
        except MalformedDocument as error:
            raise fault(str(error)) from None

    @field_validator("grade", mode="before")
    @classmethod
    def _refuse_core(cls, value: object) -> object:
        if value == "core":
            raise fault("core data is not listable (GB/T 43697)")
        return value

    @field_validator("columns")
    @classmethod
    def _require_distinct_names(cls, columns: Mapping[str, ColumnTerms]) -> Mapping[str, ColumnTerms]:
        # Names are case-insensitive in SQL: two spellings would give one column two sets of terms.
        if len({name.casefold() for name in columns}) != len(columns):
            raise fault("two columns differ only in upper and lower case")
        return columns

    @model_validator(mode="after")
    def _require_floor(self) -> Terms:
        if self.unit == ():
            raise fault("`unit`: a list names at least one column")
        if self.names_unit and self.release.min_units < MIN_UNITS_FLOOR:
            raise fault(f"`release.min_units` is at least {MIN_UNITS_FLOOR} where a unit is named")
        return self

    @property
    def provider(self) -> str:
        """The provider, which is the first part of the product's name."""
        return self.product.partition(".")[0]

    @property
    def digest(self) -> str:
        """`sha256:…` over the canonical form, defaults written out."""
        return canonical.digest(self.to_json())

    @property
    def names_unit(self) -> bool:
        """Whether a subject is protected: false for `{none: …}`."""
        return not isinstance(self.unit, NoUnit)

    @property
    def unit_columns(self) -> tuple[str, ...]:
        """The columns that name a unit; empty where the unit is the row, or none."""
        if isinstance(self.unit, NoUnit) or self.unit == "row":
            return ()
        return (self.unit,) if isinstance(self.unit, str) else self.unit

    def column(self, name: str) -> ColumnTerms:
        """Return a column's terms: its own in any spelling, else those of `*`, else none is permitted."""
        own = (column for listed, column in self.columns.items() if listed.casefold() == name.casefold())
        return next(own, None) or self.columns.get(EVERY_OTHER_COLUMN) or ColumnTerms()

    def require_columns(self, table_columns: Iterable[str]) -> None:
        """Return if the table has every column that these terms name: a misspelt `never` protects nothing.

        Raises:
            MalformedDocument: it lacks one.
        """
        present = {name.casefold() for name in table_columns} | {EVERY_OTHER_COLUMN}
        for name in (*self.columns, *self.unit_columns, *self.public.columns):
            if name.casefold() not in present:
                shown = plain_text.show_name(name)
                raise MalformedDocument(f"the document names `{shown}`, which the table does not have")

    def reason(self, clause: str, *, wanted: str, limit: str, remedy: str) -> Reason:
        """Return a reason in the name of this provider."""
        return Reason(self.provider, clause, wanted, limit, remedy)


def parse(source: str | Mapping[str, object], *, product: str | None = None) -> Terms:
    """Return the terms that YAML text, JSON text or a mapping states.

    `product` fills in the name where the document leaves it out.

    Raises:
        MalformedDocument: the path of each faulty field and what is allowed there, never its value; or a
            knob that this version does not enforce; or another product than `product`.
    """
    document = plain_text.read(source)
    if product is not None and document.setdefault("product", product) != product:
        raise MalformedDocument("`product` names another product than the one these terms are for")
    try:
        terms = Terms.model_validate(document)
    except ValidationError as error:
        raise MalformedDocument(_explain(error)) from None
    require_enforced(terms.to_json())
    return terms


def json_schema() -> dict[str, Json]:
    """Return the JSON Schema (draft 2020-12) of the terms, as published in `policies/schema/`."""
    schema: dict[str, Json] = Terms.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **schema}


_UNIONS = {
    "unit": "`row`, a column, a list of columns, or {none: reason}",
    "approval": "`auto`, `manual`, or {people: 1 to 10, author_excluded: true or false}",
}
"""Fields with several forms: pydantic reports one fault per form, which tells a reader nothing."""


_SAYINGS = {
    "model_type": "expected a mapping",
    "mapping_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_type": "expected text",
    "missing": "the field is missing",
}
"""Plainer words than pydantic's, by its type of fault; the others are said in its words."""


def _explain(error: ValidationError) -> str:
    faults: dict[str, str] = {}
    for item in error.errors(include_input=False, include_url=False):
        path = tuple(part for part in item["loc"] if part != "[key]")
        if path and path[0] in _UNIONS:
            faults[str(path[0])] = f"expected {_UNIONS[str(path[0])]}"
        else:
            said = _SAYINGS.get(item["type"], item["msg"].replace("Input should be", "expected"))
            faults.setdefault(plain_text.show_path(path), said[:1].lower() + said[1:])
    shown = [f"`{path}`: {text}" for path, text in list(faults.items())[:MAX_FAULTS_SHOWN]]
    more = len(faults) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
