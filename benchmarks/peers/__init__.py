"""Other people's engines, each in a virtual environment of its own under `build/peers`, and how to run them.

A peer's folder holds `requirements.txt` and `contestant.py`, which runs under the peer's Python, imports
nothing of ours, and obeys JSON lines on stdin as our parties do: `prepare`, then `run` as often as is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

FOLDER = Path(__file__).parent
ENVIRONMENTS = Path("build/peers")


@dataclass(frozen=True, slots=True)
class Trial:
    """A way to run an operation: the peer's own setting, and the size."""

    setting: str
    count: int


@dataclass(frozen=True, slots=True)
class PeerRun:
    """One run of a peer: the slowest party's seconds, and whether the result was right."""

    seconds: float
    verified: bool


def python_of(name: str) -> Path:
    """Return the Python of a peer's environment; build it first where it is not there yet."""
    folder = ENVIRONMENTS / name
    python, complete = folder / "bin" / "python", folder / ".complete"
    requirements = FOLDER / name / "requirements.txt"
    if not complete.exists() or complete.read_text() != requirements.read_text():
        print(f"building the environment of {name} (once; it downloads)", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        complete.write_text(requirements.read_text())
    return python


class Peer:
    """A running peer."""

    def __init__(self, name: str) -> None:
        """Start it; its own parties are processes that it starts."""
        self.name = name
        self._process = subprocess.Popen(
            [str(python_of(name)), str(FOLDER / name / "contestant.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions: dict[str, str] = self._tell({"do": "describe"})

    def trials(self, operation: str) -> list[Trial]:
        """Return what is worth trying for an operation; nothing if the peer has no such thing."""
        answer = self._tell({"do": "trials", "operation": operation})
        return [Trial(setting, count) for setting, count in answer["trials"]]

    def prepare(self, operation: str, trial: Trial) -> None:
        """Share inputs and compile."""
        self._tell({"do": "prepare", "operation": operation, **asdict(trial)})

    def run(self) -> PeerRun:
        """Run what was prepared once."""
        return PeerRun(**self._tell({"do": "run"}))

    def stop(self) -> None:
        """End the peer, whose parties end with its pipes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer
