"""MPyC 0.11; `contestant.py` runs under an environment of its own."""
