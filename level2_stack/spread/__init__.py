"""Cross-validate the boosters over a table that does not fit into one machine's memory."""
