"""The contracts of `.importlinter` hold, and each of them would notice a breach."""

from __future__ import annotations

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / ".importlinter"

BREACHES = [
    ("records/ids.py", "import billing.ledger", "layers"),
    ("policies/terms.py", "import mpc.sharing", "layers"),
    ("federated/rounds.py", "import sandbox.gate", "layers"),
    ("billing/ledger.py", "import grpc", "transport"),
    ("mpc/sharing.py", "import sqlalchemy", "pure"),
    ("sandbox/exchange/jobs.py", "import sandbox.node.pins", "parties"),
    ("sandbox/wire/servicers.py", "import sandbox.exchange.jobs", "assembly"),
    ("sandbox/node/pins.py", "from google.protobuf import message", "edge"),
    ("sandbox/sql/plan.py", "import duckdb", "data-at-rest"),
]


def _contracts() -> ConfigParser:
    parsed = ConfigParser()
    parsed.read(CONFIGURATION)
    return parsed


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _write(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")


@pytest.fixture
def empty_product(tmp_path: Path) -> Path:
    """Return a folder with every package that the contracts name, each of them empty."""
    contracts = _contracts()
    named = contracts["importlinter"]["root_packages"].split()
    for section in contracts.sections():
        for key in ("modules", "source_modules", "forbidden_modules"):
            named += contracts[section].get(key, "").split()
    for module in named:
        if module.partition(".")[0] in named[:8]:
            _write(tmp_path / module.replace(".", "/") / "__init__.py", "")
    for package in ("sandbox/store/migrations", "sandbox/exchange/tables", "sandbox/node/tables"):
        _write(tmp_path / package / "__init__.py", "")
    migrations = tmp_path / "sandbox/store/migrations/env.py"
    _write(migrations, "import sandbox.exchange.tables\nimport sandbox.node.tables")
    shutil.copy(CONFIGURATION, tmp_path)
    return tmp_path


def test_the_product_keeps_every_contract() -> None:
    run = _lint(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_product_without_imports_keeps_every_contract(empty_product: Path) -> None:
    run = _lint(empty_product)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("module", "statement", "contract"), BREACHES)
def test_a_breach_is_found(empty_product: Path, module: str, statement: str, contract: str) -> None:
    _write(empty_product / module, statement)
    imported = statement.split()[1]
    if imported.partition(".")[0] in _contracts()["importlinter"]["root_packages"].split():
        _write(empty_product / f"{imported.replace('.', '/')}.py", "")
    run = _lint(empty_product)
    name = _contracts()[f"importlinter:contract:{contract}"]["name"]
    assert run.returncode == 1
    assert f"{name} BROKEN" in run.stdout


def test_every_contract_has_a_breach_that_it_finds() -> None:
    prefix = "importlinter:contract:"
    contracts = {name.removeprefix(prefix) for name in _contracts().sections() if name.startswith(prefix)}
    assert {contract for *_, contract in BREACHES} == contracts


def test_every_part_of_the_product_stands_in_its_contracts() -> None:
    parts = {f"sandbox.{path.stem}" for path in (ROOT / "sandbox").iterdir() if _is_module(path)}
    assembly = _modules("assembly", "source_modules")
    parties = _modules("parties", "modules")
    assert parts == assembly | parties | {"sandbox.local", "sandbox.cli", "sandbox.rpc"}
    transports = {"sandbox.wire", "sandbox.link", "sandbox.rpc", "sandbox.cli"}
    assert parts - transports == _modules("edge", "source_modules")


def _is_module(path: Path) -> bool:
    return (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()


def _modules(contract: str, key: str) -> set[str]:
    return set(_contracts()[f"importlinter:contract:{contract}"][key].split())
