"""The three-party engine: three processes on loopback, every timed run checked against plaintext.

Beside our value with mTLS stand, in the same run and interleaved with it, ours without TLS and the peers
(which are measured without TLS), and the network limit R·t_round + B/BW of the same channel.

    python -m benchmarks.mpc --json FILE [--peer spu] [--peer mpyc] [--only ROW …] [--markdown] [--plot]
"""

from __future__ import annotations

import argparse
import ssl
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.engine.cluster import Calibration, Cluster, Run
from benchmarks.engine.operations import OPERATIONS, Operation
from benchmarks.engine.plots import draw
from benchmarks.peers import Peer, PeerRun, Trial
from benchmarks.report import Row, publish, render

PEERS = ("spu", "mpyc")
USUAL = {
    ("spu", "multiply_u64"): 7.8e6,
    ("spu", "less_than_u64"): 0.33e6,
    ("spu", "equality_u64"): 2.0e6,
    ("spu", "matmul_256"): 75.0,
    ("spu", "sort_2e16"): 9.3,
}
"""What a peer reaches on a quiet machine, as issue 3 gives it."""
SLOWER = 0.3
WARM_UPS = 3
WITHOUT_TLS = "ours_without_tls"


@dataclass(frozen=True, slots=True)
class Contest:
    """Who takes part in a row."""

    tls: Cluster
    plain: Cluster | None
    peers: tuple[Peer, ...]

    @property
    def ours(self) -> tuple[Cluster, ...]:
        """Our clusters: with TLS first."""
        return (self.tls,) if self.plain is None else (self.tls, self.plain)


@dataclass(frozen=True, slots=True)
class Beside:
    """A peer in a row: how it was run, and its timed runs."""

    peer: str
    trial: Trial
    runs: list[PeerRun]


@dataclass(frozen=True, slots=True)
class Timed:
    """What was measured for an operation: our runs with TLS, those without if there are any, and peers'."""

    operation: Operation
    ours: tuple[list[Run], ...]
    peers: list[Beside]

    @property
    def verified(self) -> bool:
        """Whether every run gave the result of plaintext."""
        theirs = (run.verified for beside in self.peers for run in beside.runs)
        return all(run.verified for runs in self.ours for run in runs) and all(theirs)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", default=None, help="write the report here; `-` is stdout")
    parser.add_argument("--peer", action="append", choices=PEERS, default=[], help="run a peer beside")
    parser.add_argument("--only", nargs="+", choices=tuple(OPERATIONS), default=tuple(OPERATIONS))
    parser.add_argument("--runs", type=int, default=7, help="timed runs, at least 5")
    parser.add_argument("--markdown", action="store_true", help="write the table into benchmarks/README.md")
    parser.add_argument("--plot", action="store_true", help="draw time against n into benchmarks/plots")
    arguments = parser.parse_args()
    runs = max(5, arguments.runs)
    with ExitStack() as stack:
        tls = stack.enter_context(Cluster("tls"))
        plain = stack.enter_context(Cluster("tcp")) if arguments.peer else None
        peers = tuple(stack.enter_context(Peer(name)) for name in arguments.peer)
        contest = Contest(tls, plain, peers)
        timed, calibrations = [], [tls.calibrate()]
        for name in arguments.only:
            timed.append(_time(contest, OPERATIONS[name], runs))
            calibrations.append(tls.calibrate())
        if arguments.plot:
            draw(tls)
    # The limit is what the channel can do, so the best of all calibrations counts.
    limits = Calibration(
        min(each.round_s for each in calibrations), min(each.byte_s for each in calibrations)
    )
    rows = [row for each in timed for row in _reported(each, limits)]
    settings = _settings(contest, limits, runs)
    if arguments.markdown:
        render(settings, rows)
    publish(settings, rows, arguments.json)


def _time(contest: Contest, operation: Operation, runs: int) -> Timed:
    for cluster in contest.ours:
        cluster.prepare(operation.name, operation.count)
        cluster.run()  # warm: kernels are compiled, pages are mapped
    chosen = [(peer, trial) for peer in contest.peers if (trial := _best_trial(peer, operation)) is not None]
    ours: tuple[list[Run], ...] = tuple([] for _ in contest.ours)
    theirs: list[list[PeerRun]] = [[] for _ in chosen]
    for _ in range(runs):
        for cluster, results in zip(contest.ours, ours, strict=True):
            results.append(cluster.run())
        for (peer, _trial), answers in zip(chosen, theirs, strict=True):
            answers.append(peer.run())
    beside = [
        Beside(peer.name, trial, answers) for (peer, trial), answers in zip(chosen, theirs, strict=True)
    ]
    return Timed(operation, ours, beside)


def _best_trial(peer: Peer, operation: Operation) -> Trial | None:
    """Warm a peer up with each of its settings; leave it prepared with the fastest."""
    trials = peer.trials(operation.name)
    rates = {}
    for trial in trials:
        peer.prepare(operation.name, trial)
        rates[trial] = trial.count / min(peer.run().seconds for _ in range(WARM_UPS))
    if not rates:
        return None
    best = max(rates, key=rates.__getitem__)
    if best != trials[-1]:
        peer.prepare(operation.name, best)
        peer.run()
    return best


def _reported(timed: Timed, limits: Calibration) -> list[Row]:
    operation, own = timed.operation, timed.ours[0]
    seconds = [run.seconds for run in own]
    notes = [
        f"{len(own)} timed runs equal plaintext",
        f"best {operation.value(min(seconds), operation.count):.4g}",
    ]
    peers, ratio = {}, {}
    fair = operation.value(statistics.median(run.seconds for run in timed.ours[-1]), operation.count)
    if len(timed.ours) > 1:
        peers[WITHOUT_TLS] = fair
    for beside in timed.peers:
        name, trial = beside.peer, beside.trial
        reached = operation.value(statistics.median(run.seconds for run in beside.runs), trial.count)
        peers[name] = reached
        notes.append(f"{name} with {trial.setting} at n = {trial.count}, {len(beside.runs)} runs checked")
        usual = USUAL.get((name, operation.name))
        if usual is not None and operation.better(usual, reached) > 1 + SLOWER:
            notes.append(f"ratio with {name} INVALID: it is more than 30 % slower than its usual {usual:.3g}")
        else:
            ratio[name] = operation.better(fair, reached)
    run = own[0]
    row = Row(
        operation.name, operation.value(statistics.median(seconds), operation.count), operation.unit,
        operation.goal, timed.verified, "; ".join(notes), peers, ratio,
        limit=operation.value(limits.limit_s(run), operation.count),
        n=operation.count, bytes=run.bytes, rounds=run.rounds,
        ratio_goals={} if operation.ratio_goal is None else {"spu": operation.ratio_goal},
    )  # fmt: skip
    return [row] if operation.memory_goal is None else [row, _memory(timed, operation.memory_goal)]


def _memory(timed: Timed, goal: str) -> Row:
    peak_mib = max(run.peak_mib for run in timed.ours[0])
    checked = "VmHWM of the largest party in the same runs, shares and interpreter included"
    name, count = timed.operation.name, timed.operation.count
    return Row(f"{name}_mib", peak_mib, "MiB", goal, timed.verified, checked, n=count)


def _settings(contest: Contest, limits: Calibration, runs: int) -> dict[str, Any]:
    try:
        numba = version("numba")
    except PackageNotFoundError:
        numba = "absent"
    return {
        "runs": runs,
        "value": "median over runs of the slowest of three processes, between barriers, on shared inputs",
        "transport": "the data channel of sandbox/link/tls.py: mutual TLS 1.3, loopback",
        "openssl": ssl.OPENSSL_VERSION,
        "numba": numba,
        "t_round_us": round(limits.round_s * 1e6, 1),
        "bandwidth_gb_per_s": round(1e-9 / limits.byte_s, 3),
        "peers": {peer.name: peer.versions for peer in contest.peers},
    }


if __name__ == "__main__":
    main()
