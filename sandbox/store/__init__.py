"""The only place that begins and commits transactions."""

from sandbox.store.store import Store

__all__ = ["Store"]
