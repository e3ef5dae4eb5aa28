from __future__ import annotations

from itertools import product

import pytest

from records.clock import utc_now
from records.errors import LimitExceeded, NotPermitted
from records.parties import PartyRecord, Role
from sandbox.identity import Identity
from sandbox.rpc.v1 import (
    enrolment_service_pb2,
    exchange_service_pb2,
    link_service_pb2,
    node_service_pb2,
)
from sandbox.wire.authorisation import HEALTH_CHECK, RULES, check_deadline, check_role

ROLES: tuple[Role, ...] = ("provider", "notary", "buyer", "exchange", "regulator")
FILES = (enrolment_service_pb2, exchange_service_pb2, link_service_pb2, node_service_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@pytest.fixture(scope="module")
def records() -> dict[Role, PartyRecord]:
    return {
        role: Identity.create(
            role, role, controller="c", region="CN", environment="test", clock=utc_now
        ).record.document
        for role in ROLES
    }


def test_the_table_names_every_method_and_nothing_else() -> None:
    assert RULES.keys() == METHODS.keys() | {HEALTH_CHECK}


def test_the_descriptors_hold_the_arities_the_gate_must_wrap() -> None:
    arities = {(method.client_streaming, method.server_streaming) for method in METHODS.values()}
    assert arities == {(False, False), (False, True), (True, False)}


@pytest.mark.parametrize(("method", "role"), list(product(RULES, ROLES)))
def test_a_role_may_call_what_names_it_and_nothing_else(
    method: str, role: Role, records: dict[Role, PartyRecord]
) -> None:
    if role in RULES[method].roles:
        assert check_role(method, records[role]) is RULES[method]
    else:
        with pytest.raises(NotPermitted, match="may not call"):
            check_role(method, records[role])


def test_only_the_exchange_commands_a_node() -> None:
    commands = {method for method in RULES if ".NodeService/" in method}
    peers = {method for method in commands if method.endswith("/CompareCheckpoints")}
    assert all(RULES[method].roles == {"exchange"} for method in commands - peers)
    assert all(RULES[method].roles == {"provider", "notary"} for method in peers)


def test_nobody_on_the_mtls_listener_enrols() -> None:
    assert all(not rule.roles for method, rule in RULES.items() if ".EnrolmentService/" in method)


def test_only_the_health_check_goes_unsigned() -> None:
    assert {method for method, rule in RULES.items() if not rule.signed} == {HEALTH_CHECK}


def test_an_unknown_method_is_denied(records: dict[Role, PartyRecord]) -> None:
    with pytest.raises(NotPermitted, match="does not exist"):
        check_role("/sandbox.rpc.v1.NodeService/Backdoor", records["exchange"])


@pytest.mark.parametrize("remaining_s", [None, 9.2e18, 100_000.0])
def test_a_call_without_end_is_refused(remaining_s: float | None) -> None:
    with pytest.raises(LimitExceeded):
        check_deadline(RULES[HEALTH_CHECK], remaining_s)


def test_a_call_that_ends_in_time_passes() -> None:
    for rule in RULES.values():
        check_deadline(rule, rule.deadline_s)
