"""The report of a run: one self-contained page with the results of a stack, their reliability, and all settings."""
