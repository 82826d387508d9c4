"""Names of networks, columns and metrics in words, for the report, the data page and the model card.

A page shows the words with the raw name next to them. A name without words stays as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from level1_cnn.experiment import ONNX_BACKBONE
from runtime.files import read_json
from runtime.run_folder import Run

WITHIN_PATIENT = "_z"  # ending of columns that are z-scores within the patient
METADATA = {
    "age": "age",
    "age_approx": "age",
    "sex": "sex",
    "anatom_site_general": "site of the lesion",
    "anatom_site_general_challenge": "site of the lesion",
    "benign_malignant": "benign or malignant",
    "clin_size_long_diam_mm": "longest diameter in mm",
    "camera": "camera",
    "device": "device",
    "attribution": "attribution",
    "copyright_license": "copyright licence",
    "image_type": "type of the picture",
    "dermoscopic_type": "type of dermoscopy",
    "tbp_tile_type": "type of the total-body picture",
    "pixels_x": "pixels per row",
    "pixels_y": "pixels per column",
    "missing_count": "number of missing metadata values",
}
PATIENT = {
    "n_pictures": "number of pictures of the patient",
    "single_picture": "whether it is the patient's only picture",
    "age_min": "lowest age of the patient",
    "age_max": "highest age of the patient",
    "age_span": "age range of the patient's pictures in years",
    "age_minus_patient_mean": "age minus the patient's mean age",
    "years_before_last": "years before the patient's last picture",
    "n_sites": "number of sites of the patient's lesions",
    "site_share": "share of the patient's lesions at this site",
}
CHANNELS = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "lab_l": "Lab lightness",
    "lab_a": "Lab green to red",
    "lab_b": "Lab blue to yellow",
}
MOMENTS = {"mean": "mean of {}", "std": "standard deviation of {}", "skewness": "skewness of {}"}
PICTURES = {
    f"{channel}_{moment}": text.format(words) for channel, words in CHANNELS.items() for moment, text in MOMENTS.items()
} | {
    "width": "picture width",
    "height": "picture height",
    "file_bytes": "file size",
    "megapixels": "megapixels of the picture",
    "aspect": "picture width divided by height",
    "bytes_per_pixel": "file bytes per pixel",
    "brightness": "mean brightness",
    "contrast": "contrast of the brightness",
    "entropy": "entropy of the brightness",
    "saturation_mean": "mean saturation",
    "value_std": "standard deviation of the HSV value",
    "hue_cos": "cosine of the mean hue",
    "hue_sin": "sine of the mean hue",
    "colourfulness": "colourfulness",
    "sharpness": "sharpness",
    "hair_share": "share of hair-like pixels",
    "corner_darkness": "darkness of the corners",
    "corner_black_share": "share of black pixels in the corners",
    "centre_minus_border_l": "Lab lightness, centre minus border",
    "centre_minus_border_a": "Lab green to red, centre minus border",
    "centre_minus_border_b": "Lab blue to yellow, centre minus border",
    "centre_border_distance": "colour distance of centre and border",
    "lesion_skin_distance": "colour distance of lesion and skin",
    "lesion_darkness": "darkness of the lesion relative to the skin",
    "lesion_colour_spread": "colour variation within the lesion",
    "lesion_area": "share of the picture that the lesion covers",
    "lesion_asymmetry_long": "asymmetry of the lesion about its long axis",
    "lesion_asymmetry_short": "asymmetry of the lesion about its short axis",
    "lesion_compactness": "compactness of the lesion",
}
BLOCKS = {"metadata": METADATA, "patient": PATIENT, "pictures": PICTURES}
BARE_NAMES = PICTURES | METADATA | {"pictures_of_patient": PATIENT["n_pictures"]}
RAW_NAMES = re.compile(rf"(?<![\w.(])(?:{'|'.join(name for name in BARE_NAMES if '_' in name)})(?!\w)")
DUCKLINGS = {
    "distance_ratio": "distance from the patient's other lesions",
    "cosine_distance": "cosine distance from the patient's other lesions",
    "outlier_factor": "local outlier factor within the patient",
    "distance_rank": "rank of the distance within the patient",
}
OF_PATIENT = {
    "difference": "log odds minus the mean {}",
    "zscore": "z-score {}",
    "rank": "rank {}",
    "share": "probability divided by the highest {}",
}
FAMILIES = (
    {"logit": "log odds", "spread": "spread over the views", "level": "mean log odds of the patient"}
    | {name: text.format("within the patient") for name, text in OF_PATIENT.items()}
    | {f"site_{name}": text.format("among the patient's lesions at the site") for name, text in OF_PATIENT.items()}
)
DISAGREEMENT = {"disagreement.networks": "standard deviation of the log odds over all networks"}
GROUPS = {
    "patient": "the patient's age, sites and number of pictures",
    "pictures": "picture sizes and statistics",
    "measured": "measurements relative to the patient",
    "ugly_duckling": "distances from the patient's other lesions",
}
ACQUISITION = " (acquisition)"
MODELS = {
    "choice": "stack, model chosen within each fold",
    "blend": "stack, blend of learners",
    "lgbm": "LightGBM",
    "xgb": "XGBoost",
    "catboost": "CatBoost",
    "ridge": "penalised logistic regression",
    "logistic": "logistic regression of the networks",
    "mean": "mean of the networks",
    "rank_mean": "rank mean of the networks",
    "caruana": "weighted mean of the networks, greedy selection",
}
HARDEST_MALIGNANT, HARDEST_BENIGN = "Malignant with the lowest probability", "Benign with the highest probability"
RAW_ENDING = ", uncalibrated"  # ending of the name of a model before its calibration
METRICS = {
    "auc": "AUC, patients resampled",
    "auc_delong": "AUC, DeLong (assumes independent pictures)",
    "partial_auc_above_80_sensitivity": "partial AUC above 80 % sensitivity (0 to 0.2)",
    "average_precision": "average precision",
    "slope": "calibration slope (ideal 1)",
    "intercept": "calibration intercept (ideal 0)",
    "in_the_large": "calibration in the large: intercept at slope 1 (ideal 0)",
    "observed_expected": "observed / expected malignant cases (ideal 1)",
    "ece": "expected calibration error, 15 bins of equal count",
    "brier": "Brier score",
    "scaled_brier": "scaled Brier score (1 is perfect, 0 as good as the prevalence)",
    "log_loss": "log loss",
    "top15_hits": "malignant pictures among the 15 highest probabilities of their patient",
    "top15_sensitivity": "share of the malignant pictures among the 15 highest of their patient",
    "top15_patient_sensitivity": "that share, mean over patients with a malignant picture",
}


@dataclass(frozen=True)
class ColumnWords:
    """The words for the networks and columns of a run; ``networks`` maps the names of networks to words."""

    networks: Mapping[str, str]

    def network(self, name: str) -> str:
        """Return a network, or the mean of all networks, in words."""
        return "mean of all networks" if name == "networks" else self.networks.get(name) or model_words(name)

    def column(self, name: str) -> str:
        """Return a column ``<family>.<name>`` of the design in words, or its raw name."""
        family, _, own = name.partition(".")
        if family in FAMILIES:
            return f"{self.network(own)}: {FAMILIES[family]}"
        if family == "ugly_duckling":
            return self._duckling(own) or name
        if family == "measured" or (family == "pictures" and own.endswith(WITHIN_PATIENT)):
            own = own.removesuffix(WITHIN_PATIENT)
            words = BLOCKS["metadata" if family == "measured" else family].get(own, own)
            return f"{words}, z-score within the patient"
        return DISAGREEMENT.get(name) or BLOCKS.get(family, {}).get(own, name)

    def columns(self, names: str) -> str:
        """Return several columns, separated by commas, in words with their raw names."""
        return ", ".join(with_raw_name(self.column(name), name) for name in names.split(", "))

    def _duckling(self, name: str) -> str:
        for ending, words in DUCKLINGS.items():
            if name.endswith(f"_{ending}"):
                return f"{self.network(name.removesuffix(f'_{ending}'))}: {words}"
        return ""


def read_words(run: Run) -> ColumnWords:
    """Return the words for the networks and columns of ``run``, from the settings in every network's run.json."""
    marks = {name: run.level1 / name / "run.json" for name in run.networks()}
    settings = {
        name: read_json(mark)["made_from"].get("settings", {}) for name, mark in marks.items() if mark.is_file()
    }
    words = {name: network_words(values) for name, values in settings.items()}
    return ColumnWords({name: text for name, text in words.items() if text})


def network_words(settings: Mapping[str, Any]) -> str:
    """Return a network in words from its ``settings``: "EfficientNet-Lite0, 96 px, frozen"; "" for incomplete ones."""
    training = settings.get("training", {})
    if not {"backbone", "variant", "image_size"} <= settings.keys() or "method" not in training:
        return ""
    backbone, variant = str(settings["backbone"]), str(settings["variant"])
    model = f"EfficientNet-{variant.capitalize()}" if backbone.startswith("efficientnet") else f"{backbone} {variant}"
    model = variant if backbone == ONNX_BACKBONE else model
    method = {"frozen": "frozen", "finetune": "fine-tuned"}.get(training["method"], training["method"])
    parts = [model, f"{settings['image_size']} px", method]
    extras = {"layers": ("all", "all layers"), "precision": ("int8", "8-bit integers")}
    extras["pooling"] = ("centre", "weighted to the middle")
    parts += [words for key, (value, words) in extras.items() if training.get(key) == value]
    if len(training.get("inputs", ())) > 1:
        parts.append(f"{len(training['inputs'])} inputs")
    if training.get("pretrain") or str(settings.get("weights", "")).startswith("pretrained:"):
        parts.append("pretrained on external pictures")
    if training.get("metadata"):
        parts.append("with metadata")
    return ", ".join(parts)


def model_words(name: str) -> str:
    """Return a row of the leaderboard in words, or its raw name."""
    model = name.removesuffix(RAW_ENDING)
    return MODELS.get(model, model) + name[len(model) :]


def bare_words(name: str) -> str:
    """Return a column of the case table or a picture statistic in words, or its raw name."""
    return BARE_NAMES.get(name, name)


def sentence_words(text: str, with_names: bool = True) -> str:
    """Return a sentence with raw names of columns (not those like sex) in words; ``with_names``: in brackets, too."""
    write = with_raw_name if with_names else lambda words, name: words
    return RAW_NAMES.sub(lambda name: write(bare_words(name.group()), name.group()), text)


def group_words(name: str) -> str:
    """Return a feature block, or its acquisition columns, in words, or the raw name."""
    block = name.removesuffix(ACQUISITION)
    words = GROUPS.get(block, block)
    return words if block == name else f"{words}: acquisition columns"


def metric_words(name: str) -> str:
    """Return a metric in words: ``sensitivity_at_90_specificity`` is "sensitivity at 90 % specificity"."""
    parts = name.split("_")
    if parts[0] in ("sensitivity", "specificity") and len(parts) == 4:
        return f"{parts[0]} at {parts[2]} % {parts[3]}"
    return METRICS.get(name, name)


def with_raw_name(words: str, name: str) -> str:
    """Return ``words`` followed by the raw ``name`` in brackets; only the name if both are the same."""
    return name if words == name else f"{words} ({name})"
