"""A stack that runs without its run: exported and applied."""
