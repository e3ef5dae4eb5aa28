"""SPU (SecretFlow), ABY3 over FM64 or FM32: three processes over brpc without TLS. Runs under its own Python.

    python contestant.py            obeys JSON lines: describe, trials, prepare, run
    python contestant.py RANK       one party, started by the above

Inputs are shared and programs compiled before the clock starts; every party waits at SPU's own barrier.
"""

from __future__ import annotations

import base64
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
    "multiply_u64": [("FM64", 1 << 16), ("FM64", 1 << 18)],
    "less_than_u64": [("FM64", 1 << 16), ("FM64", 1 << 18)],
    "equality_u64": [("FM64", 1 << 16), ("FM64", 1 << 18)],
    "matmul_256": [("FM64", 256)],
    "sort_2e16": [("FM64 SORT_QUICK", 1 << 16), ("FM32 SORT_RADIX", 1 << 16)],
}
"""What is worth trying for each operation: (field and sorting method, size)."""


def problem(operation: str, count: int) -> tuple[Any, list[Any], Any]:
    """Return the program for JAX, its inputs, and what must come out."""
    import jax.numpy as jnp  # type: ignore[import-not-found]

    generator = np.random.default_rng(20_261_122)

    def integers(bits: int, shape: Any = count, dtype: Any = np.int64) -> Any:
        return generator.integers(-(1 << bits), 1 << bits, shape, dtype=dtype)

    if operation == "multiply_u64":
        x, y = integers(62), integers(62)
        return lambda a, b: a * b, [x, y], x * y
    if operation == "less_than_u64":
        x, y = integers(61), integers(61)
        return lambda a, b: a < b, [x, y], x < y
    if operation == "equality_u64":
        x, y = integers(61), integers(61)
        y[::2] = x[::2]
        return lambda a, b: a == b, [x, y], x == y
    if operation == "matmul_256":
        x, y = (integers(62, (count, count)) for _ in range(2))
        return lambda a, b: a @ b, [x, y], x @ y
    if operation == "sort_2e16":
        x = integers(30, count, np.int32)
        return jnp.sort, [x], np.sort(x)
    raise SystemExit(f"SPU is not asked for {operation}")


class Contestant:
    """Starts the three parties, shares inputs among them, and checks what they return."""

    def __init__(self) -> None:
        self.parties = [
            subprocess.Popen(
                [sys.executable, __file__, str(rank)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for rank in range(PARTIES)
        ]  # fmt: skip
        hosts = [f"127.0.0.1:{port}" for port in free_ports(PARTIES)]
        self.tell_all({"do": "link", "hosts": hosts})

    def prepare(self, operation: str, count: int, setting: str) -> dict[str, Any]:
        import jax
        import spu  # type: ignore[import-not-found]
        from spu import libspu
        from spu.utils import frontend  # type: ignore[import-not-found]

        jax.config.update("jax_enable_x64", True)  # noqa: FBT003 - or int64 silently becomes int32
        field, _, sort = setting.partition(" ")
        config = libspu.RuntimeConfig(
            protocol=libspu.ProtocolKind.ABY3, field=getattr(libspu.FieldType, field)
        )
        if sort:
            config.sort_method = getattr(libspu.RuntimeConfig.SortMethod, sort)
        program, inputs, self.expected = problem(operation, count)
        names = [f"in{number}" for number in range(len(inputs))]
        secret = libspu.Visibility.VIS_SECRET
        executable, _ = frontend.compile(
            frontend.Kind.JAX, program, inputs, {}, names, [secret] * len(inputs), lambda _: ["out"]
        )
        self.io = spu.Io(PARTIES, config)
        shares = [self.io.make_shares(np.asarray(each), secret) for each in inputs]
        command = {"do": "load", "config": text(config.SerializeToString()), "code": text(executable.code)}
        for rank, party in enumerate(self.parties):
            own = {name: packed(share[rank]) for name, share in zip(names, shares)}  # noqa: B905
            say(party, {**command, "shares": own})
        for party in self.parties:
            hear(party)
        return {}

    def run(self) -> dict[str, Any]:
        answers = self.tell_all({"do": "run"})
        result = self.io.reconstruct([unpacked(answer["out"]) for answer in answers])
        verified = bool(np.array_equal(np.asarray(result).astype(self.expected.dtype), self.expected))
        return {"seconds": max(answer["seconds"] for answer in answers), "verified": verified}

    def tell_all(self, command: dict[str, Any]) -> list[dict[str, Any]]:
        for party in self.parties:
            say(party, command)
        return [hear(party) for party in self.parties]


class Party:
    """One rank."""

    def __init__(self, rank: int, hosts: list[str]) -> None:
        from spu import libspu

        description = libspu.link.Desc()
        for number, host in enumerate(hosts):
            description.add_party(f"p{number}", host)
        description.recv_timeout_ms = description.http_timeout_ms = 600_000
        description.http_max_payload_size = 32 << 20
        self.link = libspu.link.create_brpc(description, rank)

    def load(self, config: str, code: str, shares: dict[str, Any]) -> dict[str, Any]:
        import spu
        from spu import libspu

        parsed = libspu.RuntimeConfig()
        parsed.ParseFromString(raw(config))
        self.runtime = spu.Runtime(self.link.spawn(), parsed)
        for name, share in shares.items():
            self.runtime.set_var(name, unpacked(share))
        self.executable = libspu.Executable(
            name="program", input_names=list(shares), output_names=["out"], code=raw(code)
        )
        return {}

    def run(self) -> dict[str, Any]:
        self.link.barrier()
        started = time.perf_counter()
        self.runtime.run(self.executable)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "out": packed(self.runtime.get_var("out"))}


def packed(share: Any) -> dict[str, Any]:
    return {"meta": text(share.meta), "chunks": [text(chunk) for chunk in share.share_chunks]}


def unpacked(share: dict[str, Any]) -> Any:
    from spu import libspu

    made = libspu.Share()
    made.meta = raw(share["meta"])
    made.share_chunks = [raw(chunk) for chunk in share["chunks"]]
    return made


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def raw(data: str) -> bytes:
    return base64.b64decode(data)


def say(party: subprocess.Popen[str], command: dict[str, Any]) -> None:
    assert party.stdin is not None
    party.stdin.write(json.dumps(command) + "\n")
    party.stdin.flush()


def hear(party: subprocess.Popen[str]) -> dict[str, Any]:
    assert party.stdout is not None
    answer: dict[str, Any] = json.loads(party.stdout.readline())
    return answer


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def own_stdout() -> TextIO:
    """Return stdout for answers, and send what the library prints there to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def obey_as_contestant(answers: TextIO) -> None:
    contestant = Contestant()
    for line in sys.stdin:
        command = json.loads(line)
        match command.pop("do"):
            case "describe":
                import jax
                import spu

                answer = {"spu": spu.__version__, "jax": jax.__version__, "numpy": np.__version__}
            case "trials":
                answer = {"trials": TRIALS.get(command["operation"], [])}
            case "prepare":
                answer = contestant.prepare(**command)
            case _:
                answer = contestant.run()
        print(json.dumps(answer), file=answers, flush=True)


def obey_as_party(rank: int, answers: TextIO) -> None:
    party: Party | None = None
    for line in sys.stdin:
        command = json.loads(line)
        match command.pop("do"):
            case "link":
                party, answer = Party(rank, command["hosts"]), {}
            case "load" if party:
                answer = party.load(**command)
            case _:
                assert party is not None
                answer = party.run()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        obey_as_party(int(sys.argv[1]), own_stdout())
    else:
        obey_as_contestant(own_stdout())
