"""What every command needs: errors, exit codes, files, tables, settings, provenance, locks, progress, run folder."""
