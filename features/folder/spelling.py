"""One form of a word or an id for all its spellings."""

import re
import unicodedata

WHOLE_NUMBER = re.compile(r"(-?\d+)[.,]0+")


def plain_word(text: str) -> str:
    """Return ``text`` without outer and repeated blanks, in lower case and one Unicode form; ``1.0`` is ``1``."""
    plain = " ".join(text.split()).casefold()
    if not plain.isascii():
        plain = " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold()).split())
    number = WHOLE_NUMBER.fullmatch(plain)
    return number[1] if number else plain
