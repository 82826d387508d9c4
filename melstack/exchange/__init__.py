"""Predictions that go from one run to another: CSV files of every network and stack, and stacks of several runs."""
