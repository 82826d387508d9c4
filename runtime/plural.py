"""Numbers with what they count, in the singular or the plural."""


def number_of(count: float, thing: str, things: str = "") -> str:
    """Return ``1 picture``, ``2 pictures``, ``1,200 pictures``; ``things`` is the plural if ``plural`` errs."""
    return f"{int(count):,} {thing if count == 1 else things or plural(thing)}"


def plural(thing: str) -> str:
    """Return the plural of a noun: pictures, studies, batches."""
    if thing.endswith("y") and thing[-2] not in "aeiou":
        return f"{thing[:-1]}ies"
    return f"{thing}es" if thing.endswith(("ch", "sh", "s", "x")) else f"{thing}s"
