"""A user's data folder, opened once: its layout, its tables and the locations of its pictures."""
