"""Numbers with what they count, in the singular or the plural."""


def number_of(count: float, thing: str, things: str = "") -> str:
    """Return ``1 picture``, ``2 pictures``, ``1,200 pictures``; ``things`` is the plural if it is not ``thing`` + s."""
    return f"{int(count):,} {thing if count == 1 else things or f'{thing}s'}"
