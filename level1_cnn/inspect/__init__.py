"""Looks at how a network learns and what it sees."""
