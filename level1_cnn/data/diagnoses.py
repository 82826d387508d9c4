"""What a lesion was found to be: the spellings of the ISIC archive and its contests, as ten kinds."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runtime.errors import InputFault, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

MELANOMA = "MEL"
NEVUS = "NV"
OTHER = "other"  # known, but none of the eight
UNKNOWN = "unknown"
# The eight kinds of ISIC 2019 and the merging of ISIC 2020's names into them are the 2020 winner's
# (arXiv 2010.05351), except that a name outside the eight stays apart from "no diagnosis".
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    NEVUS: ("NV", "nevus", "naevus", "melanocytic nevus", "blue nevus", "nevus spitz"),
    MELANOMA: (
        "MEL",
        "melanoma",
        "melanoma NOS",
        "melanoma in situ",
        "melanoma invasive",
        "melanoma metastasis",
        "lentigo maligna",
        "lentigo maligna melanoma",
    ),
    "BCC": ("BCC", "basal cell carcinoma"),
    "BKL": (
        "BKL",
        "benign keratosis",
        "pigmented benign keratosis",
        "seborrheic keratosis",
        "lichenoid keratosis",
        "solar lentigo",
        "lentigo simplex",
        "lentigo NOS",
    ),
    "AK": ("AK", "AKIEC", "actinic keratosis", "solar or actinic keratosis"),
    "SCC": ("SCC", "squamous cell carcinoma", "squamous cell carcinoma in situ", "Bowen's disease"),
    "VASC": ("VASC", "vascular lesion", "angioma", "hemangioma", "angiokeratoma", "pyogenic granuloma"),
    "DF": ("DF", "dermatofibroma"),
    OTHER: (
        OTHER,
        "cafe-au-lait macule",
        "angiofibroma or fibrous papule",
        "neurofibroma",
        "clear cell acanthoma",
        "scar",
        "verruca",
    ),
    # A proliferation of uncertain potential may be either: nothing is known that a class could be learnt from.
    UNKNOWN: (UNKNOWN, "UNK", "atypical melanocytic proliferation", "AIMP"),
}
KINDS = tuple(SPELLINGS)
_MOST_SHOWN = 20


def read_diagnoses(diagnosis: pd.Series) -> list[str]:
    """Return the kind of every case, one of KINDS, from its diagnosis as somebody wrote it; missing is ``unknown``.

    Letter case, accents, hyphens, commas and underscores do not matter. Raises InputFault that lists every spelling
    that is not known, with its count, and what is known.
    """
    texts = ["" if missing else str(value) for value, missing in zip(diagnosis, diagnosis.isna(), strict=True)]
    kinds = {_plain(text): kind for kind, spellings in SPELLINGS.items() for text in spellings} | {"": UNKNOWN}
    found = {text: kinds.get(_plain(text)) for text in dict.fromkeys(texts)}
    strange = Counter(text for text in texts if found[text] is None)
    if strange:
        raise InputFault(_strange_message(strange))
    return [found[text] or UNKNOWN for text in texts]


def _plain(text: str) -> str:
    """Return lower-case letters and digits, everything between them as one space."""
    return re.sub(r"[^a-z0-9]+", " ", unicodedata.normalize("NFKD", text).casefold()).strip()


def _strange_message(strange: Counter[str]) -> str:
    known = [spelling for spellings in SPELLINGS.values() for spelling in spellings]
    lines = []
    for text, count in strange.most_common(_MOST_SHOWN):
        hint = did_you_mean(text, known)
        lines.append(f"  - {text!r} in {count} case(s)" + (f"; {hint}" if hint.startswith("did") else ""))
    if len(strange) > _MOST_SHOWN:
        lines.append(f"  - and {len(strange) - _MOST_SHOWN} more")
    title = f"column diagnosis: {len(strange)} unknown spelling(s) in {strange.total()} case(s)"
    return "\n".join([title, *lines, f"  known are, in any case: {', '.join(known)}"])
