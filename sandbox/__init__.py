"""Usufruct: the use of data is traded, the data never leaves. Start with `sandbox.local.LocalCluster`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.buyer.connect import connect

__all__ = ["connect"]


def __getattr__(name: str) -> Any:
    # On first use: importing a part of the product must not import all of it.
    if name == "connect":
        from sandbox.buyer.connect import connect

        return connect
    raise AttributeError(name)
