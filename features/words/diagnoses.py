"""What the word of a diagnosis says: malignant, benign, or undecided."""

import re
import unicodedata
from collections.abc import Collection

from features.words.spelling import MISSING_WORDS, plain_word

MELANOMA = re.compile(r"melanom\w*|\blentigo maligna\b|\bmalign\w* melanocyt\w*")
MALIGNANT = re.compile(r"melanom\w*|\bmalign\w*")
MELANOMA_CODES = frozenset(("mel", "mm"))
SHORT = 5  # characters; a longer word of a list is also searched inside other words, such as melanoma in micromelanoma
NEGATION_BEFORE = re.compile(
    r"(?:\bno(?: (?:evidence|signs?) of)?|\bnon|\bnot(?: an?)?|\bwithout|\bnegative for|\bfree of"
    r"|\bexclu(?!des?\b)\w+|\bruled out|\bmimic\w*|\bsimulat\w*|\bresembl\w*|\bkein\w*|\bnicht"
    r"|\bsans|\bpas(?: de| un)?|\bsin) ?$"
)
NEGATION_AFTER = re.compile(
    r" (?:is |was )?(?:exclu\w*|ruled out|negative|absent|unlikely|like|simulat\w*|mimic\w*|no$|ausgeschlossen)"
)
DOUBLE_NEGATION = re.compile(r"\b(?:not|cannot|nicht)(?: be)? (?:exclu\w+|ruled out|ausgeschlossen) ?$")
UNCERTAIN = re.compile(
    r"\b(?:indetermin|undetermin|intermedia|unknown|unclear|uncertain|unsure|unspecif|undiagnos|suspicio|suspect"
    r"|borderline|equivocal|ambigu|inconclus|possib|probab|likely|pending|undecided|doubt|dubious"
    r"|not (?:yet )?(?:be )?(?:sure|known|certain|available|determin|diagnos|classif|specif)"
    r"|questionabl|differential|versus\b|vs\b|rule out|no diagnosis|(?:st|mel|melt)?ump\b|amp\b"
    r"|atypical(?! na?ev| mole)|unklar|verdacht|unbekannt"
    r"|unbestimm|zweifel|dudos|sospech|douteu|incert)"
)
BENIGN = re.compile(r"\bbenign\w*")
BENIGN_WORDS = frozenset(("nevus", "naevus", "nv", "melanocytic nevus", "seborrheic keratosis", "lentigo simplex"))


def means_malignant(word: str, positive: Collection[str] = ()) -> bool:
    """Return whether a diagnosis names a melanoma, says malignant, or holds one of the words ``positive``."""
    text = _plain_text(word)
    words = [_plain_text(plain_word(value)) for value in positive]
    patterns = [re.compile(re.escape(value) if len(value) > SHORT else rf"\b{re.escape(value)}\b") for value in words]
    searches = [
        pattern for pattern, value in zip(patterns, words, strict=True) if not value.isdecimal() and len(value) > 1
    ]
    return is_melanoma(word) or any(_affirms(pattern, text) for pattern in (MALIGNANT, *searches))


def is_melanoma(word: str) -> bool:
    """Return whether a diagnosis names a melanoma, also in situ or as a metastasis; not if it is excluded."""
    text = _plain_text(word)
    return text in MELANOMA_CODES or _affirms(MELANOMA, text)


def is_benign(word: str) -> bool:
    """Return whether a diagnosis says benign or names one of the most frequent benign lesions, and no melanoma."""
    text = _plain_text(word)
    return text in BENIGN_WORDS or (_affirms(BENIGN, text) and not means_malignant(word))


def is_uncertain(word: str) -> bool:
    """Return whether a diagnosis says that it is open, unknown or missing."""
    return plain_word(word) in MISSING_WORDS or "?" in word or bool(UNCERTAIN.search(_plain_text(word)))


def _affirms(pattern: re.Pattern[str], text: str) -> bool:
    """Return whether ``pattern`` is in ``text`` at least once without a negation directly before or after it."""
    return any(
        not _denies(text[: match.start()]) and not NEGATION_AFTER.match(text[match.end() :])
        for match in pattern.finditer(text)
    )


def _denies(before: str) -> bool:
    """Return whether a text ends with a negation; cannot exclude, or not ruled out, is none."""
    return bool(NEGATION_BEFORE.search(before)) and not DOUBLE_NEGATION.search(before)


def _plain_text(word: str) -> str:
    """Return ``word`` in lower case, without accents, and with one blank for everything that is not alphanumeric."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return re.sub(r"[\W_]+", " ", plain).strip()
