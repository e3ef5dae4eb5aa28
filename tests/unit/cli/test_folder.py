from __future__ import annotations

from pathlib import Path

import pytest

from records.errors import MalformedDocument, NotPermitted, UnknownObject
from sandbox.cli.folder import passphrase, text_of
from tests.unit.cli.running import PASSPHRASE, folder_with_passphrase


def test_a_passphrase_comes_from_the_given_file_else_from_the_folder(tmp_path: Path) -> None:
    folder = folder_with_passphrase(tmp_path / "party")
    assert passphrase(folder, None) == PASSPHRASE
    given = tmp_path / "given"
    given.write_text("another\n")
    given.chmod(0o600)
    assert passphrase(folder, given) == "another"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    folder = folder_with_passphrase(tmp_path / "party", mode)
    with pytest.raises(NotPermitted, match="0600"):
        passphrase(folder, None)


def test_without_a_file_and_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UnknownObject, match="mode 0600"):
        passphrase(tmp_path, None)
    with pytest.raises(UnknownObject):
        passphrase(tmp_path, tmp_path / "missing")


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    folder = folder_with_passphrase(tmp_path / "party")
    (folder / "passphrase").write_text("\n")
    with pytest.raises(MalformedDocument, match="empty"):
        passphrase(folder, None)


def test_text_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "terms.yaml"
    path.write_bytes("purposes: [fünf]".encode("latin-1"))
    with pytest.raises(MalformedDocument, match="UTF-8"):
        text_of(path)
