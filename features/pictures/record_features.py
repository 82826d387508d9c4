"""The features of TFRecord files under other names than Kaggle's: which are there, and the mapping that names them."""

import re
from collections.abc import Mapping

from features.folder.layout import MAPPING, Columns
from features.pictures.tfrecord import PICTURES, Value, picture_feature
from runtime.tables import INDEX

# Words in the names of features, the most telling first.
GUESSES = {
    "image_name": re.compile(r"image_?name|image_?id|isic|file_?name|(?<![a-z])(?:id|name)(?![a-z])", re.IGNORECASE),
    "target": re.compile(r"target|label|malignant|class|diagnos|(?<![a-z])y(?![a-z])", re.IGNORECASE),
    "patient_id": re.compile(r"patient|subject|person", re.IGNORECASE),
}


def feature_names(columns: Columns) -> dict[str, str]:
    """Return feature -> the name under which the case table has it, for the features that ``columns`` renames."""
    own = {columns.image: "image", columns.image_name: INDEX}
    own |= {columns.target: "target", columns.patient_id: "patient_id"}
    return {name: column for name, column in own.items() if name != column}


def unknown_features(features: Mapping[str, Value], names: Mapping[str, str]) -> str:
    """Return what a record lacks with the lines of a mapping that name it; '' if it has an image and an image_name.

    ``names``: feature -> name in the case table, of the mapping.
    """
    values = {names.get(name, name): value for name, value in features.items()}
    picture = picture_feature(features)
    lacking = [name for name in ("image", INDEX) if name not in values]
    other = next((name for name, column in names.items() if column == "image" and name in features), picture)
    if other != picture:
        return f"only one feature of a record may hold a picture, or one is called image; found {_list(features)}"
    if not lacking or (lacking == ["image"] and picture is not None):
        return ""
    if picture is None and "image" in lacking:
        return f"the records have no feature image, and no other one holds a JPEG or PNG; found {_list(features)}"
    lines = [f'{key} = "{name}"' for key, name in _guesses(features, picture).items()]
    text = "".join(f"\n      {line}" for line in ("[columns]", *lines))
    missing = " and ".join(lacking)
    return f"the records have no feature {missing}; their features: {_list(features)}; name them in a {MAPPING}:{text}"


def _guesses(features: Mapping[str, Value], picture: str | None) -> dict[str, str]:
    guesses = {"image": picture} if picture not in (None, "image") else {}
    for key, pattern in GUESSES.items():
        others = [name for name in features if name != picture and name not in guesses.values()]
        name = next((name for name in others if pattern.search(name)), None)
        if name is None and key == "image_name":
            name = next((name for name in others if isinstance(features[name], bytes)), "...")
        if name not in (None, key):
            guesses[key] = name
    return {key: name for key, name in guesses.items() if name is not None}


def _list(features: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} ({_description(value)})" for name, value in sorted(features.items()))


def _description(value: Value) -> str:
    if isinstance(value, bytes):
        text = value[:40].decode(errors="replace")
        return "a picture" if value.startswith(PICTURES) else f"text, {text!r}"
    return f"{len(value)} values" if isinstance(value, list) else f"number, {value:g}"
