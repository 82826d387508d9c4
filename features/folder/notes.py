"""Sentences on how a user's folder is read: repairs, and warnings that every command of the run repeats."""

WARNING = "warning: "


def warning(text: str) -> str:
    """Return ``text`` as a note that is a warning: the end of every command of the run repeats it."""
    return WARNING + text
