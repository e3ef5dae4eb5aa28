"""Joint jobs over made-up groups, run by three compute parties in one process."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.party import Party
from mpc.sharing import Arithmetic, from_bytes, split
from policies.meet import ReleaseRules
from sandbox.buyer.opening import OpenedResult, _joint
from sandbox.gate import costs, shares
from sandbox.gate.layout import Layout, Words
from sandbox.gate.shares import Gated, JointInput
from sandbox.node.computation import _block
from sandbox.node.keys import AttemptSecrets
from sandbox.sql.catalogue import Catalogue, ProductFacts, Source
from sandbox.sql.plan import LocalPart, Plan, plan
from tests.unit.mpc.three_parties import KEYS, Session, run, words_of

COLUMNS = (("origin", "VARCHAR"), ("delay", "BIGINT"), ("fee", "BIGINT"))
QUERY = "SELECT origin, COUNT(*) AS n, SUM(delay) AS s, AVG(fee) AS a FROM {} GROUP BY origin"
CONTEXT = bytes(32)


@dataclass(frozen=True, slots=True)
class Group:
    """What one provider has in one group: rows, rows with a delay and a fee, and their sums."""

    rows: int
    delays: int = 0
    delay_sum: int = 0
    fees: int = 0
    fee_sum: int = 0


Groups = Mapping[str, Group]


def providers(count: int) -> list[str]:
    """Return names of providers, in their order in the plan."""
    return [f"p{index}" for index in range(count)]


def joint_plan(count: int, query: str = QUERY, max_groups: int = 6) -> Plan:
    """Return the plan of `query` over the collection of `count` providers."""
    facts = tuple(ProductFacts(f"{name}.flights", name, COLUMNS, "row") for name in providers(count))
    catalogue = Catalogue((Source("everyone", facts),))
    return plan(query.format("everyone"), catalogue, technique="secret-sharing", max_groups=max_groups)


def local_plan(query: str = QUERY, max_groups: int = 6) -> Plan:
    """Return the plan of `query` over the one product of `p0`."""
    facts = ProductFacts("p0.flights", "p0", COLUMNS, "row")
    return plan(
        query.format("p0.flights"),
        Catalogue((Source("p0.flights", (facts,)),)),
        technique="local",
        max_groups=max_groups,
    )


def rules(min_units: int, *, disjoint: bool = True, max_rows: int = 5000) -> ReleaseRules:
    """Return release rules of which only these matter here."""
    return ReleaseRules("general", min_units, disjoint, max_rows, "off", frozenset(), frozenset())


def part(of: Plan, groups: Groups) -> pa.Table:
    """Return the table that a provider's engine would have answered with."""
    rows = list(groups.items())
    columns: dict[str, pa.Array] = {
        f"k{index}": pa.array([name for name, _ in rows], pa.string()) for index in range(len(of.keys))
    }
    columns["u"] = pa.array([group.rows for _, group in rows], pa.int64())
    for measure in of.measures:
        columns[measure.name] = _measured(measure.function, measure.column, [group for _, group in rows])
    for support in of.supports:
        columns[support.name] = _measured("count", support.column, [group for _, group in rows])
    return pa.table(columns)


def _measured(function: str, column: str | None, groups: Sequence[Group]) -> pa.Array:
    if column is None:
        return pa.array([group.rows for group in groups], pa.int64())
    pairs = [
        (group.delays, group.delay_sum) if column == "delay" else (group.fees, group.fee_sum)
        for group in groups
    ]
    if function == "count":
        return pa.array([count for count, _ in pairs], pa.int64())
    sums = [total if count else None for count, total in pairs]
    if function == "sum":
        return pa.array(sums, pa.int64())
    return pa.array([total / count if count else None for count, total in pairs], pa.float64())


def run_gate(
    of: Plan,
    release: ReleaseRules,
    parts: Sequence[Groups],
    *,
    faulty: Sequence[Literal[0, 1]] | None = None,
    keys: Sequence[bytes] = KEYS,
) -> Session[Gated]:
    """Share the providers' blocks as nodes do, and run the gate at three parties."""
    layout = Layout.of(of)
    flags = faulty or [0] * len(parts)
    sent = []
    for name, groups, flag in zip(providers(len(parts)), parts, flags, strict=True):
        attempt = AttemptSecrets(name, X25519PrivateKey.generate(), {}, CONTEXT)
        block, failed = _block(of, attempt, partial(_answer, part(of, groups)))
        words = np.concatenate([block.reshape(-1), np.array([failed | flag], dtype=np.uint64)])
        sent.append(split(words, secrets.token_bytes))

    def program(party: Party) -> Gated:
        own = [share[party.index] for share in sent]
        inputs = [JointInput(share[:-1].reshape(*layout.input_shape), share[-1:]) for share in own]
        return shares.gate(party, of, release, inputs)

    return run(program, costs.manifest(costs.openings(of)), keys=keys)


def _answer(table: pa.Table, _: LocalPart) -> pa.Table:
    return table


def is_withheld(session: Session[Gated]) -> bool:
    """Tell what all three parties came to."""
    assert len({(gated.rows, gated.cells, gated.shares is None) for gated in session.results}) == 1
    return session.results[0].shares is None


def opened_words(session: Session[Gated], of: Plan) -> Words:
    """Return what the buyer opens, row by row as it comes, after checking both holders of each share."""
    shape = Layout.of(of).result_shape
    pairs = []
    for gated in session.results:
        assert gated.shares is not None
        pairs.append(Arithmetic(from_bytes(gated.shares[0], shape), from_bytes(gated.shares[1], shape)))
    return words_of(pairs)


def opened(session: Session[Gated], of: Plan) -> OpenedResult:
    """Return the buyer's table."""
    held: dict[int, bytes] = {}
    for index, gated in enumerate(session.results):
        assert gated.shares is not None
        held[index] = gated.shares[0]
    return _joint(of, held)
