"""The report of a run: one self-contained page of what level two found, how far to believe it, and what made it."""
