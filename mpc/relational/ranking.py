"""Ranks over rows that several parties hold apart: k-th value, quantile, and the k greatest.

No row enters the protocol for a k-th value: the domain is searched, and each step compares counts only
(Aggarwal, Mishra and Pinkas, Journal of Cryptology 2010, section 4). A step takes 255 thresholds at once,
eight bits of the value, so that 32 bits take four steps. The opened bits say whether the value lies at or
below a threshold: the value implies all of them, so that they leak nothing beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mpc.comparison import is_negative
from mpc.conversion import negate
from mpc.manifest import Opening
from mpc.multiplication import constant, reshare
from mpc.opening import open_to_parties
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.tables import Rows, SortedRows, sort_rows
from mpc.sharing import BYTE, WORD, Arithmetic, Boolean, concatenate
from records.errors import EvidenceError, InputError

STEP_BITS = 8
"""Bits of the value that a step finds."""
_MOST_ROWS = 1 << 40

CountsAtMost: TypeAlias = Callable[[npt.NDArray[np.uint64]], npt.ArrayLike]
"""Returns how many of a party's own rows have a value ≤ each threshold; run in plain by that party."""


def counts_at_most(values: npt.NDArray[Any]) -> CountsAtMost:
    """Return the counts of a column of integers in [0, 2^64): sorted once, then searched."""
    ordered = np.sort(values.astype(np.uint64))
    return lambda thresholds: np.searchsorted(ordered, thresholds, side="right")


def kth_ranked(party: Party, counts: CountsAtMost | None, rank: int, bits: int, prefix: str) -> int:
    """Return the value at place `rank` = 1, 2, … of all parties' rows in rising order, to all parties.

    Values are integers in [0, 2^bits). A party that holds no rows passes no counts. All learn the value, and
    nothing else; the openings are `kth_openings`.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: the rank is not positive, the width is no multiple of eight up to 64, or there are fewer
            rows than the rank. In the last case all parties learn so.
    """
    if not 1 <= rank < _MOST_ROWS:
        raise InputError("a rank is positive and below 2^40")
    return _search(party, counts, _Place(1, 0, rank, rank), bits, prefix)


def quantile(
    party: Party, counts: CountsAtMost | None, fraction: tuple[int, int], bits: int, prefix: str
) -> int:
    """Return the value at place ⌈p·N⌉ of all N rows, p = numerator / denominator; N stays secret.

    The smallest value for p = 0. Otherwise as `kth_ranked`, whose openings it has.

    Raises:
        EvidenceError: as `kth_ranked`.
        InputError: as `kth_ranked`; the fraction is outside [0, 1] or its denominator above 2^20; no rows.
    """
    numerator, denominator = fraction
    if not 0 <= numerator <= denominator <= 1 << 20 or denominator == 0:
        raise InputError("a quantile is a fraction from 0 to 1 with a denominator up to 2^20")
    place = _Place(denominator, numerator, 0, 1) if numerator else _Place(1, 0, 1, 1)
    return _search(party, counts, place, bits, prefix)


def kth_openings(prefix: str, bits: int) -> tuple[Opening, ...]:
    """Return the openings of `kth_ranked` or `quantile`, in order."""
    return tuple(
        Opening(f"{prefix}/{step}", "parties", (1 << STEP_BITS,)) for step in range(bits // STEP_BITS)
    )


def local_greatest(values: npt.NDArray[Any], most: int) -> npt.NDArray[np.intp]:
    """Return the rows of the `most` greatest values, or all; run by their owner, in plain, before `top_rows`.

    Of equal values the earlier rows come first. What is not among a party's own k greatest is not among the
    k greatest of all, so that k rows a party suffice.
    """
    order = values.size - 1 - np.argsort(values[::-1], kind="stable")[::-1]
    return order[:most]


def top_rows(
    party: Party,
    rows: Rows,
    numbers: Sequence[Arithmetic],
    most: int,
    prefix: str,
    *,
    words: Sequence[Boolean] = (),
) -> SortedRows:
    """Return the first `most` rows by their keys, in shares; columns move along. Openings as `sort_rows`.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: columns of different lengths.
    """
    return sort_rows(party, rows, rows.keys, numbers, prefix, words=words).first(most)


@dataclass(frozen=True, slots=True)
class _Place:
    """Of N ≥ `least` rows, a value with C rows up to it reaches the place if scale·C ≥ share·N + rank."""

    scale: int
    share: int
    rank: int
    least: int


def _search(party: Party, counts: CountsAtMost | None, place: _Place, bits: int, prefix: str) -> int:
    """Find the least value that reaches the place, eight bits a step."""
    if bits % STEP_BITS or not 0 < bits <= 64:
        raise InputError("values have a multiple of eight bits, up to 64")
    low, steps = 0, 1 << STEP_BITS
    for step, rest in enumerate(range(bits - STEP_BITS, -1, -STEP_BITS)):
        edges = [low + (k << rest) - 1 for k in range(1, steps)]
        total = _total(party, counts, np.array([*edges, (1 << bits) - 1], dtype=WORD))
        found, rows = total[:-1] * place.scale, total[-1:]
        below = rows.map(lambda x: np.repeat(x, steps - 1)) * place.share
        needed = constant(party, place.rank, (steps - 1,))
        distances = concatenate([found - below - needed, rows - constant(party, place.least, (1,))])
        reached = negate(party, is_negative(party, distances, dtype=BYTE))
        *at_or_above, enough = open_to_parties(party, reached, f"{prefix}/{step}").tolist()
        if not enough:
            raise InputError("there are fewer rows than the rank asks for")
        if at_or_above != sorted(at_or_above):
            raise EvidenceError("the counts of a party fall with rising thresholds; void the attempt")
        low += at_or_above.count(0) << rest
    return low


def _total(party: Party, counts: CountsAtMost | None, thresholds: Words) -> Arithmetic:
    """Return the sum of all parties' counts in shares: each party's own are its additive part. One round."""
    own = np.zeros(thresholds.shape, dtype=np.int64) if counts is None else np.asarray(counts(thresholds))
    if own.shape != thresholds.shape or own.dtype.kind not in "iu":
        raise InputError("a party counts its rows once for each threshold")
    if own.min() < 0 or own.max() >= _MOST_ROWS:
        raise InputError("a party has from 0 to 2^40 rows")
    return reshare(party, Arithmetic, own.astype(WORD), "counts")
