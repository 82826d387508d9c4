"""Studies that put the numbers of level two themselves to the proof; `python -m benchmarks.stacking` runs them."""
