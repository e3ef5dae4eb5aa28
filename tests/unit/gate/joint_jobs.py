"""Jobs over made-up groups of several providers: a plan made by hand, run by three parties in one process.

Groups are those of SELECT origin, COUNT(*) AS n, SUM(delay) AS s, AVG(fee) AS a … GROUP BY origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import Arithmetic, from_bytes
from policies.meet import ReleaseRules
from sandbox.buyer.opening import OpenedResult, _joint
from sandbox.gate import costs, shares
from sandbox.gate.layout import Layout
from sandbox.gate.shares import Gated
from sandbox.joint.sharing import share_input
from sandbox.node.inputs import encode_own
from sandbox.sql.columns import payload_words
from sandbox.sql.plan import Facet, LocalPart, Output, PartColumn, Plan, ResultColumn, Support
from sandbox.sql.steps import Column, Compute, First, Group, Input, Stack, Step
from tests.unit.mpc.three_parties import KEYS, Session, run, words_of

CONTEXT = bytes(32)
MAX_TEXT_BYTES = 30
TEXT_WORDS = payload_words("VARCHAR", MAX_TEXT_BYTES)
BOUND = 1 << 60
ORIGIN, COUNT, SUM, AVERAGE = (
    Output("origin", "VARCHAR", ("origin",)), Output("n", "BIGINT", ("n",)),
    Output("s", "BIGINT", ("s",)), Output("a", "DOUBLE", ("fee_sum", "fees")),
)  # fmt: skip
ALL = (ORIGIN, COUNT, SUM, AVERAGE)
_TEXT = {"origin": "origin", "n": "n", "s": "s", "a": "fee_sum / NULLIF(fees, 0)"}
_SHARED_COUNTS = {"u": "n", "d": "delays", "f": "fees"}
"""What counts units, one column for each provider → the sum over all of them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one provider has in one group: rows, rows with a delay and a fee, and their sums."""

    rows: int
    delays: int = 0
    delay_sum: int = 0
    fees: int = 0
    fee_sum: int = 0


Groups = Mapping[str, Counted]


def providers(count: int) -> list[str]:
    """Return names of providers, in their order in the plan."""
    return [f"p{index}" for index in range(count)]


def joint_plan(
    count: int, outputs: Sequence[Output] = ALL, *, max_groups: int = 6, max_rows: int | None = None
) -> Plan:
    """Return a plan that groups the rows of `count` providers, of whom each has up to `max_groups` groups."""
    parts = tuple(_part(name, index, max_groups) for index, name in enumerate(providers(count)))
    steps: list[Step] = []
    stacked = []
    for index in range(count):
        steps.append(Input(index, max_groups))
        for other in range(count):
            for letter in _SHARED_COUNTS if other != index else ():
                column = Column(f"{letter}{other}", "number", 64)
                steps.append(Compute(len(steps) - 1, column, "nothing", ()))
        stacked.append(len(steps) - 1)
    steps.append(Stack(tuple(stacked)))
    counts = [f"{letter}{index}" for letter in _SHARED_COUNTS for index in range(count)]
    sums = tuple((name, name) for name in [*_SHARED_COUNTS.values(), "s", "fee_sum", *counts])
    keys = ("key",) if ORIGIN in outputs else ()
    steps.append(Group(len(steps) - 1, keys, sums=sums, last=(("origin", "origin"),) if keys else ()))
    rows = max_rows or (count * max_groups if keys else 1)
    if keys and rows < count * max_groups:
        steps.append(First(len(steps) - 1, rows, sorted=True, whole=True))
    units = {letter: (tuple(f"{letter}{index}" for index in range(count)),) for letter in _SHARED_COUNTS}
    supports = (Support("delay", "delays", units["d"]), Support("fee", "fees", units["f"]))
    return _plan(parts, tuple(steps), outputs, units["u"], supports, rows)


def local_plan(outputs: Sequence[Output] = ALL, *, max_rows: int = 6, ending: str = " ORDER BY ALL") -> Plan:
    """Return the same plan over one provider's groups."""
    supports = (Support("delay", "delays", (("delays",),)), Support("fee", "fees", (("fees",),)))
    part = _part("p0", 0, max_rows)
    of = _plan((part,), (), outputs, (("n",),), supports, max_rows)
    return replace(of, technique="local", finish=of.finish.replace(" ORDER BY ALL", ending))


def _plan(
    parts: tuple[LocalPart, ...],
    steps: tuple[Step, ...],
    outputs: Sequence[Output],
    units: tuple[tuple[str, ...], ...],
    supports: tuple[Support, ...],
    max_rows: int,
) -> Plan:
    known = (
        ResultColumn("origin", "VARCHAR", "payload", words=TEXT_WORDS), ResultColumn("n", "BIGINT", "number"),
        ResultColumn("s", "BIGINT", "number", support="delay"),
        ResultColumn("fee_sum", "BIGINT", "number", support="fee"),
        ResultColumn("fees", "BIGINT", "number", support="fee"),
    )  # fmt: skip
    used = {name for output in outputs for name in output.columns}
    columns = tuple(column for column in known if column.name in used)
    kept = {column.support for column in columns}
    selected = ", ".join(f"{_TEXT[output.name]} AS {output.name}" for output in outputs)
    return Plan(
        technique="secret-sharing",
        kind="aggregate",
        parts=parts,
        steps=steps,
        columns=columns,
        units=units,
        supports=tuple(support for support in supports if support.name in kept),
        outputs=tuple(outputs),
        finish=f"SELECT {selected} FROM released ORDER BY ALL",  # noqa: S608 - a constant text
        max_rows=max_rows,
        column_uses=(),
    )


def _part(provider: str, index: int, rows: int) -> LocalPart:
    def numbers(name: str, source: str) -> PartColumn:
        facet: Facet = "number"
        return PartColumn(Column(name, "number", 64), facet, (source,), "BIGINT", low=-BOUND, high=BOUND)

    columns = (
        PartColumn(Column("key", "key", 64), "text", ("origin",), "VARCHAR"),
        PartColumn(Column("origin", "payload", 64 * TEXT_WORDS), "payload", ("origin",), "VARCHAR"),
        *(numbers(name, name) for name in ("n", "delays", "s", "fees", "fee_sum")),
        *(numbers(f"{letter}{index}", name) for letter, name in _SHARED_COUNTS.items()),
    )
    return LocalPart(provider, ((f"{provider}.flights", "flights"),), "", rows, columns)


def rules(min_units: int, *, disjoint: bool = True, max_rows: int = 5000) -> ReleaseRules:
    """Return release rules of which only these matter here."""
    return ReleaseRules("general", min_units, disjoint, max_rows, "off", frozenset(), frozenset())


def rows_of(groups: Groups) -> pa.Table:
    """Return the table that a provider's engine would have answered with."""
    found = groups.values()
    columns = {
        "n": [group.rows for group in found],
        "delays": [group.delays for group in found],
        "s": [group.delay_sum if group.delays else None for group in found],
        "fees": [group.fees for group in found],
        "fee_sum": [group.fee_sum if group.fees else None for group in found],
    }
    arrays = {name: pa.array(values, pa.int64()) for name, values in columns.items()}
    return pa.table({"origin": pa.array(list(groups), pa.string()), **arrays})


def run_gate(
    of: Plan,
    release: ReleaseRules,
    parts: Sequence[Groups],
    *,
    faulty: Sequence[Literal[0, 1]] | None = None,
    keys: Sequence[bytes] = KEYS,
) -> Session[Gated]:
    """Share the providers' rows as nodes do, and run program and gate at three parties."""
    tables = {name: rows_of(groups) for name, groups in zip(providers(len(parts)), parts, strict=True)}

    def answer(part: LocalPart) -> Iterator[pa.RecordBatch]:
        return iter(tables[part.provider].to_batches())

    sent = []
    for index, part in enumerate(of.parts):
        plain = encode_own(
            of.parts, part.provider, lambda own: iter(tables[own.provider].to_batches()), CONTEXT
        )
        flagged = replace(plain[index], faulty=plain[index].faulty or bool(faulty and faulty[index]))
        sent.append(share_input(part, flagged, secrets.token_bytes))

    def program(party: Party) -> Gated:
        return shares.gate(party, of, release, [each[party.index] for each in sent])

    return run(program, costs.manifest(costs.openings(of)), keys=keys)


def is_withheld(session: Session[Gated]) -> bool:
    """Tell whether all three parties withheld the result; they always agree."""
    said = {gated.shares is None for gated in session.results}
    assert len(said) == 1
    return said.pop()


def opened_words(session: Session[Gated], of: Plan) -> Words:
    """Return the words that the buyer opens."""
    shape = Layout.of(of).result_shape
    pairs = []
    for gated in session.results:
        assert gated.shares is not None
        pairs.append(Arithmetic(*(from_bytes(share, shape) for share in gated.shares)))
    return words_of(pairs)


def opened(session: Session[Gated], of: Plan) -> OpenedResult:
    """Return the buyer's result."""
    held = [gated.shares for gated in session.results]
    return _joint(of, {index: pair[0] for index, pair in enumerate(held) if pair is not None}, ())
