"""Studies that check the figures that level two reports; `python -m benchmarks.stacking` runs them."""
