"""SPU 0.9.5; `contestant.py` runs under an environment of its own."""
