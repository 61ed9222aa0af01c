"""The promises of the design, proven at length: `python -m proof` in `tests/` prints a table of figures.

Each module proves one thing: its `prove` yields figures, for a short profile (which a test of the suite runs as
well) or the long one. What a module finds broken it raises as an AssertionError, with what is needed to see it again.
"""
