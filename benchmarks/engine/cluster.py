"""The benchmark's side of the engine: starts three party processes, and tells all three the same."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from records.clock import utc_now
from sandbox.identity import Identity
from sandbox.wire.certificates import Authority

NAMES = ("alice", "bob", "notary")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the slowest party's seconds, all parties' bytes, the largest peak of memory."""

    seconds: float
    cpu_s: float
    rounds: int
    bytes: int
    peak_mib: float
    verified: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the same channel takes for one round of 8 bytes, and for one byte, all parties together."""

    round_s: float
    byte_s: float

    def limit_s(self, run: Run) -> float:
        """Return the network limit of a run: its rounds and bytes, and no computation at all."""
        return run.rounds * self.round_s + run.bytes * self.byte_s


class Cluster:
    """Three party processes on loopback, connected by TLS or in the clear."""

    def __init__(self, transport: Literal["tls", "tcp"]) -> None:
        """Draw keys and certificates, start the processes, connect them."""
        self.transport = transport
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.engine.party"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in NAMES
        ]
        try:
            ports = [answer["port"] for answer in self._tell(self._setups())]
            self._tell_all({"do": "connect", "ports": ports})
        except BaseException:
            self.stop()
            raise

    def calibrate(self) -> Calibration:
        """Measure the channel itself."""
        answers = self._tell_all({"do": "calibrate"})
        slowest = {name: max(answer[name] for answer in answers) for name in ("round_s", "byte_s")}
        # In the ring each of the three sends at once.
        return Calibration(slowest["round_s"], slowest["byte_s"] / len(NAMES))

    def prepare(self, operation: str, count: int) -> None:
        """Pose a problem to all parties."""
        self._tell_all({"do": "prepare", "operation": operation, "count": count})

    def run(self) -> Run:
        """Let the parties solve it once."""
        answers = self._tell_all({"do": "run"})
        assert len({answer["rounds"] for answer in answers}) == 1
        return Run(
            seconds=max(answer["seconds"] for answer in answers),
            cpu_s=sum(answer["cpu_s"] for answer in answers),
            rounds=answers[0]["rounds"],
            bytes=sum(answer["bytes"] for answer in answers),
            peak_mib=max(answer["peak_mib"] for answer in answers),
            verified=all(answer["verified"] for answer in answers),
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the parties."""
        return tuple(process.pid for process in self._processes)

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _setups(self) -> list[dict[str, Any]]:
        authority = Authority.create("benchmark", utc_now)
        identities = [
            Identity.create(
                name, "provider", controller=name, region="CN", environment="benchmark", clock=utc_now
            )
            for name in NAMES
        ]
        keys = [secrets.token_hex(32) for _ in NAMES]  # keys[i]: of parties i−1 and i
        return [
            {
                "do": "setup",
                "transport": self.transport,
                "party": index,
                "names": NAMES,
                "pair_keys": (keys[index], keys[(index + 1) % 3]),
                "records": [item.record.to_bytes().decode() for item in identities],
                "keys": identity.keys.to_json(),
                "certificate": authority.issue(
                    identity.party, identity.keys.tls.public_key(), utc_now
                ).decode(),
                "authority": authority.pem.decode(),
            }
            for index, identity in enumerate(identities)
        ]

    def _tell_all(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        return self._tell([command] * len(NAMES))

    def _tell(self, commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for process, command in zip(self._processes, commands, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("a party process ended; its error stands above")
            answers.append(json.loads(line))
        return answers
