from __future__ import annotations

from typing import Literal

import pytest

from benchmarks.engine.cluster import Cluster


@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_three_processes_compute_over_the_data_channel(transport: Literal["tls", "tcp"]) -> None:
    with Cluster(transport) as cluster:
        cluster.prepare("multiply_u64", 100_000)
        first, second = cluster.run(), cluster.run()
        assert first.verified
        assert second.verified
        # One round; three shares an element of eight bytes.
        assert (first.rounds, first.bytes) == (1, 3 * 8 * 100_000)
        assert (second.rounds, second.bytes) == (first.rounds, first.bytes)
