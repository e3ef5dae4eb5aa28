"""The closed lists of the terms of use: each word has one meaning, and no other word is accepted.

Every list is ordered; where one word is stricter than another, the stricter one stands later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Grade = Literal["general", "important"]
"""GB/T 43697-2024. Its third grade, core, is not listable, so it is no word of this list."""

Technique = Literal["local", "secret-sharing", "homomorphic", "federated", "program"]
PartyKind = Literal["notary", "provider", "exchange"]
Differencing = Literal["off", "suppress", "refuse"]

Reveal = Literal[
    "plain",
    "after-join",
    "join-payload",
    "after-group-by",
    "after-aggregate",
    "after-compare",
    "rank",
    "never",
]
"""What may become visible: the levels of SCQL's column control (SecretFlow SCQL 0.9.4b1, docs/topics/ccl)."""

Role = Literal["filter", "join", "group", "order", "feature", "label"]
Function = Literal["count", "sum", "avg", "var", "stddev", "min", "max", "quantile"]

LeakId = Literal[
    "row-count",
    "intersection-size",
    "key-multiplicity",
    "intersection-members",
    "group-count",
    "group-mark",
    "suppression-mask",
    "filter-selectivity",
    "matched-count",
    "withhold-rule",
    "round-model",
    "single-update",
    "noisy-count",
    "truncation-coin",
]
"""What a protocol may show beside its result; a test holds schema, planner and manifest equal to it."""

LEAKS: Mapping[LeakId, str] = {
    "row-count": "compute parties see how many rows each provider contributes",
    "intersection-size": "the helper of a join sees how many keys match",
    "key-multiplicity": "the helper of a join sees how often each unnamed key occurs",
    "intersection-members": "the receivers of an intersection see which keys match",
    "group-count": "compute parties see how many groups there are",
    "group-mark": "compute parties see where each group ends in an unnamed order",
    "suppression-mask": "compute parties and buyer see which cells were suppressed",
    "filter-selectivity": "compute parties see how many rows pass a filter",
    "matched-count": "buyer and exchange see the number of matched subjects, rounded, on the bill",
    "withhold-rule": "the buyer sees which rule withheld a result",
    "round-model": "providers and coordinator see each opened round model",
    "single-update": "the coordinator sees single providers' updates",
    "noisy-count": "compute parties see noised counts, charged to the privacy budget",
    "truncation-coin": "one compute party sees the rounding coin of a truncation",
}
"""Each leak in words for catalogues and quotes: who sees what (R8, R10, R12, R13, R21)."""
