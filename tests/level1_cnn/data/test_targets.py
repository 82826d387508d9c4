"""Tests for targets.py and diagnoses.py: the targets of a case, and the melanoma log-odds of the logits."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from level1_cnn.data.diagnoses import KINDS, SPELLINGS, read_diagnoses
from level1_cnn.data.targets import (
    CLASSES,
    class_weights,
    count_outputs,
    encode_targets,
    melanoma_column,
    melanoma_logits,
    soft_targets,
)
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from tests.level1_cnn.data.diagnosed_cases import SCHEMES, SOFTMAX, cases

NINE = ("NV", "MEL", "BCC", "BKL", "AK", "SCC", "VASC", "DF", "unknown")


def nine(diagnosis: str | None, target: float = 0) -> str:
    row = encode_targets(cases((target, diagnosis)), "diagnosis9")[0]
    assert sorted(row) == [0] * 8 + [1]
    return NINE[int(row.argmax())]


def test_the_schemes_are_those_of_the_settings_and_have_one_three_and_nine_outputs() -> None:
    assert set(CLASSES) == set(Finetune.model_fields["targets"].annotation.__args__)
    assert [count_outputs(scheme) for scheme in SCHEMES] == [1, 3, 9]
    assert CLASSES["diagnosis9"] == NINE


def test_binary_targets_are_the_target_alone() -> None:
    table = cases((1, "basal cell carcinoma"), (0, "no known spelling"), (1, None))
    np.testing.assert_array_equal(encode_targets(table, "binary"), np.float32([[1], [0], [1]]))
    assert encode_targets(table, "binary").dtype == np.float32


@pytest.mark.parametrize(
    ("diagnosis", "expected"),
    [
        ("nevus", "NV"),
        ("seborrheic keratosis", "BKL"),
        ("lichenoid keratosis", "BKL"),
        ("solar lentigo", "BKL"),
        ("lentigo NOS", "BKL"),
        ("cafe-au-lait macule", "unknown"),
        ("atypical melanocytic proliferation", "unknown"),
        ("unknown", "unknown"),
        (None, "unknown"),
        ("", "unknown"),
        ("BCC", "BCC"),
        ("BKL", "BKL"),
        ("AK", "AK"),
        ("akiec", "AK"),
        ("SCC", "SCC"),
        ("VASC", "VASC"),
        ("DF", "DF"),
        ("nv", "NV"),
        ("Basal Cell  Carcinoma", "BCC"),
        ("pigmented benign keratosis", "BKL"),
        ("Actinic_Keratosis", "AK"),
        ("squamous cell carcinoma", "SCC"),
        ("vascular lesion", "VASC"),
        ("Dermatofibroma", "DF"),
        ("Café au lait macule", "unknown"),
    ],
)
def test_spellings_of_contests_and_archive_map_to_the_winners_nine_classes(diagnosis, expected) -> None:
    assert nine(diagnosis) == expected


@pytest.mark.parametrize("diagnosis", ["melanoma", "MEL", "Melanoma", "unknown", None])
@pytest.mark.parametrize("scheme", SOFTMAX)
def test_a_malignant_case_is_a_melanoma_with_and_without_a_diagnosis(scheme, diagnosis) -> None:
    row = encode_targets(cases((1, diagnosis)), scheme)[0]
    assert row.sum() == row[melanoma_column(scheme)] == 1


def test_the_three_classes_are_melanoma_nevus_and_other_and_unknown_means_both_benign_classes() -> None:
    table = cases((1, "melanoma"), (0, "nevus"), (0, "BCC"), (0, "scar"), (0, "unknown"), (0, None))
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 1]]
    np.testing.assert_array_equal(encode_targets(table, "diagnosis3"), np.float32(expected))


def test_without_a_diagnosis_column_the_target_alone_decides() -> None:
    table = cases((1, None), (0, None)).drop(columns="diagnosis")
    np.testing.assert_array_equal(encode_targets(table, "diagnosis3"), np.float32([[1, 0, 0], [0, 1, 1]]))
    assert encode_targets(table, "diagnosis9").argmax(axis=1).tolist() == [1, 8]


def test_unknown_spellings_are_listed_together_with_their_counts_and_the_valid_ones() -> None:
    table = cases((0, "nevis"), (0, "nevis"), (0, "nevus"), (0, "xyz"))
    with pytest.raises(InputFault) as fault:
        encode_targets(table, "diagnosis9")
    message = str(fault.value)
    assert "2 unknown spellings in 3 cases" in message
    assert "'nevis' in 2 cases; did you mean 'nevus'?" in message
    assert "'xyz' in 1 case\n" in message
    assert "basal cell carcinoma" in message


def test_a_long_list_of_unknown_spellings_is_cut() -> None:
    with pytest.raises(InputFault, match="and 30 more"):
        read_diagnoses(pd.Series([f"word {number}" for number in range(50)]))


@pytest.mark.parametrize("scheme", SOFTMAX)
def test_diagnoses_that_contradict_the_target_are_refused_together(scheme) -> None:
    table = cases((0, "melanoma"), (1, "nevus"), (1, "BCC"), (1, "melanoma"))
    with pytest.raises(InputFault, match=r"(?s)target is 0: 1 \(case0\).*diagnosed as BCC, NV: 2 \(case1, case2\)"):
        encode_targets(table, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("target", [np.nan, 0.5, 2.0])
def test_a_case_without_a_target_is_refused(scheme, target) -> None:
    with pytest.raises(InputFault, match=r"target must hold 0 or 1.*1 \(case1\)"):
        encode_targets(cases((0, "nevus"), (target, "nevus")), scheme)


def test_every_spelling_belongs_to_one_kind_only() -> None:
    everything = [spelling for spellings in SPELLINGS.values() for spelling in spellings]
    assert len({spelling.casefold() for spelling in everything}) == len(everything)
    for kind in KINDS:
        assert read_diagnoses(pd.Series([kind, *SPELLINGS[kind]])) == [kind] * (1 + len(SPELLINGS[kind]))


@pytest.mark.parametrize("scheme", SOFTMAX)
def test_melanoma_log_odds_equal_those_of_the_softmax(scheme) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 4, count_outputs(scheme)))
    probability = (np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))[..., melanoma_column(scheme)]
    expected = np.log(probability) - np.log(1 - probability)
    np.testing.assert_allclose(melanoma_logits(logits, scheme), expected, rtol=1e-9)
    np.testing.assert_allclose(melanoma_logits(logits.astype(np.float32), scheme), expected, atol=1e-5)


def test_binary_log_odds_are_the_logit() -> None:
    np.testing.assert_array_equal(melanoma_logits(np.float32([[[3.0], [-2.0]]]), "binary"), [[3.0, -2.0]])


def test_log_odds_of_extreme_logits_are_finite_and_exact() -> None:
    logits = np.float32([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [200, 0, 0]])
    log_odds = melanoma_logits(logits, "diagnosis3")
    np.testing.assert_allclose(log_odds, [1e4, -2e4 - np.log(2), 200 - np.log(2)], rtol=1e-6)
    assert log_odds.dtype == np.float32


@pytest.mark.parametrize("scheme", SCHEMES)
def test_soft_targets_of_probabilities_0_and_1_equal_those_of_cases_without_a_diagnosis(scheme) -> None:
    targets = soft_targets(np.array([0.0, 1.0, 0.25]), scheme)
    assert targets.shape == (3, count_outputs(scheme))
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets[2], 0.75 * targets[0] + 0.25 * targets[1])
    assert targets[:, melanoma_column(scheme)].tolist() == [0, 1, 0.25]
    if scheme == "diagnosis3":
        np.testing.assert_array_equal(targets[:2], encode_targets(cases((0, None), (1, None)), scheme))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_soft_targets_must_be_probabilities(value) -> None:
    with pytest.raises(InputFault, match="1 of 2 soft targets are not probabilities"):
        soft_targets(np.array([0.5, value]), "binary")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_class_weights_equal_the_balanced_ones_of_scikit_learn(scheme) -> None:
    kinds = ["nevus"] * 7 + ["BCC"] * 2 + ["melanoma"] * 3
    table = cases(*[(float(kind == "melanoma"), kind) for kind in kinds])
    labels = [kind == "melanoma" for kind in kinds] if scheme == "binary" else kinds
    weights = class_weights(encode_targets(table, scheme))
    np.testing.assert_allclose(weights, compute_sample_weight("balanced", labels), rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


def test_a_case_of_unknown_kind_has_the_mean_weight_of_its_possible_classes() -> None:
    table = cases((1, None), (1, None), (0, "nevus"), (0, "nevus"), (0, "nevus"), (0, "BCC"), *[(0, None)] * 4)
    weights = class_weights(encode_targets(table, "diagnosis3"))
    # The 8 benign cases are divided like the diagnosed ones, 3 : 1, into 6 nevi and 2 others.
    melanoma, nevus, other = 10 / (3 * 2), 10 / (3 * 6), 10 / (3 * 2)
    np.testing.assert_allclose(weights[[0, 2, 5, 6]], [melanoma, nevus, other, 0.75 * nevus + 0.25 * other], rtol=1e-5)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_of_soft_rows_have_mean_one_and_a_bound(scheme) -> None:
    weights = class_weights(soft_targets(np.random.default_rng(1).uniform(0, 1, 100), scheme))
    assert weights.mean() == pytest.approx(1, abs=1e-4)
    assert weights.max() < 5


def test_a_single_class_has_weight_one() -> None:
    np.testing.assert_allclose(class_weights(np.zeros((4, 1), np.float32)), 1)
