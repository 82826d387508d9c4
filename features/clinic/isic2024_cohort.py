"""Simulate ISIC 2024 as numbers: patients with hundreds of lesions, total-body photography, and a known risk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from runtime.errors import InputFault

Floats = NDArray[np.float64]
ROWS, PATIENTS, MALIGNANT, TEST_ROWS = (
    401_059,
    1_042,
    393,
    100_000,
)  # the contest's; its hidden test set is not counted
FEWEST = {"rows": 40, "patients": 8, "malignant": 8}  # least numbers of a part that can be split into folds
LOOKS = ("size", "colour", "border", "darkness", "asymmetry")  # attributes that the camera measures, in deviations
# Weights in the logit of the risk: deviation from the patient's median per attribute; the attribute that pictures show
# but no measurement contains (`hidden`); age and sex. SITES has those of the sites.
RELATIVE = np.array((0.9, 0.9, 0.5, 0.6, 0.4))
UNMEASURED_WEIGHT, PER_DECADE, MALE = 1.3, 0.25, 0.3
SITES = {  # name: share of the lesions, logit
    "posterior torso": (0.305, 0.0),
    "lower extremity": (0.256, -0.2),
    "anterior torso": (0.219, 0.0),
    "upper extremity": (0.175, 0.1),
    "head/neck": (0.030, 1.3),
}
SITELESS = 0.015  # share of lesions without a site
ATTRIBUTIONS = (
    "Memorial Sloan Kettering Cancer Center",
    "Department of Dermatology, Hospital Clinic de Barcelona",
    "University Hospital of Basel",
    "Frazer Institute, The University of Queensland, Dermatology Research Centre",
    "ACEMID MIA",
    "ViDIR Group, Department of Dermatology, Medical University of Vienna",
    "Department of Dermatology, University of Athens, Andreas Syggros Hospital",
)
DIAGNOSES = (  # iddx_1 ... iddx_3 of malignant lesions
    ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma in situ"),
    ("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma in situ"),
    ("Malignant", "Malignant adnexal epithelial proliferations - Follicular", "Basal cell carcinoma"),
)
BENIGN = ("Benign", "Benign melanocytic proliferations", "Nevus")


@dataclass(frozen=True)
class PartCounts:
    """The numbers of rows, patients and malignant lesions in a part."""

    rows: int
    patients: int
    malignant: int


def part_counts(rows: int) -> PartCounts:
    """Return the counts for ``rows`` rows in the contest's proportions, with enough patients and cancers for folds.

    Raises InputFault for too few rows.
    """
    if rows < FEWEST["rows"]:
        raise InputFault(f"clinic: the layout isic2024 needs at least {FEWEST['rows']} rows per role; found {rows}")
    share = rows / ROWS
    patients = max(round(PATIENTS * share), min(24, rows // 5))
    return PartCounts(rows, patients, max(round(MALIGNANT * share), min(24, rows // 5)))


def draw_total_body(train: int, test: int, seed: int) -> pd.DataFrame:
    """Return every lesion of the simulation: the contest's columns and the values that generated them.

    Index: image_name, sorted within role. Columns: role, those of ISIC 2024's train-metadata.csv, ``LOOKS`` and hidden
    (standard deviations), risk (the true probability of malignancy) and target. The risks of a role sum to its number
    of malignant lesions; targets are drawn from them systematically, so that their number is exact. Small parts have
    more cancers than 0.1 %, since every fold needs some.
    """
    parts = []
    for number, (role, rows) in enumerate((("train", train), ("test", test))):
        rng = default_rng(SeedSequence(seed, spawn_key=(24, number)))
        parts.append(_draw_part(rng, part_counts(rows)).assign(role=role))
    cohort = pd.concat(parts, ignore_index=True)
    _name(cohort, default_rng(SeedSequence(seed, spawn_key=(24, 2))))
    return cohort.sort_values(["role", "image_name"], ascending=[False, True]).set_index("image_name")


def logit_of_risk(part: pd.DataFrame) -> Floats:
    """Return the logit of the true risk, (rows,), without the part's intercept."""
    looks = part[list(LOOKS)]
    deviations = looks - looks.groupby(part["patient_id"]).transform("median")
    logit = deviations.to_numpy() @ RELATIVE + UNMEASURED_WEIGHT * part["hidden"].to_numpy()
    logit += PER_DECADE * (part["age_approx"].fillna(60.0).to_numpy() - 60) / 10
    logit += MALE * part["sex"].map({"male": 0.5, "female": -0.5}).fillna(0.0).to_numpy()
    sites = part["anatom_site_general"].map({name: site[1] for name, site in SITES.items()})
    return np.asarray(logit + sites.fillna(0.0).to_numpy(), np.float64)


def _draw_part(rng: Generator, counts: PartCounts) -> pd.DataFrame:
    share = rng.gamma(1.5, size=counts.patients)  # from a few to some thousand lesions per patient
    lesions_per_patient = 1 + rng.multinomial(counts.rows - counts.patients, share / share.sum())
    patient = np.repeat(np.arange(counts.patients), lesions_per_patient)
    part = pd.DataFrame({"patient_id": patient})
    level = rng.standard_normal((counts.patients, len(LOOKS)))
    part[list(LOOKS)] = 0.7 * level[patient] + np.sqrt(1 - 0.7**2) * rng.standard_normal((counts.rows, len(LOOKS)))
    part["hidden"] = rng.standard_normal(counts.rows)
    _patient_facts(part, rng, patient, counts)
    sites = np.array(list(SITES), object)
    shares = np.array([site[0] for site in SITES.values()])
    part["anatom_site_general"] = rng.choice(sites, counts.rows, p=shares / shares.sum())
    part.loc[rng.random(counts.rows) < SITELESS, "anatom_site_general"] = None
    logit = logit_of_risk(part)
    part["risk"] = expit(logit + brentq(lambda shift: expit(logit + shift).sum() - counts.malignant, -60, 60))
    part["target"] = _targets(rng, part["risk"].to_numpy(), counts.malignant)
    return pd.concat([part, _measurements(part, rng), _biopsy_results(part, rng)], axis=1)


def _patient_facts(part: pd.DataFrame, rng: Generator, patient: NDArray[np.int64], counts: PartCounts) -> None:
    age = np.clip(5.0 * np.round((58 + 13 * rng.standard_normal(counts.patients)) / 5), 15.0, 85.0)
    age[rng.random(counts.patients) < 0.007] = np.nan
    sex = np.where(rng.random(counts.patients) < 0.66, "male", "female").astype(object)
    sex[rng.random(counts.patients) < 0.029] = None
    part["age_approx"], part["sex"] = age[patient], sex[patient]
    source = rng.choice(np.array(ATTRIBUTIONS, object), counts.patients)
    part["attribution"] = source[patient]
    licences = np.array(["CC-BY", "CC-BY-NC", "CC-0"], object)
    part["copyright_license"] = rng.choice(licences, counts.patients)[patient]
    part["image_type"] = "TBP tile: close-up"
    tile = np.where(rng.random(counts.patients) < 0.71, "3D: XP", "3D: white").astype(object)
    part["tbp_tile_type"] = tile[patient]


def _targets(rng: Generator, risk: Floats, malignant: int) -> NDArray[np.int64]:
    # Systematic sampling along the sorted risk, as in cohort.py; the total is scaled to a whole number.
    order = np.argsort(risk, kind="stable")
    total = np.cumsum(risk[order])
    counts = np.floor(total * malignant / total[-1] + rng.uniform(0.01, 0.99))
    targets = np.zeros(len(risk), np.int64)
    targets[order] = np.diff(counts, prepend=0.0) > 0
    return targets


def _measurements(part: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Return the measurements of the camera's software: noisy functions of LOOKS, and uninformative geometry."""
    rows = len(part)
    noise = rng.standard_normal((rows, 24))
    size, colour, border, darkness, asymmetry = (part[name].to_numpy() for name in LOOKS)
    diameter = np.exp(1.25 + 0.38 * (0.93 * size + 0.37 * noise[:, 0])).clip(1.0, 30.0)
    area = np.pi / 4 * diameter**2 * np.exp(0.15 * noise[:, 1] - 0.35)
    perimeter = np.pi * diameter * np.exp(0.08 * border + 0.05 * noise[:, 2])
    skin = 58 + 7 * noise[:, 3]
    delta_l = -(8.5 + 2.6 * (0.9 * darkness + 0.44 * noise[:, 4]))
    a_skin, b_skin = 14 + 3 * noise[:, 5], 27 + 4 * noise[:, 6]
    delta_a, delta_b = 4.5 + 1.8 * noise[:, 7], 1.5 + 2.2 * noise[:, 8]
    columns = {
        "clin_size_long_diam_mm": diameter,
        "tbp_lv_A": a_skin + delta_a,
        "tbp_lv_Aext": a_skin,
        "tbp_lv_B": b_skin + delta_b,
        "tbp_lv_Bext": b_skin,
        "tbp_lv_C": np.hypot(a_skin + delta_a, b_skin + delta_b),
        "tbp_lv_Cext": np.hypot(a_skin, b_skin),
        "tbp_lv_H": np.degrees(np.arctan2(b_skin + delta_b, a_skin + delta_a)),
        "tbp_lv_Hext": np.degrees(np.arctan2(b_skin, a_skin)),
        "tbp_lv_L": skin + delta_l,
        "tbp_lv_Lext": skin,
        "tbp_lv_areaMM2": area,
        "tbp_lv_area_perim_ratio": perimeter**2 / area,
        "tbp_lv_color_std_mean": np.exp(0.2 + 0.5 * (0.85 * colour + 0.53 * noise[:, 9])),
        "tbp_lv_deltaA": delta_a,
        "tbp_lv_deltaB": delta_b,
        "tbp_lv_deltaL": delta_l,
        "tbp_lv_deltaLB": np.hypot(delta_l, delta_b),
        "tbp_lv_deltaLBnorm": np.hypot(delta_l, delta_b) / (1 + 0.02 * skin),
        "tbp_lv_eccentricity": ndtr(0.5 + 0.6 * asymmetry + 0.6 * noise[:, 10]),
        "tbp_lv_minorAxisMM": diameter * np.exp(-0.4 + 0.12 * noise[:, 11]).clip(0.3, 1.0),
        "tbp_lv_nevi_confidence": 100 * ndtr(1.5 * noise[:, 12] + 0.4 * darkness),
        "tbp_lv_norm_border": 10 * ndtr(0.8 * border + 0.6 * noise[:, 13] - 0.5),
        "tbp_lv_norm_color": 10 * ndtr(0.9 * colour + 0.5 * noise[:, 14] - 0.6),
        "tbp_lv_perimeterMM": perimeter,
        "tbp_lv_radial_color_std_max": np.exp(0.1 + 0.6 * (0.6 * colour + 0.8 * noise[:, 15])),
        "tbp_lv_stdL": np.exp(0.7 + 0.3 * (0.7 * colour + 0.7 * noise[:, 16])),
        "tbp_lv_stdLExt": np.exp(0.8 + 0.3 * noise[:, 17]),
        "tbp_lv_symm_2axis": ndtr(-0.6 + 0.7 * asymmetry + 0.6 * noise[:, 18]),
        "tbp_lv_symm_2axis_angle": 5.0 * rng.integers(0, 36, rows),
        "tbp_lv_x": 200 * noise[:, 19],
        "tbp_lv_y": 1000 + 350 * noise[:, 20],
        "tbp_lv_z": 60 + 90 * noise[:, 21],
        "tbp_lv_dnn_lesion_confidence": 100 * ndtr(2.2 + noise[:, 22]),
    }
    table = pd.DataFrame(columns, index=part.index).round(5)
    side = np.where(noise[:, 23] > 0, "Right", "Left").astype(object)
    simple = part["anatom_site_general"].map(_PLACES).fillna("Unknown")
    table["tbp_lv_location"] = np.where(noise[:, 1] > 0.5, simple + " - Upper", side + " " + simple)
    table["tbp_lv_location_simple"] = simple
    return table


_PLACES = {
    "posterior torso": "Torso Back",
    "anterior torso": "Torso Front",
    "lower extremity": "Leg",
    "upper extremity": "Arm",
    "head/neck": "Head & Neck",
}


def _biopsy_results(part: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Return the columns that the test table lacks: known only after a biopsy, or only for biopsied lesions."""
    rows, malignant = len(part), part["target"].to_numpy() == 1
    kind = rng.integers(len(DIAGNOSES), size=rows)
    has_biopsy = malignant | (rng.random(rows) < 0.05)
    numbers = rng.permutation(rows)
    columns = {"lesion_id": _mask_values(has_biopsy, [f"IL_{number:07d}" for number in numbers])}
    for level, benign in enumerate(BENIGN):
        names = np.array([diagnosis[level] for diagnosis in DIAGNOSES], object)[kind]
        columns[f"iddx_{level + 1}"] = _mask_values(has_biopsy | (level == 0), np.where(malignant, names, benign))
    melanoma = malignant & (kind == 0)
    full = zip(columns["iddx_1"], columns["iddx_2"], columns["iddx_3"], strict=True)
    columns["iddx_full"] = np.array(["::".join(filter(None, levels)) for levels in full], object)
    columns["iddx_4"] = _mask_values(melanoma, ["Melanoma in situ, NOS"] * rows)
    columns["iddx_5"] = _mask_values(melanoma & (rng.random(rows) < 0.1), ["Lentigo maligna type"] * rows)
    columns["mel_mitotic_index"] = _mask_values(melanoma & (rng.random(rows) < 0.34), ["0/mm^2"] * rows)
    thickness = (0.2 + rng.gamma(2, 0.2, rows)).round(2)
    thickness[~melanoma | (rng.random(rows) > 0.4)] = np.nan
    return pd.DataFrame(columns, index=part.index).assign(mel_thick_mm=thickness)


def _mask_values(is_known: NDArray[np.bool_], values: Sequence[str] | NDArray[np.object_]) -> NDArray[np.object_]:
    """Return ``values`` where ``is_known``, else None."""
    result = np.array(values, object)
    result[~is_known] = None
    return result


def _name(cohort: pd.DataFrame, rng: Generator) -> None:
    # Random names, so that neither order nor name depends on patient or target.
    cohort["image_name"] = [f"ISIC_{number:07d}" for number in rng.choice(10**7, len(cohort), replace=False)]
    patients = cohort.groupby(["role", "patient_id"], sort=True).ngroup().to_numpy()
    numbers = rng.choice(10**7, patients.max() + 1, replace=False)
    cohort["patient_id"] = [f"IP_{numbers[patient]:07d}" for patient in patients]
