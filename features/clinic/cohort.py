"""The synthetic clinic's patients and lesions as numbers, with a known melanoma risk; no picture is drawn here."""

from itertools import count

import numpy as np
import pandas as pd
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri
from sklearn.metrics import roc_auc_score

from features.clinic.camera import CAMERAS
from runtime.errors import InputFault

# The risk depends on the signs alone. They and the looks vary between lesions, the phenotype between patients.
SIGNS = ("atypia", "streaks", "clods", "veil", "regression", "imbalance")
LOOKS = ("asymmetry", "border", "variegation", "size", "darkness")
PHENOTYPE = ("tone", "redness", "freckles", "warmth", "network", "globules", "hair")

# The logit of the risk. The weights were chosen by the AUC of logistic regressions on the true values: all 0.95, one
# picture 0.88, metadata 0.68, so that neither a perfect network nor the metadata alone is enough. Veil and regression
# weigh less than the other signs, because mean colours show them.
INTERCEPT = -4.1
RELATIVE = np.array((4.5, 5.0, 3.0, 1.2, 1.2, 1.2))
ABSOLUTE = np.array((3.2, 3.6, 2.2, 0.9, 0.9, 0.9))
PER_DECADE, MALE = 0.85, 1.1
SITES = {  # name: share of the lesions, logit
    "torso": (0.50, 0.0),
    "lower extremity": (0.25, -0.5),
    "upper extremity": (0.15, 0.1),
    "head/neck": (0.06, 1.1),
    "palms/soles": (0.025, -0.4),
    "oral/genital": (0.015, 0.4),
}


def draw_cohort(train: int, test: int, seed: int) -> pd.DataFrame:
    """Return every case of a clinic, without pictures: index image_name, one row per train and test case.

    Columns: role, the contest's columns, signs, looks and phenotype in [0, 1], camera, risk (the true
    probability of melanoma) and target ~ Bernoulli(risk). A small cohort is drawn again as a whole until it can be
    split into folds: at least 4 malignant train pictures of 4 patients if ``train`` >= 24, and both classes in every
    role with 8 or more pictures. With 100 pictures or more the first draw nearly always passes, so targets follow the
    risk; with 24 pictures the prevalence rises from 0.15 to 0.20. Raises InputFault for fewer than 8 train or 1 test
    pictures.
    """
    if train < 8 or test < 1 or seed < 0:
        raise InputFault(f"clinic: found train={train}, test={test}, seed={seed}; use train >= 8, test >= 1, seed >= 0")
    parts = {role: _foldable_part(role, cases, seed) for role, cases in (("train", train), ("test", test))}
    cohort = pd.concat(parts, names=["role"]).reset_index("role").reset_index(drop=True)
    _name(cohort, default_rng(SeedSequence(seed, spawn_key=(2,))))
    # Sorted by random names, so that neither order nor name depends on patient or target.
    return cohort.sort_values(["role", "image_name"], ascending=[False, True]).set_index("image_name")


def melanoma_risk(cohort: pd.DataFrame) -> NDArray[np.float64]:
    """Return the true probability of melanoma, shape (cases,), from values that pictures and tables show.

    Its logit is linear in each sign's deviation from the median over the patient's pictures (an ugly duckling; zero for
    a patient's only picture), in the signs themselves, and in age, sex and site, where a missing value counts as
    neutral. Looks do not matter, so that statistics of size, colour and outline tell little. No model has a higher
    expected AUC than this risk, and a model can reach it, because all its inputs are visible.
    """
    signs = cohort[list(SIGNS)]
    typical = signs.groupby(cohort["patient_id"]).transform("median")
    logit = INTERCEPT + (signs - typical).to_numpy() @ RELATIVE + (signs.to_numpy() - 0.5) @ ABSOLUTE
    logit += PER_DECADE * (cohort["age_approx"].fillna(50.0).to_numpy() - 50) / 10
    logit += MALE * cohort["sex"].map({"male": 0.5, "female": -0.5}).fillna(0.0).to_numpy()
    logit += cohort["anatom_site_general_challenge"].map({name: site[1] for name, site in SITES.items()}).fillna(0.0)
    return np.asarray(expit(logit), np.float64)


def _foldable_part(role: str, cases: int, seed: int) -> pd.DataFrame:
    for attempt in count():
        rng = default_rng(SeedSequence(seed, spawn_key=(("train", "test").index(role), attempt)))
        part = _draw_part(rng, cases, role)
        malignant = part.loc[part["target"] == 1, "patient_id"]
        least = 4 if role == "train" and cases >= 24 else int(cases >= 8)
        if malignant.nunique() >= least and len(malignant) <= cases - least:
            return part
    raise AssertionError  # count() does not end


def _draw_part(rng: Generator, cases: int, role: str) -> pd.DataFrame:
    # A patient has 7 pictures on average; small cohorts get more patients, since they need enough for the folds.
    patients = _patients(rng, max(round(cases / 7.1), min(8, cases // 2), 1))
    share = rng.gamma(2.0, size=len(patients))
    pictures = 1 + rng.multinomial(cases - len(patients), share / share.sum())
    part = patients.loc[np.repeat(patients.index, pictures)].reset_index(drop=True)
    part[list(SIGNS)] = _signs(rng, part[list(SIGNS)].to_numpy())
    part[list(LOOKS)] = ndtr((part[list(LOOKS)].to_numpy() + rng.standard_normal((cases, len(LOOKS)))) / 2**0.5)
    part["camera"] = np.where(rng.random(cases) < 0.2, rng.integers(len(CAMERAS), size=cases), part["camera"])
    shares = [site[0] for site in SITES.values()]
    part["anatom_site_general_challenge"] = rng.choice(np.array(list(SITES), object), cases, p=shares)
    _hide_some(rng, part, role)
    part["risk"] = melanoma_risk(part)
    part["target"] = _targets(rng, part["risk"].to_numpy())
    part["benign_malignant"] = np.where(part["target"] == 1, "malignant", "benign")
    benign = np.where(rng.random(cases) < 0.4, "nevus", "unknown")
    part["diagnosis"] = np.where(part["target"] == 1, "melanoma", benign)
    return part


def _patients(rng: Generator, patients: int) -> pd.DataFrame:
    frame = pd.DataFrame({"patient_id": np.arange(patients)})
    frame["sex"] = np.where(_even(rng, patients) < 0.52, "male", "female").astype(object)
    frame["age_approx"] = np.clip(5.0 * np.round((50 + 15 * ndtri(_even(rng, patients))) / 5), 15.0, 90.0)
    frame["camera"] = rng.integers(len(CAMERAS), size=patients)
    frame[list(PHENOTYPE)] = rng.beta(1.6, 2.0, (patients, len(PHENOTYPE)))
    # In some patients all moles are unusual: signs share a level per patient (correlation 0.36), so that absolute
    # values mislead, and only the comparison with the patient's other moles does not.
    common, own = ndtri(_even(rng, patients))[:, None], rng.standard_normal((patients, len(SIGNS)))
    frame[list(SIGNS)] = 0.6 * common + np.sqrt(1 - 0.6**2) * own
    frame[list(LOOKS)] = rng.standard_normal((patients, len(LOOKS)))
    return frame


def _even(rng: Generator, size: int) -> NDArray[np.float64]:
    # Uniform numbers, one per stratum, so that small cohorts differ less from seed to seed.
    return np.asarray((rng.permutation(size) + rng.random(size)) / size)


def _signs(rng: Generator, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    # About every fourth mole is unusual in several signs at once: an ugly duckling, malignant or benign.
    cases, width = levels.shape
    odd = (rng.random((cases, 1)) < 0.25) * rng.uniform(0.8, 2.0, (cases, 1)) * rng.uniform(0.0, 1.0, (cases, width))
    latent = levels + 0.6 * rng.standard_normal((cases, width)) + odd - 0.17
    return np.asarray(ndtr(latent / 1.23))


def _targets(rng: Generator, risk: NDArray[np.float64]) -> NDArray[np.int64]:
    # Systematic sampling along the sorted risk: each target is Bernoulli(risk), but targets of similar risk depend on
    # each other, so that a small clinic's prevalence and AUC vary less between seeds than with independent draws.
    order = np.argsort(risk)
    counts = np.floor(np.cumsum(risk[order]) + rng.random())
    targets = np.zeros(len(risk), np.int64)
    targets[order] = np.diff(counts, prepend=0.0) > 0
    return targets


def _hide_some(rng: Generator, part: pd.DataFrame, role: str) -> None:
    # As in the contest, sites are missing in both roles, age and sex in train only.
    part.loc[rng.random(len(part)) < 0.02, "anatom_site_general_challenge"] = None
    if role == "train":
        part.loc[rng.random(len(part)) < 0.006, "age_approx"] = np.nan
        part.loc[rng.random(len(part)) < 0.006, "sex"] = None


def _name(cohort: pd.DataFrame, rng: Generator) -> None:
    numbers = rng.choice(10**7, len(cohort), replace=False)
    cohort["image_name"] = [f"DEMO_{number:07d}" for number in numbers]
    patients = cohort.groupby(["role", "patient_id"]).ngroup().to_numpy()
    numbering = rng.permutation(patients.max() + 1)
    cohort["patient_id"] = [f"DP_{numbering[patient]:05d}" for patient in patients]


def best_auc(cohort: pd.DataFrame) -> dict[str, float | None]:
    """Return the AUC of the true risk per role, the best that any model can expect; None if there is one class only."""
    rows = {role: cohort[cohort["role"] == role] for role in ("train", "test")}
    return {
        role: float(roc_auc_score(part["target"], part["risk"])) if part["target"].nunique() == 2 else None
        for role, part in rows.items()
    }
