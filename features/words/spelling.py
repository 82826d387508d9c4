"""One form of a word or an id for all its spellings."""

import re
import unicodedata

# Words for a missing value, as plain_word writes them.
MISSING_WORDS = frozenset(
    (
        *("", "?", "??", "???", "-", "--", "---", ".", "/", "*", "_", "-1", "-9", "-99", "-999", "-9999"),
        *("unknown", "unk", "unknown patient", "patient unknown", "not known", "unbekannt", "inconnu", "desconocido"),
        *("missing", "n.a.", "n.a", "na", "n/a", "#n/a", "nan", "<na>", "nat", "none", "null", "nil", "no id", "tbd"),
        *("not available", "not applicable", "not given", "undefined", "unspecified"),
        *(
            "anonymous",
            "anonymized",
            "anonymised",
            "anon",
            "no patient",
            "not recorded",
            "not reported",
            "not stated",
            "n/d",
        ),
    )
)
WHOLE_NUMBER = re.compile(r"(-?\d+)(?:\.0+|,0{1,2})")  # 1,000 may be a thousand


def plain_word(text: str) -> str:
    """Return ``text`` without outer and repeated blanks, in lower case and one Unicode form; ``1.0`` is ``1``."""
    plain = " ".join(text.split()).casefold()
    if not plain.isascii():
        plain = " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold()).split())
    number = WHOLE_NUMBER.fullmatch(plain)
    return number[1] if number else plain
