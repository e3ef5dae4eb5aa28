"""MPyC: Shamir sharing over a prime field, three processes without TLS. Runs under its own Python.

python contestant.py                     obeys JSON lines: describe, trials, prepare, run
python contestant.py -M3 -I RANK -B PORT  one party, started by the above; MPyC reads these itself
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any, TextIO

import numpy as np

PARTIES = 3
TRIALS = {
    "multiply_u64": [("int64", 1 << 12), ("int64", 1 << 15)],
    "less_than_u64": [("int64", 1 << 8)],
    "equality_u64": [("int64", 1 << 8)],
}
"""What is worth trying for each operation: (type, size)."""


def problem(operation: str, count: int) -> tuple[Any, list[Any], Any]:
    """Return the operator, its inputs, and what must come out."""
    generator = np.random.default_rng(20_261_122)
    # Products must fit into 64 bits: MPyC computes in the integers, not modulo 2^64.
    x, y = (generator.integers(-(1 << 30), 1 << 30, count) for _ in range(2))
    if operation == "multiply_u64":
        return lambda a, b: a * b, [x, y], x * y
    if operation == "less_than_u64":
        return lambda a, b: a < b, [x, y], x < y
    y[::2] = x[::2]
    return lambda a, b: a == b, [x, y], x == y


class Contestant:
    """Starts the three parties and tells all the same."""

    def __init__(self) -> None:
        arguments = [sys.executable, __file__, f"-M{PARTIES}", "-B", str(free_port())]
        self.parties = [
            subprocess.Popen(
                [*arguments, "-I", str(rank), "--no-log"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for rank in range(PARTIES)
        ]  # fmt: skip

    def tell_all(self, command: dict[str, Any]) -> dict[str, Any]:
        for party in self.parties:
            assert party.stdin is not None
            party.stdin.write(json.dumps(command) + "\n")
            party.stdin.flush()
        answers = []
        for party in self.parties:
            assert party.stdout is not None
            answers.append(json.loads(party.stdout.readline()))
        return {
            "seconds": max(answer["seconds"] for answer in answers),
            "verified": all(answer["verified"] for answer in answers),
        }


async def obey_as_party(mpc: Any, answers: TextIO) -> None:
    await mpc.start()
    secure = mpc.SecInt(64)
    for line in sys.stdin:
        command = json.loads(line)
        seconds, verified = 0.0, True
        if command.pop("do") == "prepare":
            act, inputs, expected = problem(command["operation"], command["count"])
            shared = [mpc.input(secure.array(each), senders=0) for each in inputs]
            await mpc.gather(shared)
        else:
            await mpc.barrier()
            started = time.perf_counter()
            result = act(*shared)
            await mpc.gather(result)
            seconds = time.perf_counter() - started
            opened = np.array([int(value) for value in await mpc.output(result)])
            verified = bool(np.array_equal(opened, expected))
        print(json.dumps({"seconds": seconds, "verified": verified}), file=answers, flush=True)
    await mpc.shutdown()


def obey_as_contestant() -> None:
    contestant = Contestant()
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any]
        match command["do"]:
            case "describe":
                import gmpy2  # type: ignore[import-not-found]
                import mpyc  # type: ignore[import-not-found]

                answer = {"mpyc": mpyc.__version__, "gmpy2": gmpy2.version(), "numpy": np.__version__}
            case "trials":
                answer = {"trials": TRIALS.get(command["operation"], [])}
            case _:
                answer = contestant.tell_all(command)
        print(json.dumps(answer), flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    if len(sys.argv) > 1:
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what the library prints is no answer
        from mpyc.runtime import mpc  # type: ignore[import-not-found]

        mpc.run(obey_as_party(mpc, answers))
    else:
        obey_as_contestant()
