from __future__ import annotations

from pathlib import Path

import pytest

from records.errors import MalformedDocument
from sandbox.node.configuration import NodeConfiguration


@pytest.mark.parametrize(("text", "port"), [("", 0), ("data_port: 7443", 7443), ("data_port: null", None)])
def test_a_node_has_a_data_channel_unless_its_officer_says_no(
    text: str, port: int | None, tmp_path: Path
) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(text)
    assert NodeConfiguration.read(file).data_port == port


@pytest.mark.parametrize("text", ["data_port: -1", "data_port: 65536", "data_port: tls"])
def test_a_data_port_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(text)
    with pytest.raises(MalformedDocument):
        NodeConfiguration.read(file)
