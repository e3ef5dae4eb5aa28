from __future__ import annotations

from tests.unit.cli.running import asked, invoke


def test_the_report_names_every_backend_with_its_reason() -> None:
    report = asked("doctor")
    assert set(report["backends"]) == {"embedded", "docker", "docker-runsc", "kubernetes"}
    assert all(item["state"] == "unavailable" and item["reason"] for item in report["backends"].values())
    assert (report["probes"], report["inert"]) == ([], [])
    assert all(item["holds"] for item in report["checks"])
    assert report["libraries"]["cryptography"]
    assert report["machine"]["cores"] >= 1


def test_the_report_is_readable() -> None:
    said = invoke("doctor")
    assert said.exit_code == 0
    assert "post-quantum sealing" in said.stdout
