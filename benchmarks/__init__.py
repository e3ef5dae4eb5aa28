"""Benchmarks: each `python -m benchmarks.NAME --json FILE`, side by side with its peer and its limit."""
