"""Tests of the contract of every feature block, and of how blocks are found, built and checked."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from features import blocks
from features.blocks import LABELS, Sources, build_block, find, missing_needs, names, without_labels
from features.pictures.statistics.picture import picture_statistics
from runtime.errors import InputFault
from runtime.tables import read_table, write_table

SIZES_OF_PATIENTS = [1, 1, 2, 3, 3, 4, 7, 15]  # pictures; every branch of every block
SITES = ["torso", "upper extremity", None, "head/neck"]


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    """Return 36 cases of eight patients, the last two of them test patients, in no particular order."""
    rng = np.random.default_rng(5)
    patient = np.repeat([f"P{number}" for number in range(8)], SIZES_OF_PATIENTS)
    n = len(patient)
    test = np.isin(patient, ["P6", "P7"])
    frame = pd.DataFrame(
        {
            "role": np.where(test, "test", "train"),
            "fold": np.where(test, -1, rng.integers(0, 3, n)).astype("int8"),
            "patient_id": patient,
            "target": np.where(test, np.nan, rng.integers(0, 2, n)),
            "diagnosis": rng.choice(["nevus", "melanoma"], n),
            "benign_malignant": rng.choice(["benign", "malignant"], n),
            "picture": [f"jpeg/{number}.jpg" for number in range(n)],
            "width": rng.choice([640.0, 1024.0, np.nan], n),
            "height": rng.choice([480.0, 768.0], n),
            "file_bytes": rng.integers(10_000, 90_000, n).astype(float),
            "sex": rng.choice(np.array(["male", "female", None], dtype=object), n),
            "age_approx": rng.choice([35.0, 50.0, 65.0, np.nan], n),
            "anatom_site_general_challenge": rng.choice(np.array(SITES, dtype=object), n),
            "new_lesion": rng.choice([True, False], n),
            "clin_size_long_diam_mm": rng.gamma(3.0, 1.0, n),
            "tbp_lv_A": np.where(patient == "P7", 20.0, rng.normal(20, 3, n)),
            "tbp_lv_nevi_confidence": rng.choice([12.0, 80.0, np.nan], n),
        },
        index=pd.Index([f"ISIC_{number:03d}" for number in rng.permutation(n)], name="image_name"),
    )
    return frame.sample(frac=1, random_state=1)


@pytest.fixture(scope="module")
def sources(cases: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder, rng = tmp_path_factory.mktemp("embeddings"), np.random.default_rng(6)
    case_names = sorted(cases.index)
    statistics = pd.DataFrame(
        [picture_statistics(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)) for _ in case_names], index=case_names
    )
    paths = {model: folder / model / "embeddings.parquet" for model in ("b0_128", "lite0_96")}
    for path in paths.values():
        values = rng.normal(0.3, 1, (len(case_names), 12)).astype(np.float16)
        columns = [f"e{number:04d}" for number in range(12)]
        write_table(path, pd.DataFrame(values, index=pd.Index(case_names, name="image_name"), columns=columns))
    return Sources(statistics, {model: partial(read_table, path) for model, path in paths.items()})


every_block = pytest.mark.parametrize("name", names())


def test_the_blocks_are_the_modules_of_the_package():
    assert {"measured", "metadata", "patient", "pictures", "ugly_duckling"} <= set(names())
    assert names() == sorted(names())


@every_block
def test_a_block_has_the_attributes_of_the_contract(name: str):
    block = find(name)

    assert block.__doc__
    assert isinstance(block.ACQUISITION, tuple)
    assert set(block.NEEDS) <= {"statistics", "embeddings"}


@every_block
def test_a_block_has_one_row_per_case_in_the_order_of_the_cases(name: str, cases: pd.DataFrame, sources: Sources):
    frame = build_block(name, cases, sources)

    assert frame.index.equals(cases.index)
    assert frame.index.name == "image_name"
    assert len(frame.columns) >= 1


@every_block
def test_the_order_of_the_rows_does_not_matter(name: str, cases: pd.DataFrame, sources: Sources):
    permutation = cases.sample(frac=1, random_state=9)

    assert_frame_equal(
        build_block(name, permutation, sources).loc[cases.index], build_block(name, cases, sources), check_exact=True
    )


@every_block
@pytest.mark.parametrize("label", LABELS)
def test_permuting_a_label_leaves_the_written_file_byte_identical(
    name: str, label: str, cases: pd.DataFrame, sources: Sources, tmp_path: Path
):
    permutation = cases.copy()
    permutation[label] = np.random.default_rng(2).permutation(cases[label].to_numpy())
    assert not permutation[label].equals(cases[label])

    write_table(tmp_path / "a.parquet", build_block(name, cases, sources))
    write_table(tmp_path / "b.parquet", build_block(name, permutation, sources))

    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@every_block
def test_features_of_a_patient_do_not_change_when_other_patients_are_removed(
    name: str, cases: pd.DataFrame, sources: Sources
):
    everyone = build_block(name, cases, sources)
    for patients in (["P0", "P7"], ["P2", "P5"], ["P6"]):
        few = cases[cases["patient_id"].isin(patients)]
        assert_frame_equal(build_block(name, few, sources), everyone.loc[few.index], check_exact=True)


@every_block
def test_test_rows_are_treated_as_train_rows(name: str, cases: pd.DataFrame, sources: Sources):
    all_test = cases.assign(role="test", fold=np.int8(-1), target=np.nan).drop(columns=["diagnosis"])

    assert_frame_equal(build_block(name, all_test, sources), build_block(name, cases, sources), check_exact=True)


@every_block
def test_acquisition_columns_exist_if_the_cases_have_their_metadata(name: str, cases: pd.DataFrame, sources: Sources):
    archive = ["camera", "device", "attribution", "copyright_license", "image_type"]
    more = ["dermoscopic_type", "tbp_tile_type", "pixels_x", "pixels_y"]
    frame = build_block(name, cases.assign(**dict.fromkeys(archive + more, "x")), sources)

    assert set(find(name).ACQUISITION) <= set(frame.columns)


def test_an_unknown_block_is_refused_with_the_nearest_name():
    with pytest.raises(InputFault, match=r"unknown feature block 'pictuers'; did you mean 'pictures'\?"):
        find("pictuers")


def test_labels_and_role_are_invisible(cases: pd.DataFrame):
    assert not set(LABELS) & set(without_labels(cases).columns)
    assert {"patient_id", "sex", "width"} <= set(without_labels(cases).columns)


def test_a_block_without_its_source_is_refused_with_the_name_of_the_source(cases: pd.DataFrame):
    assert missing_needs("ugly_duckling", Sources()) == ("embeddings",)
    assert missing_needs("pictures", Sources()) == ()
    with pytest.raises(InputFault, match="'ugly_duckling' needs embeddings, which this run does not have"):
        build_block("ugly_duckling", cases, Sources())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("cases[['height']].iloc[::-1]", "the rows must be the given cases"),
        ("cases[['height', 'height']]", r"repeated columns: 1 \(height\)"),
        ("cases[['height']] / 0", r"infinite ones are in 1 \(height\)"),
        (
            "cases[['height']].map(lambda value: [value])",
            r"columns must be numbers, strings or categories, not so 1 \(height\)",
        ),
        ("cases[['target']]", "target"),
    ],
)
def test_a_block_that_breaks_the_contract_is_refused(
    body: str, complaint: str, cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = f"broken_{tmp_path.name}"  # imported once per name, so every example needs its own
    (tmp_path / f"{name}.py").write_text(
        f"'''Broken.'''\nACQUISITION = ()\nNEEDS = ()\ndef build(cases, sources):\n    return {body}\n"
    )
    monkeypatch.setattr(blocks, "__path__", [*blocks.__path__, str(tmp_path)])

    with pytest.raises((ValueError, KeyError), match=complaint):
        build_block(name, cases, Sources())


def test_metadata_keeps_strings_and_missing_values_and_counts_the_missing_ones():
    cases = pd.DataFrame(
        {
            "patient_id": ["p", "q"],
            "picture": [None, "a.jpg"],
            "width": [1.0, 2.0],
            "tfrecord": [3, -1],
            "sex": ["male", None],
            "age_approx": [45, 50],
            "tumour_seen": pd.array([True, None], dtype="boolean"),
            "fold": [0, 1],
        },
        index=pd.Index(["a", "b"], name="image_name"),
    )
    frame = build_block("metadata", cases, Sources())

    assert frame.columns.tolist() == ["sex", "age_approx", "tumour_seen", "missing_count"]
    assert frame["sex"].tolist() == ["male", None]
    assert frame["age_approx"].dtype == frame["tumour_seen"].dtype == np.float64
    assert frame["tumour_seen"].fillna(-1).tolist() == [1, -1]
    assert frame["missing_count"].tolist() == [0, 2]


def test_patient_counts_pictures_ages_and_sites():
    cases = pd.DataFrame(
        {
            "patient_id": ["p", "p", "p", "p", "q"],
            "age_approx": [40.0, 50.0, np.nan, 60.0, np.nan],
            "anatom_site_general_challenge": ["torso", "torso", None, "head/neck", None],
        },
        index=pd.Index(list("abcde"), name="image_name"),
    )
    frame = build_block("patient", cases, Sources())

    expected = pd.DataFrame(
        {
            "n_pictures": [4.0, 4, 4, 4, 1],
            "single_picture": [0.0, 0, 0, 0, 1],
            "age_min": [40.0, 40, 40, 40, np.nan],
            "age_max": [60.0, 60, 60, 60, np.nan],
            "age_span": [20.0, 20, 20, 20, np.nan],
            "age_minus_patient_mean": [-10.0, 0, np.nan, 10, np.nan],
            "years_before_last": [20.0, 10, np.nan, 0, np.nan],
            "n_sites": [2.0, 2, 2, 2, 0],
            "site_share": [2 / 3, 2 / 3, np.nan, 1 / 3, np.nan],
        },
        index=cases.index,
    )
    assert_frame_equal(frame, expected)


def test_patient_needs_neither_ages_nor_sites():
    cases = pd.DataFrame({"patient_id": ["p", "p"]}, index=pd.Index(["a", "b"], name="image_name"))

    assert build_block("patient", cases, Sources()).columns.tolist() == ["n_pictures", "single_picture"]


def test_patient_accepts_a_cohort_without_any_known_site():
    cases = pd.DataFrame(
        {"patient_id": ["p", "p"], "anatom_site_general_challenge": [None, None]},
        index=pd.Index(["a", "b"], name="image_name"),
    )
    frame = build_block("patient", cases, Sources())

    assert frame["n_sites"].tolist() == [0, 0]
    assert frame["site_share"].isna().all()
