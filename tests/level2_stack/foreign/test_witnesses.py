"""Tests for witnesses/: rows in a wrong place, and out-of-fold scores of cases that the network was trained on."""

import re

import numpy as np
import pandas as pd
import pytest

from level2_stack.foreign.read import ForeignImport, import_predictions
from level2_stack.foreign.witnesses.relation import pair_of, patient_pair, ratio
from runtime.errors import InputFault
from tests.level2_stack.foreign.foreign_files import write_foreign

PATIENTS, PICTURES, TRAIN = 360, 6, 1440


def cases() -> pd.DataFrame:
    """Return 240 training and 120 test patients with six pictures each, their risk and, of train cases, the target."""
    random = np.random.default_rng(3)
    patient = np.repeat(np.arange(PATIENTS), PICTURES)
    risk = random.normal(size=PATIENTS)[patient] + random.normal(size=len(patient))
    target = (risk + random.normal(size=len(risk)) > 2.2).astype(float)
    # The patients stand in no order, as in the tables of the contest.
    order = np.r_[random.permutation(TRAIN), TRAIN + random.permutation(len(risk) - TRAIN)]
    table = pd.DataFrame({"patient_id": patient, "risk": risk, "target": target}).iloc[order]
    table.index = pd.Index([f"i{number:04}" for number in range(len(table))], name="image_name")
    table = table.assign(role=np.where(np.arange(len(table)) < TRAIN, "train", "test"), fold=0)
    return table.assign(target=table["target"].where(table["role"] == "train"))


CASES = cases()


def honest(seed: int) -> pd.Series:
    """Return the logits of a network that generalises; they are a little better on test rows, as means over folds."""
    noise = np.random.default_rng(seed).normal(size=len(CASES)) * np.where(CASES["role"] == "train", 0.8, 0.6)
    return CASES["risk"] + noise - 2


def bring(folder, networks, trust=(), table=CASES) -> ForeignImport:
    for name, logits in networks.items():
        scores = (1 / (1 + np.exp(-logits))).rename("pred")
        is_train = CASES["role"].reindex(scores.index) == "train"
        write_foreign(folder, name, scores[is_train].to_csv(), scores[~is_train].to_csv())
    return import_predictions(folder, table.drop(columns="risk"), trust)


def words(imports: ForeignImport, name: str) -> str:
    network = next(network for network in imports.networks if network.name == name)
    return " ".join([*network.notes, *network.refusal])


def memory(logits: pd.Series, weight: float) -> pd.Series:
    """Return ``logits`` with train rows blended with scores of a network that was trained on them."""
    noise = np.random.default_rng(9).normal(size=len(logits))
    training = 0.5 * logits + 1.5 * noise + 4.2 * CASES["target"].fillna(0) - 1
    return logits.where(CASES["role"] == "test", (1 - weight) * logits + weight * training)


def reorder(logits: pd.Series, places: np.ndarray) -> pd.Series:
    """Return ``logits`` with the test rows in the order ``places``."""
    values = logits.to_numpy().copy()
    values[TRAIN:] = values[TRAIN:][places]
    return pd.Series(values, logits.index)


def shuffle_within_patients() -> np.ndarray:
    rows = CASES[TRAIN:].reset_index()
    return (
        rows.groupby("patient_id")
        .sample(frac=1, random_state=1)
        .index.to_numpy()[np.argsort(np.argsort(rows["patient_id"].to_numpy(), kind="stable"), kind="stable")]
    )


def test_pictures_of_a_patient_confirm_honest_networks_without_any_warning(tmp_path):
    imports = bring(tmp_path, {"one": honest(1), "two": honest(2)})
    for name in ("one", "two"):
        assert "row order of test.csv confirmed" in words(imports, name)
        assert "WARNING" not in words(imports, name)


def test_networks_whose_rows_are_shuffled_alike_are_refused_by_the_pictures_of_a_patient(tmp_path):
    places = np.random.default_rng(0).permutation(len(CASES) - TRAIN)
    with pytest.raises(InputFault, match=r"one: \[row-order-wrong\] .* other pictures of the same patient"):
        bring(tmp_path, {"one": reorder(honest(1), places), "two": reorder(honest(2), places)})


@pytest.mark.parametrize("change", ["half", "shift", "reverse", "blocks"])
def test_of_two_networks_that_disagree_the_one_in_order_stays(tmp_path, change):
    count = len(CASES) - TRAIN
    random, places = np.random.default_rng(0), np.arange(count)
    if change == "half":
        some = random.choice(places, count // 2, replace=False)
        places[some] = random.permutation(some)
    orders = {
        "half": places,
        "shift": np.roll(places, 1),
        "reverse": places[::-1],
        "blocks": np.concatenate([np.split(places, 10)[block] for block in random.permutation(10)]),
    }
    imports = bring(tmp_path, {"one": honest(1), "two": reorder(honest(2), orders[change]), "three": honest(3)})
    assert [network.name for network in imports.refusals] == ["two"]
    assert "WARNING" not in words(imports, "one")


def test_rows_shuffled_within_patients_are_seen_by_other_networks_only(tmp_path):
    new_order = reorder(honest(2), shuffle_within_patients())
    imports = bring(tmp_path / "three", {"one": honest(1), "two": new_order, "three": honest(3)})
    assert [network.name for network in imports.refusals] == ["two"]
    assert re.search(r"one, within patients 0\.\d+ -> -?0\.[01]\d", words(imports, "two"))
    assert "row order of test.csv confirmed" in words(bring(tmp_path / "alone", {"two": new_order}), "two")


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_predictions_of_training_cases_are_refused_and_the_honest_network_stays(tmp_path, weight):
    imports = bring(tmp_path, {"leaky": memory(honest(1), weight), "two": honest(2), "three": honest(3)})
    assert [network.name for network in imports.refusals] == ["leaky"]
    assert re.search(r"\[leaky-oof: [a-z-]+, [a-z, -]+\] oof\.csv: .*AUC 0\.9\d+ \[", words(imports, "leaky"))
    assert "WARNING" not in words(imports, "two") + words(imports, "three")


def test_a_trusted_network_with_two_signs_keeps_the_warning(tmp_path):
    imports = bring(tmp_path, {"leaky": memory(honest(1), 1.0), "two": honest(2)}, trust=["leaky"])
    assert not imports.refusals
    assert "WARNING: [leaky-oof:" in words(imports, "leaky")


def test_a_single_network_that_has_seen_its_cases_is_recognised(tmp_path):
    with pytest.raises(InputFault, match=r"leaky-oof: near-perfect-separation, agreement"):
        bring(tmp_path, {"leaky": memory(honest(1), 1.0)})


def test_out_of_fold_rows_in_a_wrong_place_are_a_warning(tmp_path):
    logits = honest(1)
    some = np.random.default_rng(0).choice(TRAIN, TRAIN // 2, replace=False)
    values = logits.to_numpy().copy()
    values[some] = values[np.random.default_rng(1).permutation(some)]
    imports = bring(tmp_path, {"one": pd.Series(values, logits.index), "two": honest(2), "three": honest(3)})
    assert "WARNING: [leaky-oof: agreement]" in words(imports, "one")
    assert "WARNING" not in words(imports, "two")


def shuffle(logits: pd.Series, rows: np.ndarray) -> pd.Series:
    """Return ``logits`` with the values of ``rows`` (numbers) permuted among these rows."""
    values = logits.to_numpy().copy()
    values[rows] = values[np.random.default_rng(5).permutation(rows)]
    return pd.Series(values, logits.index)


def test_out_of_fold_rows_that_share_nothing_with_others_are_refused(tmp_path):
    networks = {"one": shuffle(honest(1), np.arange(TRAIN)), "two": honest(2), "three": honest(3)}
    imports = bring(tmp_path / "beside", networks)
    assert [network.name for network in imports.refusals] == ["one"]
    assert "[row-order-wrong] oof.csv: has far less in common with other pictures" in words(imports, "one")
    assert "WARNING" not in words(imports, "two") + words(imports, "three")
    with pytest.raises(InputFault, match=r"\[row-order-wrong\] oof.csv"):
        bring(tmp_path / "alone", {"one": networks["one"]})


@pytest.mark.parametrize("others", [0, 600])
def test_test_scores_of_the_class_benign_are_refused_without_other_networks(tmp_path, others):
    noise = np.random.default_rng(4).normal(size=(len(CASES), others))
    columns = pd.DataFrame(noise, CASES.index).add_prefix("gene_")
    table = CASES.assign(age=(CASES["risk"] * 10).round()).join(columns)
    assert not bring(tmp_path / "right", {"one": honest(1)}, table=table).refusals
    reversed_scores = honest(1) * np.where(CASES["role"] == "test", -1, 1)
    with pytest.raises(InputFault, match=r"test.csv: has far less in common with a model of the metadata"):
        bring(tmp_path / "wrong", {"one": reversed_scores}, table=table)


def test_rows_shuffled_alike_within_patients_are_refused_by_the_metadata(tmp_path):
    table = CASES.assign(age=(CASES["risk"] * 10).round())
    order = shuffle_within_patients()
    with pytest.raises(InputFault, match=r"a model of the metadata, within patients"):
        bring(tmp_path, {name: reorder(honest(seed), order) for seed, name in enumerate(("one", "two"))}, table=table)


def test_training_predictions_of_one_fold_are_a_warning(tmp_path):
    table = CASES.assign(fold=CASES["patient_id"] % 5)
    is_leaky = (table["fold"] == 2) & (table["target"] == 1)
    imports = bring(tmp_path, {"one": honest(1) + 6.0 * is_leaky, "two": honest(2)}, table=table)
    assert "WARNING: [leaky-oof: one-fold" in words(imports, "one")
    assert "WARNING" not in words(imports, "two")


def test_a_copy_of_a_network_that_knows_the_diagnosis_is_a_warning(tmp_path):
    noise = np.random.default_rng(8).normal(size=len(CASES)) * 0.7
    imports = bring(tmp_path, {"one": honest(2) + noise + 2 * CASES["target"].fillna(0), "two": honest(2)})
    assert "auc-far-above" in words(imports, "one")
    assert "WARNING" not in words(imports, "two")


def test_a_witness_on_another_scale_accuses_nobody(tmp_path):
    sharp = honest(1) * np.where(CASES["role"] == "test", 1, 3)
    imports = bring(tmp_path, {"sharp": sharp, "two": honest(2), "three": honest(3)})
    assert "WARNING" not in words(imports, "two") + words(imports, "three")


def test_missing_rows_that_tell_the_diagnosis_are_refused(tmp_path):
    risky = (CASES["risk"] > 1.5) & (CASES["role"] == "train")
    leaky = honest(1).mask(risky & (CASES["target"] == 0))
    chance = honest(3).mask(risky & (np.random.default_rng(2).random(len(CASES)) < 0.5))
    imports = bring(tmp_path, {"one": leaky.dropna(), "two": honest(2), "three": chance.dropna()})
    assert [network.name for network in imports.refusals] == ["one"]
    assert re.search(r"\[missing-rows\] oof.csv: of \d+ train cases without a row 0 are malig", words(imports, "one"))


def test_a_network_under_two_names_is_a_warning(tmp_path):
    imports = bring(tmp_path, {"one": honest(1), "one_again": honest(1).round(3), "two": honest(2)})
    assert "WARNING: [same-network] its scores are those of one" in words(imports, "one_again")
    assert "WARNING" not in words(imports, "one") + words(imports, "two")


def test_networks_with_one_file_in_common_are_refused(tmp_path):
    wrong = honest(1).where(CASES["role"] == "train", honest(2))
    networks = {"one": wrong, "two": honest(2), "three": honest(3)}
    imports = bring(tmp_path / "refused", networks)
    assert [network.name for network in imports.refusals] == ["one", "two"]
    assert "[same-file] test.csv has the scores of two, but oof.csv has others" in words(imports, "one")
    assert not bring(tmp_path / "trusted", networks, trust=["one", "two"]).refusals


@pytest.mark.parametrize("what", ["spread over the views", "number of views"])
def test_views_that_reveal_the_target_are_refused(tmp_path, what):
    scores, random = 1 / (1 + np.exp(-honest(1))), np.random.default_rng(4)
    is_malignant = CASES["target"] == 1
    shift = (0.2 * np.minimum(scores, 1 - scores)) * random.uniform(0.5, 1.5, len(scores))
    views = {"right": (shift, scores - shift)}
    views["spread over the views"] = (
        shift * np.where(is_malignant, 3, 1),
        scores - shift * np.where(is_malignant, 3, 1),
    )
    views["number of views"] = (shift, (scores - shift).mask(is_malignant))
    for name in ("right", what):
        move, second = views[name]
        table = pd.DataFrame({"pred": scores, "tta0": scores + move, "tta1": second})
        folder = tmp_path / name.replace(" ", "_")
        write_foreign(folder, "one", table[:TRAIN].to_csv(), table[TRAIN:].to_csv())
    cases_without_risk = CASES.drop(columns="risk")
    assert not import_predictions(tmp_path / "right", cases_without_risk).refusals
    with pytest.raises(InputFault, match=f"oof.csv: the {what}.* reveals the target"):
        import_predictions(tmp_path / what.replace(" ", "_"), cases_without_risk)


def test_a_network_with_few_rows_is_neither_confirmed_nor_refused(tmp_path):
    few = CASES.assign(patient_id=np.arange(len(CASES)))
    imports = bring(tmp_path, {"one": honest(1)}, table=few)
    assert "WARNING: [row-order-unconfirmed]" in words(imports, "one")


def test_chance_within_patients_is_that_of_permuted_rows():
    random = np.random.default_rng(0)
    patients = pd.Series(np.repeat(np.arange(30), 4))
    first, second = (pd.Series(random.normal(size=120)) for _ in range(2))
    relation = pair_of(first, second, patients).relation_within()
    ranks = second.rank()
    values = []
    for _ in range(1500):
        permutation = ranks.groupby(patients).transform(lambda part: random.permutation(part))
        values.append(pair_of(first, permutation, patients).relation_within().value)
    assert np.std(values) == pytest.approx(relation.chance, rel=0.08)


def test_the_rest_of_a_patient_never_holds_the_picture_itself():
    patients, scores = pd.Series([0, 0, 0, 1, 1, 2]), pd.Series([1.0, 2.0, 6.0, 3.0, 4.0, 5.0])
    pair = patient_pair(scores, patients)
    assert len(pair.first) == 5  # the only picture of a patient has no others
    assert pair.second[0] == pair.second.max()  # of the lowest picture the others are the highest
    value, low, high = ratio(pair.relation(), pair.relation())
    assert np.isnan(value)
    assert (low, high) == (-np.inf, np.inf)
