from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from policies.admission import Obligation, decide
from policies.columns import ColumnUse
from policies.terms import parse
from tests.unit.policies.factories import AERO, DESIGN, EXCHANGE, NOTARY, SKYLINE, flights, request, terms

ABROAD = replace(NOTARY, region="SG")
STRANGER = replace(AERO, party="weather")
NODES = {"accept": ["notary", "provider"], "regions": ["CN"]}


def clauses(changed_terms: dict[str, Any], changed_request: dict[str, Any]) -> list[str]:
    decision = decide(terms(**changed_terms), request(**changed_request))
    assert (decision.effect == "permit") == (not decision.reasons)
    return [reason.clause for reason in decision.reasons]


def test_a_fitting_request_is_permitted_with_obligations() -> None:
    decision = decide(parse(DESIGN), request())
    assert decision.effect == "permit"
    assert decision.reasons == ()
    assert decision.obligations == (
        Obligation("release.min_units", "10"),
        Obligation("release.max_rows", "5000"),
        Obligation("uses.total", "1000"),
        Obligation("uses.per_buyer", "100"),
        Obligation("uses.per_day", "50"),
    )


def test_no_unit_and_no_limit_oblige_to_nothing_of_the_kind() -> None:
    decision = decide(terms(unit={"none": "weather"}, uses={}), request())
    assert decision.obligations == (Obligation("release.max_rows", "5000"),)


@pytest.mark.parametrize(
    ("changed_terms", "changed_request", "clause"),
    [
        ({}, {"product": "skyline.planes"}, "product"),
        ({"buyers": {"allow": []}}, {}, "buyers.allow"),
        ({"buyers": {"allow": ["zeta"]}}, {}, "buyers.allow"),
        ({"buyers": {"allow": ["*"], "deny": ["acme"]}}, {}, "buyers.deny"),
        ({"buyers": {"allow": ["acme"], "deny": ["*"]}}, {}, "buyers.deny"),
        ({}, {"purpose": "marketing"}, "purposes"),
        ({}, {"purpose": "research-x"}, "purposes"),
        ({"purposes": []}, {}, "purposes"),
        ({"techniques": ["local"]}, {}, "techniques"),
        ({}, {"technique": "auto"}, "techniques"),
        ({}, {"now": datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)}, "valid.from"),
        ({}, {"now": datetime(2027, 1, 1, tzinfo=UTC)}, "valid.until"),
        ({}, {"columns": (flights("dep_delay", "output"),)}, "columns.dep_delay.reveal"),
        ({}, {"columns": (flights("dep_delay", "output", "aggregate:min"),)}, "columns.dep_delay.functions"),
        ({}, {"columns": (flights("tailnum", "filter"),)}, "columns.tailnum.roles"),
        ({}, {"compute_parties": ()}, "parties.accept"),
        ({"parties": NODES}, {"compute_parties": (SKYLINE, AERO, EXCHANGE)}, "parties.accept"),
        ({}, {"compute_parties": (NOTARY, SKYLINE, STRANGER)}, "parties.accept"),
        ({}, {"compute_parties": (ABROAD, SKYLINE, AERO)}, "parties.regions"),
        ({}, {"leaks": ("row-count", "group-count")}, "leaks"),
        ({"leaks": []}, {}, "leaks"),
        ({"privacy": {}}, {"epsilon": "0.1"}, "privacy.epsilon_per_job"),
        ({}, {"epsilon": "1.000000001"}, "privacy.epsilon_per_job"),
        ({}, {"epsilon": "0"}, "privacy.epsilon_per_job"),
        ({}, {"epsilon": "-1"}, "privacy.epsilon_per_job"),
        ({}, {"epsilon": "nan"}, "privacy.epsilon_per_job"),
        ({}, {"epsilon": "1e999999999"}, "privacy.epsilon_per_job"),
    ],
)
def test_each_clause_refuses_alone(
    changed_terms: dict[str, Any], changed_request: dict[str, Any], clause: str
) -> None:
    assert clauses(changed_terms, changed_request) == [clause]


@pytest.mark.parametrize(
    ("changed_terms", "changed_request"),
    [
        ({"buyers": {"allow": ["acme"], "deny": ["zeta"]}}, {}),
        ({}, {"purpose": "insurance-pricing"}),
        ({}, {"technique": "local", "compute_parties": ()}),
        ({}, {"now": datetime(2026, 1, 1, tzinfo=UTC)}),
        ({}, {"now": datetime(2027, 1, 1, tzinfo=UTC) - timedelta(milliseconds=1)}),
        ({"valid": {}}, {"now": datetime(1999, 1, 1, tzinfo=UTC)}),
        ({}, {"columns": ()}),
        ({}, {"compute_parties": (SKYLINE, AERO, EXCHANGE)}),
        ({"parties": {"accept": ["notary", "provider"]}}, {"compute_parties": (ABROAD, SKYLINE, AERO)}),
        ({"leaks": ["row-count", "group-count"]}, {"leaks": ("group-count",)}),
        ({}, {"epsilon": "1"}),
        ({}, {"epsilon": "1e-3"}),
    ],
)
def test_each_clause_is_silent_where_it_is_met(
    changed_terms: dict[str, Any], changed_request: dict[str, Any]
) -> None:
    assert clauses(changed_terms, changed_request) == []


def test_all_failing_clauses_are_listed_once() -> None:
    use = flights("dep_delay", "output")
    wrong = {
        "buyer": "zeta",
        "purpose": "marketing",
        "technique": "magic",
        "columns": (use, use, flights("tailnum", "group")),
        "compute_parties": (replace(STRANGER, region="SG"),),
        "leaks": ("group-count", "group-count"),
        "epsilon": "7",
        "now": datetime(2030, 1, 1, tzinfo=UTC),
    }
    assert clauses({"buyers": {"allow": ["acme"]}}, wrong) == [
        "buyers.allow",
        "purposes",
        "techniques",
        "valid.until",
        "columns.dep_delay.reveal",
        "columns.tailnum.roles",
        "parties.accept",
        "parties.regions",
        "leaks",
        "privacy.epsilon_per_job",
    ]


HIDDEN = {"columns": {"*": {"reveal": ["never"]}}}


def test_a_provider_judges_the_columns_of_its_own_product_only() -> None:
    foreign = (
        ColumnUse("aero.flights", "dep_delay", "output"),
        ColumnUse("skyline.planes", "seats", "output"),
    )
    assert clauses(HIDDEN, {"columns": foreign}) == []
    # Control: under its own product's name the same use is refused.
    own = (*foreign, ColumnUse("skyline.flights", "dep_delay", "output"))
    assert clauses(HIDDEN, {"columns": own}) == ["columns.dep_delay.reveal"]


def test_no_spelling_of_the_product_escapes_judgement() -> None:
    spelt = ColumnUse("Skyline.FLIGHTS", "Dep_Delay", "output")
    assert clauses({}, {"columns": (spelt,)}) == ["columns.Dep_Delay.reveal"]


def test_minimal_terms_refuse_everyone() -> None:
    decision = decide(parse({}, product="skyline.flights"), request())
    assert decision.effect == "refuse"
    assert {"buyers.allow", "purposes", "leaks"} <= {reason.clause for reason in decision.reasons}


def test_a_refusal_does_not_name_other_buyers() -> None:
    decision = decide(terms(buyers={"allow": ["secret-partner"], "deny": ["old-friend"]}), request())
    assert decision.effect == "refuse"
    assert not any(name in str(decision.reasons) for name in ("secret-partner", "old-friend"))
    assert decision.obligations == ()
