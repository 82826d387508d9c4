"""Galleries of a run: its hardest cases with heat maps, and patient boards."""
