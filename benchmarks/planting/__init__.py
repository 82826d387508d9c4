"""Leaks of many kinds, planted in tables without one: which of them a run names, refuses, warns of or misses."""
