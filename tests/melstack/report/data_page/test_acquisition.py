"""Tests of the shortcuts of the acquisition: a planted one is said with its figures, and nothing without one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.clinic.folder import draw_clinic
from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from melstack.report.data_page.acquisition import acquisition_quantities, patient_score_test
from melstack.report.data_page.page import explore
from runtime.run_folder import Run

SHORTCUT = "A shortcut that a model can learn"


def cases_with(seed: int, *, strength: float = 0.0, patients: int = 150, pictures: int = 4) -> pd.DataFrame:
    """Return training cases whose size, file and hospital are those of the patient; ``strength`` moves the sizes."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), pictures)
    malignant = random.random(patients) < 0.4  # a patient's pictures have the same target: one unit, not four
    is_large = random.random(patients) < np.where(malignant, 0.5 + strength, 0.5 - strength)
    hospital = random.integers(3, size=patients)
    table = {
        "patient_id": [f"P{number}" for number in patient],
        "role": "train",
        "target": malignant[patient].astype(float),
        "width": np.where(is_large[patient], 1024.0, 512.0),
        "height": 384.0,
        "file_bytes": random.normal(40_000, 4_000, len(patient)).round(),
        "hospital": [f"H{number}" for number in hospital[patient]],
    }
    return pd.DataFrame(table, index=pd.Index([f"I{number}" for number in range(len(patient))], name="image_name"))


def test_a_planted_shortcut_is_said_with_the_shares_of_both_sizes() -> None:
    cases = cases_with(0, strength=0.25)
    first, *others = acquisition_quantities(cases)
    assert first.name == "size"
    assert first.is_shortcut
    assert not any(quantity.is_shortcut for quantity in others)
    shares = cases.groupby("width")["target"].mean()
    sentence = first.sentence()
    assert sentence.startswith(SHORTCUT)
    for width in (512, 1024):
        assert f"{100 * shares[width]:.0f} % [" in sentence
        assert f"{width} × 384 px" in sentence


def test_a_camera_or_hospital_column_is_a_quantity_too() -> None:
    cases = cases_with(1)
    cases["camera_model"] = np.where(cases["target"] == 1, "A", "B")
    first, *_ = acquisition_quantities(cases)
    assert first.name == "camera_model"
    assert first.is_shortcut
    assert "hospital" in {quantity.name for quantity in acquisition_quantities(cases)}


def test_colour_depth_is_read_from_the_pictures(tmp_path: Path) -> None:
    cases = cases_with(2, patients=60, pictures=2)
    cases["picture"] = [f"{name}.png" for name in cases.index]
    for name, target in cases["target"].items():
        Image.new("L" if target else "RGB", (4, 4)).save(tmp_path / f"{name}.png")
    first, *_ = acquisition_quantities(cases, tmp_path)
    assert first.name == "colour depth"
    assert {value.name: value.rate for value in first.values} == {"8 bit": 1.0, "24 bit": 0.0}
    assert first.is_shortcut


def test_the_test_by_patients_is_right_where_a_patient_has_many_similar_pictures() -> None:
    """Counted as independent pictures, 4 times as many data would call a fifth of such clinics a shortcut."""
    p = []
    for seed in range(200):
        cases = cases_with(seed)
        codes, patients = (pd.factorize(cases[name])[0] for name in ("width", "patient_id"))
        p.append(patient_score_test(codes, cases["target"].to_numpy(), patients))
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.045)


def test_clinics_without_a_shortcut_are_silent() -> None:
    quantities = [each for seed in range(40) for each in acquisition_quantities(cases_with(seed))]
    assert len(quantities) == 120
    assert not [each.name for each in quantities if each.is_shortcut]


def test_limits_are_wider_for_few_patients_than_for_as_many_independent_pictures() -> None:
    width_of = {}
    for pictures in (1, 4):
        cases = cases_with(0, patients=600 // pictures, pictures=pictures)
        size = next(each for each in acquisition_quantities(cases) if each.name == "size")
        width_of[pictures] = np.mean([value.high - value.low for value in size.values])
    assert width_of[4] == pytest.approx(2 * width_of[1], rel=0.1)


def test_the_data_page_of_a_drawn_clinic_names_no_shortcut(tmp_path: Path) -> None:
    draw_clinic(tmp_path / "clinic", train=120, test=10, seed=0)
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(tmp_path / "clinic", folds=2))
    page = explore(run).read_text(encoding="utf-8")
    assert SHORTCUT not in page
    assert 'id="acquisition"' in page
