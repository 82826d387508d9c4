"""How any command runs: errors, exit codes, files, tables, settings, provenance, locks, progress, the run folder."""
