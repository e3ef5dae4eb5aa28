"""DECIMAL columns as the integers that carry them, without passing through Python's context precision."""

from __future__ import annotations

import pyarrow as pa

INTEGERS = pa.decimal128(38, 0)


def unscaled(column: pa.Array) -> pa.Array:
    """Return value · 10^scale of a DECIMAL column as DECIMAL(38,0)."""
    return pa.Array.from_buffers(INTEGERS, len(column), column.buffers(), offset=column.offset)


def scaled(integers: pa.Array, decimal: pa.DataType) -> pa.Array:
    """Return integer / 10^scale as `decimal`, the inverse of `unscaled`.

    Raises:
        pyarrow.ArrowInvalid: an integer has more digits than `decimal`.
    """
    wide = integers.cast(INTEGERS)
    column = pa.Array.from_buffers(decimal, len(wide), wide.buffers(), offset=wide.offset)
    column.validate(full=True)
    return column
