"""The search for a network's settings."""
