"""Who computes a kernel: NumPy for short runs and small jobs, numba for the rest where it is installed.

numba takes half a second to load, more than a small job takes, so it is loaded only once NumPy has done so
much that loading would have paid. Both compute the same, bit for bit; only the time differs.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., None])

SHORT = 1 << 13
"""Runs below this many elements stay with NumPy, which cuts longer ones so that temporaries stay cached."""
_LOADING_PAYS = 1 << 22
"""Elements after which NumPy has taken about as long as numba takes to load, half a second at worst."""


class _Effort:
    """The elements of long runs that this process has computed so far."""

    elements = 0


def compiled_kernels(elements: int) -> types.ModuleType | None:
    """Return `mpc.compiled`, if there is numba and enough was computed, these `elements` included."""
    _Effort.elements += elements
    return _load_compiled() if _Effort.elements > _LOADING_PAYS else None


@functools.cache
def _load_compiled() -> types.ModuleType | None:
    try:
        from mpc import compiled
    except ModuleNotFoundError as missing:
        if missing.name != "numba":
            raise
        return None
    return compiled


def accelerated(reference: F) -> F:
    """Let long runs be computed by the compiled kernel of the same name, if there is one.

    The kernel takes arrays of one length, or of the length of its last argument, and scalars.
    """

    @functools.wraps(reference)
    def compute(*arguments: Any) -> None:
        count = arguments[-1].size
        if count < SHORT:
            reference(*arguments)
        elif compiled := compiled_kernels(count):
            getattr(compiled, reference.__name__)(*arguments)
        else:
            for start in range(0, count, SHORT):
                cut = slice(start, start + SHORT)
                reference(*(part[cut] if isinstance(part, np.ndarray) else part for part in arguments))

    return cast("F", compute)
