"""The engine under the benchmark: three party processes, what they compute, and how they are told to."""
