"""A provider's partial aggregates as columns of 64-bit integers, ready to be shared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from records.errors import LimitExceeded
from sandbox.sql.decimals import unscaled
from sandbox.sql.plan import Plan

Integers = npt.NDArray[np.int64]


def require_rows(plan: Plan, part: pa.Table) -> None:
    """Return if a part has no more rows than the plan allows.

    Raises:
        LimitExceeded: it has.
    """
    if part.num_rows > plan.max_groups:
        raise LimitExceeded(
            f"a provider has more than {plan.max_groups} rows for this query; group or filter more coarsely"
        )


def encode_partials(plan: Plan, part: pa.Table) -> dict[str, Integers]:
    """Return `u`, the measures and the supports of a part of a secret-sharing plan, by name, each (G,).

    A sum over no values enters as 0; its support says that it is none. Every value is at most
    (2^63 − 1) / number of parts, so that the sum over the parts cannot wrap.

    Raises:
        LimitExceeded: too many rows, or a value beyond that bound.
    """
    require_rows(plan, part)
    names = ["u", *(measure.name for measure in plan.measures), *(support.name for support in plan.supports)]
    bound = (2**63 - 1) // len(plan.parts)
    return {name: _integers(part[name].combine_chunks(), bound) for name in names}


def _integers(column: pa.Array, bound: int) -> Integers:
    exact = unscaled(column) if pa.types.is_decimal(column.type) else column
    beyond = LimitExceeded(
        "a partial sum does not fit 64 bits; filter more, or use a unit with smaller numbers"
    )
    try:
        values: Integers = pc.fill_null(exact.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise beyond from None
    if values.size and (int(values.max()) > bound or int(values.min()) < -bound):
        raise beyond
    return values
