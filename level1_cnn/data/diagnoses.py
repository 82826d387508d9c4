"""Diagnoses: maps the spellings of the ISIC archive and its contests to ten kinds of lesion."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runtime.errors import InputFault, did_you_mean
from runtime.plural import number_of

if TYPE_CHECKING:
    import pandas as pd

MELANOMA = "MEL"
NEVUS = "NV"
OTHER = "other"  # a diagnosis outside the eight kinds of ISIC 2019
UNKNOWN = "unknown"
# The eight kinds of ISIC 2019. ISIC 2020's names are merged into them as the 2020 winner did (arXiv 2010.05351),
# except that a diagnosis outside the eight kinds stays separate from "no diagnosis".
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
    # A proliferation of uncertain potential may be benign or malignant, so it teaches no class.
    UNKNOWN: (UNKNOWN, "UNK", "atypical melanocytic proliferation", "AIMP"),
}
KINDS = tuple(SPELLINGS)
_MAX_LINES = 20


def read_diagnoses(diagnosis: pd.Series) -> list[str]:
    """Return the kind of every case, one of KINDS, from its diagnosis as free text; a missing value is ``unknown``.

    Upper and lower case, accents, hyphens, commas and underscores do not matter. Raises InputFault that lists every
    unknown spelling with its count, and all valid spellings.
    """
    texts = ["" if missing else str(value) for value, missing in zip(diagnosis, diagnosis.isna(), strict=True)]
    kinds = {_normalise(text): kind for kind, spellings in SPELLINGS.items() for text in spellings} | {"": UNKNOWN}
    kind_of = {text: kinds.get(_normalise(text)) for text in dict.fromkeys(texts)}
    unknown = Counter(text for text in texts if kind_of[text] is None)
    if unknown:
        raise InputFault(_unknown_message(unknown))
    return [kind_of[text] or UNKNOWN for text in texts]


def _normalise(text: str) -> str:
    """Return ``text`` in lower case without accents; any run of characters other than a-z and 0-9 is one space."""
    return re.sub(r"[^a-z0-9]+", " ", unicodedata.normalize("NFKD", text).casefold()).strip()


def _unknown_message(unknown: Counter[str]) -> str:
    valid = [spelling for spellings in SPELLINGS.values() for spelling in spellings]
    lines = []
    for text, count in unknown.most_common(_MAX_LINES):
        hint = did_you_mean(text, valid)
        lines.append(f"  - {text!r} in {number_of(count, 'case')}" + (f"; {hint}" if hint.startswith("did") else ""))
    if len(unknown) > _MAX_LINES:
        lines.append(f"  - and {len(unknown) - _MAX_LINES} more")
    title = f"column diagnosis: {number_of(len(unknown), 'unknown spelling')} in {number_of(unknown.total(), 'case')}"
    remedy = f"  leave the cell empty or write, in upper or lower case, one of: {', '.join(valid)}"
    return "\n".join([title, *lines, remedy])
