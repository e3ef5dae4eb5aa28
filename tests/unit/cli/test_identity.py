from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.unit.cli.running import ABOUT, asked, folder_with_passphrase, invoke, new_provider


def test_new_keys_lie_private_and_show_needs_no_passphrase(tmp_path: Path) -> None:
    folder = new_provider(tmp_path / "alice")
    files = list((folder / "identity").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((folder / "identity").stat().st_mode) == 0o700
    (folder / "passphrase").unlink()
    facts = asked("identity", "show", folder)
    assert facts["key_id"].startswith("ed25519:")
    assert (facts["party"], facts["role"], facts["version"]) == ("alice", "provider", 1)
    assert facts["certificate_until"] is None
    assert facts["exchange"] is None


def test_keys_are_not_drawn_over_others(tmp_path: Path) -> None:
    folder = new_provider(tmp_path / "alice")
    before = asked("identity", "show", folder)
    again = ("--party", "alice", "--role", "provider", *ABOUT, "--address", "127.0.0.1:7001")
    assert asked("identity", "new", folder, *again, exit_code=1)["error"]["code"] == "state-conflict"
    assert asked("identity", "show", folder) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--party", "alice", "--role", "provider"),
        ("--party", "alice", "--role", "buyer", "--address", "127.0.0.1:7001"),
        ("--party", "alice", "--role", "provider", "--address", "127.0.0.1"),
        ("--party", "alice", "--role", "provider", "--address", "127.0.0.1:0"),
        ("--party", "alice", "--role", "provider", "--address", "host:70000"),
        ("--party", "alice", "--role", "exchange", "--address", "127.0.0.1:7001"),
        ("--party", "alice", "--role", "buyer", "--environment", "two words"),
    ],
)
def test_a_party_that_cannot_be_is_a_usage_error(tmp_path: Path, options: tuple[str, ...]) -> None:
    folder = folder_with_passphrase(tmp_path / "alice")
    assert invoke("identity", "new", folder, *ABOUT, *options).exit_code == 2
    assert not (folder / "identity").exists()


def test_a_bad_name_is_refused(tmp_path: Path) -> None:
    folder = folder_with_passphrase(tmp_path / "alice")
    failed = asked("identity", "new", folder, *ABOUT, "--party", "Al/ice", "--role", "buyer", exit_code=1)
    assert failed["error"]["code"] == "document-malformed"
    assert not (folder / "identity").exists()


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    folder = folder_with_passphrase(tmp_path / "alice")
    folder.chmod(0o755)
    failed = asked("identity", "new", folder, *ABOUT, "--party", "alice", "--role", "buyer", exit_code=1)
    assert failed["error"]["code"] == "not-permitted"


def test_what_needs_an_enrolled_party_says_so(tmp_path: Path) -> None:
    empty = folder_with_passphrase(tmp_path / "empty")
    failed = asked("identity", "show", empty, exit_code=1)["error"]
    assert "usufruct identity new" in failed["message"]
    alice = new_provider(tmp_path / "alice")
    for command in (
        ("identity", "rotate", alice),
        ("statement", "--as", alice),
        ("log", "verify", "--as", alice),
    ):
        failed = asked(*command, exit_code=1)["error"]
        assert "usufruct identity enrol" in failed["message"]


def test_an_invitation_that_is_none_is_refused(tmp_path: Path) -> None:
    alice = new_provider(tmp_path / "alice")
    invitation = tmp_path / "invitation"
    invitation.write_text("{}")
    invitation.chmod(0o644)
    assert asked("identity", "enrol", alice, invitation, exit_code=1)["error"]["code"] == "not-permitted"
    invitation.chmod(0o600)
    assert asked("identity", "enrol", alice, invitation, exit_code=1)["error"]["code"] == "document-malformed"
    assert invoke("identity", "enrol", alice, tmp_path / "missing").exit_code == 2
