"""Which roles may call which method, and for how long. What the table does not name is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from records.errors import LimitExceeded, NotPermitted
from records.parties import PartyRecord, Role

PACKAGE: Final = "sandbox.rpc.v1"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"

DEADLINE_SLACK_S: Final = 5.0
DEADLINE_ROUNDING: Final = 1.05
"""gRPC writes long deadlines in coarse units, rounded up (3600 s may arrive as 3700 s)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method, and the longest deadline it may carry; clients use it as their default.

    `signed` is false only where nothing but "I am here" is answered.
    """

    roles: frozenset[Role]
    deadline_s: float
    signed: bool = True


def path(method: str) -> str:
    """Return the full path of `Service/Method` in our package."""
    return f"/{PACKAGE}.{method}"


_EXCHANGE: Final = frozenset[Role]({"exchange"})
_BUYER: Final = frozenset[Role]({"buyer"})
_PROVIDER: Final = frozenset[Role]({"provider"})
_NODES: Final = frozenset[Role]({"provider", "notary"})
_ACCOUNTS: Final = frozenset[Role]({"buyer", "provider", "notary"})
_CLIENTS: Final = frozenset[Role]({"buyer", "provider", "notary", "regulator"})
_EVERYONE: Final = _CLIENTS | _EXCHANGE
_NOBODY: Final = frozenset[Role]()

_QUICK_S: Final = 30.0
_PLANNING_S: Final = 120.0
_TRANSFER_S: Final = 600.0
_RUN_S: Final = 3600.0

_OURS: Final[Mapping[str, Rule]] = {
    "NodeService/AdmitJob": Rule(_EXCHANGE, _PLANNING_S),
    "NodeService/HoldBudgets": Rule(_EXCHANGE, _PLANNING_S),
    "NodeService/VoidHold": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/PrepareAttempt": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/ExecuteAttempt": Rule(_EXCHANGE, _RUN_S),
    "NodeService/GetCheckpointSize": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/ReleaseKey": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/DestroyKey": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/DeliverReceipt": Rule(_EXCHANGE, _QUICK_S),
    "NodeService/CompareCheckpoints": Rule(_NODES, _QUICK_S),
    "ExchangeService/RotateKey": Rule(_CLIENTS, _QUICK_S),
    "ExchangeService/RegisterProduct": Rule(_PROVIDER, _QUICK_S),
    "ExchangeService/JoinCollection": Rule(_PROVIDER, _QUICK_S),
    "ExchangeService/ListCatalogue": Rule(_EVERYONE, _QUICK_S),
    "ExchangeService/SubmitJob": Rule(_BUYER, _QUICK_S),
    "ExchangeService/GetJob": Rule(_BUYER, _QUICK_S),
    "ExchangeService/ListJobs": Rule(_BUYER, _QUICK_S),
    "ExchangeService/AcceptQuote": Rule(_BUYER, _QUICK_S),
    "ExchangeService/CancelJob": Rule(_BUYER, _QUICK_S),
    "ExchangeService/WatchJob": Rule(_BUYER, _RUN_S),
    "ExchangeService/GetResult": Rule(_BUYER, _QUICK_S),
    "ExchangeService/FetchShare": Rule(_BUYER, _TRANSFER_S),
    "ExchangeService/GetReceipt": Rule(_ACCOUNTS, _QUICK_S),
    "ExchangeService/GetStatement": Rule(_ACCOUNTS, _QUICK_S),
    "ExchangeService/GetCheckpoint": Rule(_EVERYONE, _QUICK_S),
    "ExchangeService/ListLeaves": Rule(_EVERYONE, _TRANSFER_S),
    "ExchangeService/ProveConsistency": Rule(_EVERYONE, _QUICK_S),
    "ExchangeService/ProveInclusion": Rule(_EVERYONE, _QUICK_S),
    "ExchangeService/GetUploadedSize": Rule(_NODES, _QUICK_S),
    "ExchangeService/UploadShare": Rule(_NODES, _TRANSFER_S),
    "LinkService/SendFrames": Rule(_NODES, _RUN_S),
    "LinkService/FindDataPort": Rule(_NODES, _QUICK_S),
    # Served on the enrolment listener alone, where callers have no certificate and so no role.
    "EnrolmentService/EnrolParty": Rule(_NOBODY, _QUICK_S),
    "EnrolmentService/RenewCertificate": Rule(_NOBODY, _QUICK_S),
}

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {path(method): rule for method, rule in _OURS.items()}
    | {HEALTH_CHECK: Rule(_EVERYONE, _QUICK_S, signed=False)}
)


def check_role(method: str, caller: PartyRecord) -> Rule:
    """Return the rule of `method`, because only who is named by it may call.

    Raises:
        NotPermitted: the method is unknown, or not for this role.
    """
    rule = RULES.get(method)
    if rule is None:
        raise NotPermitted("this method does not exist here")
    if caller.role not in rule.roles:
        raise NotPermitted(f"a {caller.role} may not call `{method.rpartition('/')[2]}`")
    return rule


def check_deadline(rule: Rule, remaining_s: float | None) -> None:
    """Return if the call ends by itself, because a call without end holds its resources for ever.

    Raises:
        LimitExceeded: no deadline, or one beyond the rule's.
    """
    if remaining_s is None or remaining_s > rule.deadline_s * DEADLINE_ROUNDING + DEADLINE_SLACK_S:
        raise LimitExceeded(f"send a deadline of at most {rule.deadline_s:.0f} s")
