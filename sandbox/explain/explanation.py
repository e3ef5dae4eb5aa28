"""EXPLAIN: the plan of a job as a tree of who computes what, who learns what, and what it costs.

Costs are those of the declared model (`sandbox/gate/costs.py`): all nodes together are the quote's.
Everything is derived from the signed job; no rows are read, and literals stay placeholders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mpc.costs import FREE, Cost
from records.canonical import Json
from sandbox.derivation import Derived
from sandbox.explain.columns import meanings, shortened, sources_of
from sandbox.explain.steps import in_words, tables_of
from sandbox.gate.costs import BYTES_PER_MICROSECOND, MICROSECONDS_PER_PART, MICROSECONDS_PER_ROUND, gate_cost
from sandbox.joint.costs import StepCost, step_costs
from sandbox.joint.shapes import shapes
from sandbox.joint.sharing import input_bytes
from sandbox.sql.columns import WORD_BYTES
from sandbox.sql.plan import LocalPart, PartColumn, Plan
from sandbox.sql.steps import Compute, Filter, Input, Project, Step

_NOTHING = "nothing"
_LENGTH_BYTES = 2
_CHAINED = (Compute, Filter, Project)


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of work: `by` these parties together, over the results of the nodes `inputs`.

    `rows` bounds its result. `time_us` is declared. `notes` are what is assumed of the data, and names.
    """

    number: int
    by: tuple[str, ...]
    what: str
    learns: str
    rows: int
    cost: Cost = FREE
    time_us: int = 0
    sql: str = ""
    notes: tuple[str, ...] = ()
    inputs: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return the node as a document."""
        return {
            "number": self.number,
            "by": list(self.by),
            "what": self.what,
            "learns": self.learns,
            "rows": self.rows,
            "rounds": self.cost.rounds,
            "bytes": self.cost.bytes,
            "seconds": f"{self.time_us / 1e6:.6f}",
            "sql": self.sql,
            "notes": list(self.notes),
            "inputs": list(self.inputs),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The nodes of a plan, each after its inputs; the last gives the result."""

    technique: str
    compute_set: tuple[str, ...]
    leaks: tuple[str, ...]
    rounds: int
    wire_bytes: int
    compute_ms: int
    nodes: tuple[Node, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the explanation as a document; `seconds` are decimals in quotes."""
        return {
            "technique": self.technique,
            "compute_set": list(self.compute_set),
            "leaks": list(self.leaks),
            "rounds": self.rounds,
            "bytes": self.wire_bytes,
            "seconds": f"{self.compute_ms / 1000:.3f}",
            "nodes": [node.to_json() for node in self.nodes],
        }

    def __str__(self) -> str:
        costs = f"{self.rounds} rounds, {_size(self.wire_bytes)}, {self.compute_ms / 1000:.3f} s declared"
        head = [
            f"{self.technique}: {costs}",
            f"leaks beside the result: {', '.join(self.leaks) or 'none'}",
        ]
        return "\n".join([*head, *self._lines(self.nodes[-1].number, "", "", set())])

    def _lines(self, number: int, first: str, rest: str, seen: set[int]) -> Iterator[str]:
        node = self.nodes[number - 1]
        if number in seen:
            yield f"{first}{number}  the same as above"
            return
        seen.add(number)
        yield f"{first}{number}  {', '.join(node.by)}: {node.what}"
        under = f"{rest}{'│' if node.inputs else ' '}    "
        costs = f"{node.cost.rounds} rounds, {_size(node.cost.bytes)}, {node.time_us / 1e6:.3f} s"
        yield f"{under}rows ≤ {node.rows:,}; {costs}; learns {node.learns}"
        for line in (node.sql, *node.notes):
            if line:
                yield f"{under}{line}"
        for place, child in enumerate(node.inputs, start=1):
            last = place == len(node.inputs)
            yield from self._lines(
                child, f"{rest}{'└─ ' if last else '├─ '}", f"{rest}{'   ' if last else '│  '}", seen
            )


def explain(derived: Derived, buyer: str) -> Explanation:
    """Return how the job of `buyer` is computed."""
    plan = derived.plan
    nodes = _local(derived, buyer) if plan.technique == "local" else _joint(derived, buyer)
    return Explanation(
        derived.technique,
        derived.compute_set,
        derived.leaks,
        derived.rounds,
        derived.wire_bytes,
        derived.compute_ms,
        tuple(nodes),
    )


def _local(derived: Derived, buyer: str) -> list[Node]:
    plan, (part,) = derived.plan, derived.plan.parts
    provider, tables = (part.provider,), ", ".join(part.products)
    shown = f"the result: {_outputs(plan)}"
    return [
        _timed(
            Node(1, provider, f"compute over {tables} in its own engine", _NOTHING, part.rows, sql=part.sql),
            parts=1,
        ),
        Node(
            2,
            provider,
            f"{_rules(derived)}; finish",
            "the result, of its own rows",
            plan.max_rows,
            sql=plan.finish,
            inputs=(1,),
        ),
        Node(3, (buyer,), "open the result", shown, plan.max_rows, inputs=(2,)),
    ]


def _joint(derived: Derived, buyer: str) -> list[Node]:
    plan = derived.plan
    nodes, last = _steps(plan, derived.compute_set)
    gate = Node(
        len(nodes) + 1,
        derived.compute_set,
        f"in shares: {_rules(derived)}; shuffle",
        "how many rows and cells are released, which the bill says too",
        plan.max_rows,
        gate_cost(plan, derived.rules),
        inputs=(last,),
    )
    known = meanings(plan)
    finish = Node(
        len(nodes) + 2,
        (buyer,),
        "open what is shown, and finish",
        f"the result: {_outputs(plan)}",
        plan.max_rows,
        sql=plan.finish,
        notes=tuple(f"{column.name} is {shortened(known[column.name])}" for column in plan.columns),
        inputs=(gate.number,),
    )
    return [*nodes, _timed(gate), finish]


def _steps(plan: Plan, compute_set: tuple[str, ...]) -> tuple[list[Node], int]:
    """Return the nodes of parts and steps, and the number of the last; a chain of expressions is one node."""
    tables = shapes(plan.steps, plan.parts)
    spent, known = step_costs(plan.steps, tables), meanings(plan)
    nodes: list[Node] = []
    node_of: list[int] = []
    while len(node_of) < len(plan.steps):
        start = len(node_of)
        end = _chain_end(plan.steps, start)
        chain, first = plan.steps[start:end], plan.steps[start]
        inputs = tuple(dict.fromkeys(node_of[table] for table in tables_of(first)))
        if all(isinstance(step, Project) for step in chain):  # other names for the same columns
            node_of += inputs * len(chain)
            continue
        number = len(nodes) + 1
        if isinstance(first, Input):
            nodes.append(_part(number, plan.parts[first.part]))
        else:
            what, rows = in_words(chain, tables, known), tables[end - 1].rows
            nodes.append(_step(Node(number, compute_set, what, "", rows, inputs=inputs), spent[start:end]))
        node_of += [number] * len(chain)
    return nodes, node_of[-1]


def _chain_end(steps: Sequence[Step], start: int) -> int:
    """Return the index behind the steps from `start` on of which each is read by the next alone."""
    end = start + 1
    while (
        end < len(steps)
        and isinstance(steps[end - 1], _CHAINED)
        and isinstance(steps[end], _CHAINED)
        and [number for number, step in enumerate(steps) if end - 1 in tables_of(step)] == [end]
    ):
        end += 1
    return end


def _part(number: int, part: LocalPart) -> Node:
    sources = sources_of(part)
    tables = ", ".join(part.products)
    keys = [" and ".join(sources[name] for name in names) for names in part.unique]
    assumed = [
        *(f"no two rows agree in {key}" for key in keys),
        *filter(None, (_assumed(item, sources[item.column.name]) for item in part.columns)),
    ]
    node = Node(
        number,
        (part.provider,),
        f"compute over {tables} in its own engine, and put at most {part.rows:,} rows into shares",
        _NOTHING,
        part.rows,
        Cost(0, input_bytes(part)),
        sql=part.sql,
        notes=tuple(f"assumed, else the result is withheld: {each}" for each in dict.fromkeys(assumed)),
    )
    return _timed(node, parts=1)


def _assumed(item: PartColumn, source: str) -> str | None:
    """Return which bound on a column is not declared, but taken so that the program fits its words."""
    if item.facet == "payload" and item.type == "VARCHAR":
        return f"{source} has at most {item.column.words * WORD_BYTES - _LENGTH_BYTES} bytes"
    is_budget = item.high == -item.low and (item.high + 1).bit_count() == 1 and item.high > 0
    return f"{source} lies within ±{item.high / item.scale:.6g}" if is_budget else None


def _step(node: Node, costs: tuple[StepCost, ...]) -> Node:
    opened = sum(len(each.openings) for each in costs)
    learns = _NOTHING if opened == 0 else f"{_NOTHING}: {opened} uniformly random orders are opened"
    return _timed(replace(node, cost=sum((each.cost for each in costs), start=FREE), learns=learns))


def _timed(node: Node, parts: int = 0) -> Node:
    time_us = (
        node.cost.rounds * MICROSECONDS_PER_ROUND
        + node.cost.bytes // BYTES_PER_MICROSECOND
        + parts * MICROSECONDS_PER_PART
    )
    return replace(node, time_us=time_us)


def _rules(derived: Derived) -> str:
    rules, most = derived.rules, f"at most {derived.rules.max_rows:,} rows"
    if derived.plan.kind == "rows" or not rules.min_units:
        return f"release {most}"
    return f"release groups and values of at least {rules.min_units} protected units, {most}"


def _outputs(plan: Plan) -> str:
    return ", ".join(f"{item.name} {item.type}" for item in plan.outputs)


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 1_000_000 else f"{count / 1e6:,.1f} MB"
