"""Explanations of a finished stack: what every column adds to the log odds of a case."""
