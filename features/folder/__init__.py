"""A user's folder, opened once: its layout, its tables as text, the places of its pictures."""
