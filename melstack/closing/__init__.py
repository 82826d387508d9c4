"""The end of a command: what was predicted, how well, what was left out, warnings, files, and what to do next."""
