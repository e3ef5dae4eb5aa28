from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.compute_set import (
    BuyerFacts,
    PartyFacts,
    accepted,
    check_compute_set,
    check_party,
    choose_compute_set,
    is_independent,
)
from policies.vocabulary import PartyKind
from records.errors import JobRefused
from tests.unit.policies.factories import ACME, AERO, EXCHANGE, NOTARY, SKYLINE, terms

PROVIDERS = ("skyline", "aero")
WEATHER = PartyFacts("weather", "provider", "CN", "weather-ltd")
NOTARY_2 = PartyFacts("notar-2", "notary", "CN", "notar-2-ltd")


def broken(parties: tuple[PartyFacts, ...], *, candidates: tuple[PartyFacts, ...] | None = None) -> list[str]:
    reasons = check_compute_set(parties, ACME, parties if candidates is None else candidates)
    return [reason.clause.removeprefix("compute-set.") for reason in reasons]


def names(candidates: tuple[PartyFacts, ...]) -> list[str]:
    return [party.party for party in choose_compute_set(candidates, PROVIDERS, ACME)]


def test_three_independent_parties_pass() -> None:
    assert broken((NOTARY, SKYLINE, AERO)) == []


@pytest.mark.parametrize("parties", [(), (NOTARY, SKYLINE), (NOTARY, SKYLINE, AERO, WEATHER)])
def test_other_than_three_seats_are_refused(parties: tuple[PartyFacts, ...]) -> None:
    assert broken(parties) == ["size"]


def test_two_seats_of_one_controller_are_refused() -> None:
    assert broken((NOTARY, SKYLINE, replace(AERO, controller="skyline-ltd"))) == ["controllers"]


def test_one_party_in_two_seats_is_refused_even_with_two_controllers() -> None:
    assert broken((NOTARY, SKYLINE, replace(SKYLINE, controller="other-ltd"))) == ["controllers"]


@pytest.mark.parametrize(
    "puppet",
    [
        replace(AERO, controller="acme-ltd"),
        replace(AERO, controller="acme-holding"),
        replace(AERO, affiliates=frozenset({"acme-ltd"})),
        replace(AERO, party="acme"),
        replace(AERO, controller=""),
    ],
)
def test_a_seat_of_the_buyer_or_its_affiliates_is_refused(puppet: PartyFacts) -> None:
    assert broken((NOTARY, SKYLINE, puppet)) == ["buyer"]


def test_the_exchange_sits_only_where_no_third_exists() -> None:
    seats = (SKYLINE, AERO, EXCHANGE)
    assert broken(seats, candidates=seats) == []
    assert broken(seats, candidates=(*seats, NOTARY)) == ["exchange"]
    # A third party that is the buyer's own, or a second company of a seated controller, is no third.
    for no_third in (replace(NOTARY, controller="acme-ltd"), replace(NOTARY, controller="aero-ltd")):
        assert broken(seats, candidates=(*seats, no_third)) == []


def test_two_seats_of_the_exchange_are_refused() -> None:
    second = replace(EXCHANGE, party="exchange-2", controller="exchange-2-ltd")
    assert broken((SKYLINE, EXCHANGE, second), candidates=()) == ["exchange"]


def test_the_usual_triple_is_a_notary_and_two_providers_of_the_job() -> None:
    everyone = (EXCHANGE, WEATHER, NOTARY_2, SKYLINE, AERO, NOTARY)
    assert names(everyone) == ["notar", "aero", "skyline"]


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ((SKYLINE, AERO, EXCHANGE), ["aero", "skyline", "exchange"]),
        ((SKYLINE, AERO, EXCHANGE, WEATHER), ["aero", "skyline", "weather"]),
        ((SKYLINE, NOTARY, EXCHANGE, NOTARY_2), ["notar", "skyline", "notar-2"]),
        ((SKYLINE, NOTARY, EXCHANGE), ["notar", "skyline", "exchange"]),
        ((replace(NOTARY, controller="acme-ltd"), NOTARY_2, SKYLINE, AERO), ["notar-2", "aero", "skyline"]),
        ((replace(NOTARY, controller="aero-ltd"), SKYLINE, AERO, WEATHER), ["notar", "skyline", "weather"]),
    ],
)
def test_seats_are_filled_in_order(candidates: tuple[PartyFacts, ...], chosen: list[str]) -> None:
    assert names(candidates) == chosen


def test_the_choice_does_not_depend_on_the_order_of_candidates() -> None:
    for order in permutations((EXCHANGE, NOTARY, SKYLINE, AERO, WEATHER)):
        assert names(order) == ["notar", "aero", "skyline"]


def test_too_few_parties_refuse_the_job() -> None:
    with pytest.raises(JobRefused) as caught:
        names((SKYLINE, EXCHANGE, replace(AERO, controller="skyline-ltd")))
    assert caught.value.reasons[0].clause == "compute-set.size"


def test_terms_accept_kinds_regions_and_only_providers_of_the_job() -> None:
    narrow = terms(parties={"accept": ["notary", "provider"], "regions": ["CN"]})
    everyone = (NOTARY, SKYLINE, AERO, EXCHANGE, WEATHER, replace(NOTARY_2, region="SG"))
    assert accepted(everyone, [terms(), narrow], PROVIDERS) == (NOTARY, SKYLINE, AERO)
    assert accepted(everyone, [terms()], PROVIDERS) == (NOTARY, SKYLINE, AERO, EXCHANGE)
    assert accepted(everyone, [terms(), terms(parties={"accept": []})], PROVIDERS) == ()
    assert "another provider `weather`" in str(check_party(narrow, WEATHER, PROVIDERS)[0])


PARTIES = st.builds(
    PartyFacts,
    party=st.sampled_from([f"p{index}" for index in range(8)]),
    kind=st.sampled_from(get_args(PartyKind)),
    region=st.just("CN"),
    controller=st.sampled_from(["c0", "c1", "c2", "c3", "buyer-ltd", ""]),
)


@given(st.lists(PARTIES, max_size=8, unique_by=lambda party: party.party))
def test_whatever_is_chosen_passes_the_check_and_a_refusal_means_there_is_none(
    candidates: list[PartyFacts],
) -> None:
    buyer = BuyerFacts("buyer", "buyer-ltd")
    try:
        chosen = choose_compute_set(candidates, ("p0", "p1"), buyer)
    except JobRefused:
        controllers = {party.controller for party in candidates if is_independent(party, buyer)}
        assert len(controllers) < 3
    else:
        exchanges = sum(party.kind == "exchange" for party in chosen)
        # Several exchanges do not exist; such candidates are checked by the seat rule alone.
        if sum(party.kind == "exchange" for party in candidates) <= 1:
            assert check_compute_set(chosen, buyer, candidates) == ()
            assert exchanges <= 1
