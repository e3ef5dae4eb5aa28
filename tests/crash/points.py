"""The points at which a server kills itself: before or after a call of one of its functions.

Production code has no hooks: a point names a function by module and attribute, and `tests.crash.server` wraps
it from outside. The wire's clients are wrapped where the moment is "some nodes have, others have not".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.lifecycle import State

STAGES = (
    State.ADMITTED,
    State.QUOTED,
    State.HELD,
    State.EXECUTED,
    State.METERED,
    State.RELEASED,
    State.SETTLED,
)


@dataclass(frozen=True, slots=True)
class Point:
    """`when` a function is called for the `nth` time with arguments that `matches` accepts.

    `during`: shortly after the call was sent. `alone`: calls that usually overlap are made one by one, so
    that the later ones have not begun.
    """

    name: str
    target: str
    when: Literal["before", "during", "after"]
    nth: int = 1
    alone: bool = False
    matches: Callable[..., bool] = lambda *_, **__: True


def _commits() -> list[Point]:
    def reaches(state: State) -> Callable[..., bool]:
        return lambda effects, job, outcome: outcome.to is state

    target = "sandbox.exchange.effects:JobEffects.commit"
    return [
        Point(f"{when} {state} is committed", target, when, matches=reaches(state))
        for state in STAGES
        for when in ("before", "after")
    ]


def _is_keys(connection: Any, job_id: str, kind: str, *_: object) -> bool:
    return kind == "attempt-keys"


_CLIENT = "sandbox.wire.node_client:NodeClient"
_EFFECTS = "sandbox.exchange.effects:JobEffects"
_METERING = "sandbox.exchange.metering:Metering"

EXCHANGE_POINTS = (
    *_commits(),
    Point("one node has admitted", f"{_CLIENT}.admit", "after", alone=True),
    Point("money is held, no node is asked", f"{_CLIENT}.hold", "before"),
    Point("one node holds, the others are not asked", f"{_CLIENT}.hold", "after", alone=True),
    Point("the attempt is numbered", f"{_EFFECTS}._start_attempt", "after"),
    Point("one node has prepared", f"{_CLIENT}.prepare", "after", alone=True),
    Point(
        "all nodes have prepared, nothing is kept", "sandbox.exchange.jobs:keep", "before", matches=_is_keys
    ),
    Point("the nodes compute", f"{_CLIENT}.execute", "during"),
    Point("the first share arrives", "sandbox.exchange.blobs:append", "before"),
    Point("within the upload of a share", "sandbox.exchange.blobs:append", "after", nth=2),
    Point("one node has executed", f"{_CLIENT}.execute", "after"),
    Point("within the metering transaction", f"{_METERING}._issue_token", "before"),
    Point("at the end of the metering transaction", f"{_METERING}.book_release", "after"),
    Point("the first key is handed out, not kept", f"{_METERING}.keep_handout", "before"),
    Point("the first key is kept, the second not asked for", f"{_METERING}.keep_handout", "after"),
    Point("the second key is handed out, not kept", f"{_METERING}.keep_handout", "before", nth=2),
    Point("all keys are kept", f"{_METERING}.keep_handout", "after", nth=3),
    Point("within the transaction of the receipts", f"{_METERING}.book_receipts", "after"),
    Point("one receipt is delivered", f"{_CLIENT}.settle", "after"),
    Point("within the transaction of the settlement", f"{_METERING}.book_settlement", "after"),
)

_NODE = "sandbox.node.node:Node"
_ATTEMPTS = "sandbox.node.attempts:Attempts"

NODE_POINTS = (
    Point("before admission", f"{_NODE}.admit", "before"),
    Point("after admission", f"{_NODE}.admit", "after"),
    Point("before the hold", f"{_NODE}.hold", "before"),
    Point("within the transaction of the hold", "sandbox.node.journal:keep_agreed", "before"),
    Point("after the hold", f"{_NODE}.hold", "after"),
    Point("before the attempt is prepared", f"{_NODE}.prepare", "before"),
    Point("after the attempt is prepared", f"{_NODE}.prepare", "after"),
    Point("before the attempt is run", f"{_NODE}.execute", "before"),
    Point("the attempt is started", f"{_ATTEMPTS}._compute", "before"),
    Point("within the protocol", "sandbox.gate.shares:gate", "before"),
    Point("computed, not sealed", f"{_ATTEMPTS}._seal", "before"),
    Point("sealed, not uploaded", f"{_ATTEMPTS}._seal", "after"),
    Point("within the upload", "sandbox.wire.exchange_client:pieces", "before", nth=2),
    Point("one share is uploaded", "sandbox.node.node:deliver", "after"),
    Point("all shares are uploaded", f"{_NODE}.execute", "after"),
    Point("before the key is asked for", f"{_NODE}.release", "before"),
    Point("the token is checked, nothing is journalled", f"{_NODE}._hand_out", "before"),
    Point("within the transaction of the hand-out", "sandbox.node.journal:keep_checkpoint", "before"),
    Point("the hand-out is journalled, not answered", f"{_NODE}._hand_out", "after"),
    Point("the key is handed out", f"{_NODE}.release", "after"),
    Point("before the receipt", f"{_NODE}.settle", "before"),
    Point("after the receipt", f"{_NODE}.settle", "after"),
)

REFUSED = Point("the key is refused", f"{_NODE}.release", "before")
"""Not a crash: the node answers with an error, once, and the exchange turns to reversing the charge."""

DESTROY_POINTS = (
    Point("before the key is destroyed", f"{_NODE}.destroy", "before"),
    Point("within the transaction of the void", "sandbox.node.attempts:destroy", "after"),
    Point("after the key is destroyed", f"{_NODE}.destroy", "after"),
)

ALL_POINTS = (*EXCHANGE_POINTS, *NODE_POINTS, *DESTROY_POINTS, REFUSED)
