"""Use rights at a node: reserved once, consumed or given back, never added to by new terms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from billing import trial_balance
from policies import terms as policy
from policies.terms import Terms
from records.errors import JobRefused
from sandbox.node import uses
from sandbox.store import Store
from tests.unit.sandbox.registered import LATER, NOW, TERMS

PRODUCT = "alice.flights"


def terms(product: str = PRODUCT, **limits: Any) -> Terms:
    return policy.parse(TERMS | {"uses": limits}, product=product)


def hold(connection: Connection, of: Terms, acceptance: str, buyer: str = "acme") -> None:
    uses.hold(connection, of, buyer, acceptance, LATER, NOW)


def refused(connection: Connection, of: Terms, buyer: str = "acme") -> list[str]:
    return [reason.clause for reason in uses.check(connection, of, buyer, NOW)]


def test_the_last_use_is_held_once(connection: Connection) -> None:
    of = terms(total=2)
    hold(connection, of, "a")
    hold(connection, of, "b")
    with pytest.raises(JobRefused) as refusal:
        hold(connection, of, "c")
    (reason,) = refusal.value.reasons
    assert (reason.provider, reason.clause, reason.limit) == ("alice", "uses.total", "2")
    assert reason.remedy
    assert refused(connection, of) == ["uses.total"]


def test_the_same_acceptance_holds_one_use(connection: Connection) -> None:
    of = terms(total=2)
    for _ in range(3):
        hold(connection, of, "a")
    assert refused(connection, of) == []


def test_a_use_given_back_can_be_held_again(connection: Connection) -> None:
    of = terms(total=1)
    hold(connection, of, "a")
    uses.give_back(connection, PRODUCT, "a", NOW)
    assert refused(connection, of) == []
    hold(connection, of, "b")
    uses.consume(connection, PRODUCT, "b", NOW)
    uses.give_back(connection, PRODUCT, "b", NOW)
    assert refused(connection, of) == ["uses.total"]


def test_a_use_is_consumed_even_after_its_hold_ran_out(connection: Connection) -> None:
    of = terms(total=1)
    hold(connection, of, "a")
    uses.consume(connection, PRODUCT, "a", LATER + timedelta(days=1))
    assert refused(connection, of) == ["uses.total"]


def test_every_counter_is_checked_and_named(connection: Connection) -> None:
    of = terms(total=1, per_buyer=1, per_day=1)
    hold(connection, of, "a")
    assert refused(connection, of) == ["uses.total", "uses.per_buyer", "uses.per_day"]


def test_buyers_have_counters_of_their_own(connection: Connection) -> None:
    of = terms(per_buyer=1)
    hold(connection, of, "a", "acme")
    assert refused(connection, of, "acme") == ["uses.per_buyer"]
    assert refused(connection, of, "other") == []


def test_a_new_day_has_new_uses(connection: Connection) -> None:
    of = terms(per_day=1)
    hold(connection, of, "a")
    assert refused(connection, of) == ["uses.per_day"]
    assert uses.check(connection, of, "acme", NOW + timedelta(days=1)) == ()


def test_products_have_counters_of_their_own(connection: Connection) -> None:
    hold(connection, terms(total=1), "a")
    assert refused(connection, terms("alice.hotels", total=1)) == []


def test_without_limits_nothing_is_counted(connection: Connection) -> None:
    for number in range(3):
        hold(connection, terms(), str(number))
    assert refused(connection, terms()) == []


def test_new_terms_add_only_what_they_allow_more(connection: Connection) -> None:
    hold(connection, terms(total=1), "a")
    uses.consume(connection, PRODUCT, "a", NOW)
    hold(connection, terms(total=2), "b")
    assert refused(connection, terms(total=2)) == ["uses.total"]


def test_lower_limits_bind_at_once(connection: Connection) -> None:
    hold(connection, terms(total=5), "a")
    hold(connection, terms(total=5), "b")
    assert refused(connection, terms(total=2)) == ["uses.total"]


def test_the_state_digest_moves_with_every_hold_and_needs_its_salt(connection: Connection) -> None:
    of = terms(total=5)
    seen = [uses.state_digest(connection, b"salt")]
    for number in range(3):
        hold(connection, of, str(number))
        seen.append(uses.state_digest(connection, b"salt"))
    uses.consume(connection, PRODUCT, "0", NOW)
    seen.append(uses.state_digest(connection, b"salt"))
    assert len(set(seen)) == len(seen)
    assert uses.state_digest(connection, b"salt") == seen[-1]
    assert uses.state_digest(connection, b"other") != seen[-1]


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "consume", "give-back"]), st.sampled_from("abcd")), max_size=25
)


@settings(deadline=None, max_examples=8)
@given(STEPS, st.integers(1, 3))
def test_no_order_of_steps_passes_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]], limit: int
) -> None:
    store = Store.in_folder(tmp_path_factory.mktemp("uses"))
    of = terms(total=limit)
    held: set[str] = set()
    ended: dict[str, bool] = {}
    with store.begin() as connection:
        for step, acceptance in steps:
            taken = len(held) + sum(ended.values())
            if step == "hold" and acceptance not in held | set(ended):
                if taken < limit:
                    hold(connection, of, acceptance)
                    held.add(acceptance)
                else:
                    with pytest.raises(JobRefused):
                        hold(connection, of, acceptance)
            elif step != "hold":
                settle = uses.consume if step == "consume" else uses.give_back
                settle(connection, PRODUCT, acceptance, NOW)
                if acceptance in held:
                    held.remove(acceptance)
                    ended[acceptance] = step == "consume"
            assert bool(refused(connection, of)) == (len(held) + sum(ended.values()) >= limit)
        trial_balance.check(connection)
    store.close()
