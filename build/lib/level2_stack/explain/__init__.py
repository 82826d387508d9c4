"""Contributions of every column to what a finished stack says of a case: they add up to the log odds submitted."""
