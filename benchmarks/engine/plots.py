"""Time against n, up to 2^22: cost must grow linearly, that of sorting by n log n."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Final

from benchmarks.engine.cluster import Cluster
from benchmarks.engine.operations import OPERATIONS

FOLDER: Final = Path(__file__).parents[1] / "plots"
RUNS: Final = 3
SERIES: Final = {
    "multiply_u64": range(10, 23, 2),
    "less_than_u64": range(10, 23, 2),
    "less_than_u32": range(10, 23, 2),
    "equality_u64": range(10, 23, 2),
    "sort_2e20": range(10, 23, 2),
}
"""What is drawn, and for which log2 n."""
LABELS: Final = {"sort_2e20": "sort, 32-bit keys"}


def draw(cluster: Cluster) -> None:
    """Measure all series, each run checked, and write `time-against-n.svg`.

    Raises:
        RuntimeError: a result was not that of the plaintext.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "usufruct"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 6))
    for name, exponents in SERIES.items():
        counts = [1 << exponent for exponent in exponents]
        seconds = [_seconds(cluster, name, count) for count in counts]
        (line,) = axes.loglog(counts, seconds, marker="o", label=LABELS.get(name, name), base=2)
        # From the last point back: what a cost linear in n would be.
        slope = [seconds[-1] * count / counts[-1] for count in counts]
        axes.loglog(counts, slope, linestyle=":", color=line.get_color(), base=2)
    axes.set_xlabel("n")
    axes.set_ylabel("seconds, three processes, mutual TLS")
    axes.set_title("Dotted: linear in n, through the largest size")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / "time-against-n.svg", metadata={"Date": None})
    pyplot.close(figure)


def _seconds(cluster: Cluster, name: str, count: int) -> float:
    cluster.prepare(OPERATIONS[name].name, count)
    runs = [cluster.run() for _ in range(RUNS + 1)][1:]
    if not all(run.verified for run in runs):
        raise RuntimeError(f"`{name}` at n = {count} differs from plaintext")
    return statistics.median(run.seconds for run in runs)
