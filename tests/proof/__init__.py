"""The promises of docs/reliability.md, proven at length: `python -m proof` in `tests/` prints a table of figures.

Each module proves one thing: its `prove` yields figures, for a short profile (which a test of the suite runs as
well) or for the long one. What is found broken is raised as an AssertionError that says how to see it again.
"""
