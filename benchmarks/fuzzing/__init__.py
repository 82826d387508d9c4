"""Bundles with crafted files, and what loading them does to the process."""
