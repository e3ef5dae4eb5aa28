"""Times that others published for TPC-H under secret sharing, with their hardware."""

from __future__ import annotations

from collections.abc import Mapping

ORQ_SF1_S: Mapping[int, float] = {
    1: 3.6 * 60,
    3: 4 * 60,
    5: 13 * 60,
    6: 0.8,
    8: 15.3 * 60,
    9: 12 * 60,
    18: 9 * 60,
    21: 16.4 * 60,
}
"""Query → seconds of ORQ (SOSP'25, arXiv 2509.10793), read off its artefact's plot (tag `sosp-artifact`).

The other queries ran too, but no figure of theirs could be read.
"""

ORQ_SETTING = (
    "SF 1 (100 times the rows of SF 0.01), three-party semi-honest, LAN, three AWS c7a.16xlarge with 64 "
    "virtual CPUs each, 16 threads; shared tables, no owners, terms, gate or bill; read off a plot"
)
