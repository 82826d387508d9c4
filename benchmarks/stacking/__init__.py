"""Studies that put the numbers of level two themselves to the proof; `python -m level2_stack.proofs` runs them."""
