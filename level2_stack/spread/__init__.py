"""The boosters over a table that no machine holds."""
