"""Hardest cases under heat maps, and boards of patients."""
