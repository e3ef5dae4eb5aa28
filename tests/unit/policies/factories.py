"""Terms and requests that pass, to be changed in one place by each test."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from policies.admission import UseRequest
from policies.columns import ColumnUse
from policies.compute_set import BuyerFacts, PartyFacts
from policies.terms import Terms, parse

NOW = datetime(2026, 6, 1, tzinfo=UTC)

NOTARY = PartyFacts("notar", "notary", "CN", "notar-ltd")
SKYLINE = PartyFacts("skyline", "provider", "CN", "skyline-ltd")
AERO = PartyFacts("aero", "provider", "CN", "aero-ltd")
EXCHANGE = PartyFacts("exchange", "exchange", "CN", "exchange-ltd")
ACME = BuyerFacts("acme", "acme-ltd", frozenset({"acme-holding"}))

DESIGN = """
product: skyline.flights            # provider.table
grade: general
unit: row
purposes: [insurance-pricing, research]
buyers: {allow: ["*"], deny: []}
techniques: [local, secret-sharing, homomorphic, federated, program]
parties: {accept: [notary, provider, exchange], regions: [CN]}
columns:
  carrier:   {reveal: [after-group-by], roles: [group, filter]}
  dep_delay: {reveal: [after-aggregate], functions: [sum, avg, count, var], clamp: [-60, 600]}
  tailnum:   {reveal: [never], roles: [join]}
  origin:    {reveal: [plain]}
release: {min_units: 10, dominance: null, p_ratio: null, max_rows: 5000, round_to: null, differencing: off}
privacy: {required: false, epsilon_per_job: "1", epsilon_per_buyer: "5", epsilon_total: "20", delta: "1e-6"}
uses: {total: 1000, per_buyer: 100, per_day: 50}
valid: {from: 2026-01-01, until: 2027-01-01}
leaks: [row-count]
price: {currency: CNY, per_use: 500, per_cell: 2, per_compute_second: 1, per_epsilon: 0}
approval: auto
refused_result: {charge_compute: false}
"""
"""The design's own YAML, with the knobs that this version does not enforce at rest."""


def terms(**changes: Any) -> Terms:
    """Return the design's terms with whole sections replaced."""
    return parse({**parse(DESIGN).to_json(), **changes})


def flights(column: str, use: str, *after: str) -> ColumnUse:
    """Return a use of a column of the design's product."""
    return ColumnUse("skyline.flights", column, use, after)


def request(**changes: Any) -> UseRequest:
    """Return a request that the design's terms permit, with fields replaced."""
    passing = UseRequest(
        product="skyline.flights",
        buyer="acme",
        purpose="research",
        technique="secret-sharing",
        providers=("skyline", "aero"),
        columns=(flights("carrier", "group"), flights("dep_delay", "output", "aggregate:avg")),
        compute_parties=(NOTARY, SKYLINE, AERO),
        leaks=("row-count",),
        epsilon=None,
        now=NOW,
    )
    return replace(passing, **changes)
