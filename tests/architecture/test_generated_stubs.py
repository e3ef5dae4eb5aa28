from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
STUBS = ROOT / "sandbox" / "rpc" / "v1"


def _generate(target: Path) -> None:
    sources = sorted(str(path) for path in PROTO.rglob("*.proto"))
    services = [source for source in sources if source.endswith("_service.proto")]
    plugins = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    for files, outputs in (
        (sources, (f"--python_out={target}", f"--mypy_out={target}")),
        (services, (f"--grpc_python_out={target}", f"--mypy_grpc_out={target}")),
    ):
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO), *outputs, *files]
        subprocess.run(command, check=True, capture_output=True, env=plugins)


def test_committed_stubs_are_what_the_protos_generate(tmp_path: Path) -> None:
    _generate(tmp_path)
    fresh = {path.name: path.read_text() for path in (tmp_path / "sandbox/rpc/v1").iterdir()}
    committed = {
        path.name: path.read_text()
        for path in STUBS.iterdir()
        if path.suffix in {".py", ".pyi"} and path.name != "__init__.py"
    }
    assert committed.keys() == fresh.keys()
    assert [name for name in fresh if committed[name] != fresh[name]] == []


def test_no_python_lies_beside_the_protos() -> None:
    assert [path for path in PROTO.rglob("*") if path.is_file() and path.suffix != ".proto"] == []


@pytest.mark.parametrize(
    ("package", "stamp"),
    [
        ("grpcio", re.compile(r"GRPC_GENERATED_VERSION = '([\d.]+)'")),
        ("protobuf", re.compile(r"Protobuf Python Version: ([\d.]+)")),
    ],
)
def test_generated_code_demands_no_newer_runtime_than_is_declared(
    package: str, stamp: re.Pattern[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = next(line for line in project["dependencies"] if re.match(rf"{package}\b(?!-)", line))
    floor = re.search(r">=([\d.]+)", declared)
    assert floor is not None
    stamps = {found for path in STUBS.glob("*.py") for found in stamp.findall(path.read_text())}
    assert stamps
    assert max(map(_version, stamps)) <= _version(floor[1])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
