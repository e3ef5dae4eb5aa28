"""Which knobs of the terms this version enforces. A knob that nothing enforces is refused, never ignored.

Each leaf of the terms stands in exactly one of the two tables (a test holds this): adding enforcement
means moving its row from `INERT` to `ENFORCED`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from records.canonical import Json
from records.errors import MalformedDocument

ENFORCED: Mapping[str, str] = {
    "product": "admission",
    "grade": "meet",
    "unit": "gate",
    "purposes": "admission",
    "buyers.allow": "admission",
    "buyers.deny": "admission",
    "techniques": "admission",
    "parties.accept": "admission",
    "parties.regions": "admission",
    "columns": "admission",
    "public.rows": "registration",
    "public.keys": "registration",
    "public.most": "registration",
    "public.ranges": "registration",
    "public.bytes": "registration",
    "release.min_units": "gate",
    "release.max_rows": "gate",
    "privacy.epsilon_per_job": "admission",
    "privacy.epsilon_per_buyer": "no job spends ε in this version",
    "privacy.epsilon_total": "no job spends ε in this version",
    "privacy.delta": "no job spends ε in this version",
    "uses.total": "ledger",
    "uses.per_buyer": "ledger",
    "uses.per_day": "ledger",
    "valid.from": "admission",
    "valid.until": "admission",
    "leaks": "admission",
    "price.currency": "tariff",
    "price.per_use": "tariff",
    "price.per_cell": "tariff",
    "price.per_compute_second": "tariff",
}
"""Path of a knob → what enforces it. `clamp`, inside `columns`, bounds values in jobs with ε only."""

INERT: Mapping[str, Json] = {
    "release.dominance": None,
    "release.p_ratio": None,
    "release.round_to": None,
    "release.differencing": "off",
    "privacy.required": False,
    "price.per_epsilon": 0,
    "approval": "auto",
    "refused_result.charge_compute": False,
}
"""Path of a knob that nothing enforces yet → the one value that asks for nothing."""


def require_enforced(document: Mapping[str, Json], inert: Mapping[str, Json] = INERT) -> None:
    """Return if every knob of `document` (terms in canonical form) that asks for something is enforced.

    Raises:
        MalformedDocument: a knob of `inert` has another value than the one that asks for nothing.
    """
    for path, neutral in inert.items():
        section, _, field = path.partition(".")
        value = document[section]
        if field:
            value = cast("Mapping[str, Json]", value)[field]
        if value != neutral:
            shown = neutral if isinstance(neutral, str) else json.dumps(neutral)
            raise MalformedDocument(f"`{path}` is not enforced by this version; remove it or write `{shown}`")
