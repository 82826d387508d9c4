"""Ablation: a leak is reported, a useless block has no loss, and both sides of a comparison use equal fits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from level2_stack.crossval.ablation import COLUMNS, MIN_LEAK_LOSS, ablate, describe_losses, leading_booster, list_parts
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.learner_contract import STAGES
from level2_stack.learners import lgbm
from tests.level2_stack.small_designs import make_design, recipe

STACK = recipe("lgbm", "logistic")


def with_columns(design: Design, **columns: object) -> Design:
    """Return ``design`` with further columns; two underscores stand for the dot."""
    return replace(design, X=design.X.assign(**{name.replace("__", "."): each for name, each in columns.items()}))


def all_targets(design: Design) -> np.ndarray:
    return np.concatenate([design.y, np.zeros(len(design.test))])


@pytest.fixture(scope="module")
def design():
    """Return a design with a block that leaks, one that is noise, and one whose text column leaks in no order."""
    base, random = make_design(300, 15), np.random.default_rng(5)
    n, y = len(base.X), all_targets(base)
    site = np.where(y == 1, random.choice(["leg", "torso"], n), random.choice(["arm", "nose", "palm"], n))
    return with_columns(
        base,
        patient__count=random.normal(size=n),
        pictures__leak=6 * y + random.normal(size=n),
        pictures__size=random.normal(size=n),
        table__site=pd.Categorical(np.where(random.random(n) < 0.2, "arm", site)),
    )


@pytest.fixture(scope="module")
def cross_validation(design):
    return cross_validate(design, STACK)


@pytest.fixture(scope="module")
def table(design, cross_validation):
    return ablate(design, STACK, cross_validation, replicates=100)


def test_every_part_has_a_row_and_the_largest_loss_comes_first(table):
    assert set(table.index) == {"all networks", "metadata", "patient", "pictures", "table"}
    assert list(table.columns) == COLUMNS
    assert table["loss"].is_monotonic_decreasing
    assert table.index[0] == "pictures"
    assert table["columns"].to_dict() == {"all networks": 2, "metadata": 1, "patient": 1, "pictures": 2, "table": 1}
    assert set(table["learner"]) == {"lgbm"}


def test_a_leak_is_reported_with_its_column(table):
    lines = list(describe_losses(table, best_network=0.85))
    (leak,) = [sentence for sentence in lines if sentence.startswith("pictures may leak the target: ")]
    strongest_auc = table.loc["pictures", "strongest_auc"]
    assert strongest_auc > 0.99
    assert f"alone, pictures.leak has AUC {strongest_auc:.4f} (best network 0.8500)" in leak
    assert f"the AUC falls by {table.loc['pictures', 'culprits_loss']:.4f} without pictures.leak, by" in leak
    assert not [sentence for sentence in lines if "metadata may leak" in sentence or "patient may leak" in sentence]
    first = table.loc["pictures"]
    loss = f"{first['loss']:+.4f} [{first['low']:.4f}, {first['high']:.4f}]"
    assert lines[0] == f"without pictures (2 columns): AUC of lgbm {first['auc_without']:.4f}, loss {loss}"


def test_a_leak_in_a_text_column_is_found_although_its_codes_have_no_order(design, table):
    codes = design.train["table.site"].cat.codes.to_numpy()
    assert abs(auc(design.y, codes.astype(float)) - 0.5) < 0.3
    assert table.loc["table", "strongest_auc"] > 0.85
    assert any("table may leak" in sentence for sentence in describe_losses(table, best_network=0.8))


@pytest.mark.parametrize("kind", ["together", "twice"])
def test_two_columns_that_leak_are_both_named_and_an_innocent_one_is_not(kind: str):
    base, random = make_design(300, 0), np.random.default_rng(1)
    first = random.normal(size=300) if kind == "together" else base.y + random.normal(0, 0.1, 300)
    second = (first if kind == "together" else 0) + base.y + random.normal(0, 0.1, 300)
    age = random.normal(size=300) + 0.5 * base.y
    leaky = with_columns(base, table__first=first, table__second=second, table__age=age)
    # Without a random choice of columns per tree, so that every tree sees both columns of the pair.
    stack = recipe("lgbm", lgbm={"rounds": 60, "learning_rate": 0.2, "feature_fraction": 1.0})
    table = ablate(leaky, stack, cross_validate(leaky, stack), replicates=50)
    assert sorted(table.loc["table", "culprits"].split(", ")) == ["table.first", "table.second"]
    assert table.loc["table", "culprits_loss"] > 0.05
    assert [line for line in describe_losses(table, 0.8) if line.startswith("table may leak the target: ")]


def test_a_useless_text_column_is_not_reported_as_a_leak():
    design = make_design(300, 0)
    noise = with_columns(design, table__site=pd.Categorical(np.random.default_rng(0).choice(["a", "b", "c"], 300)))
    table = ablate(noise, STACK, cross_validate(noise, STACK), replicates=20)
    assert 0.5 <= table.loc["table", "strongest_auc"] < 0.6


def test_the_loss_without_a_useless_block_is_chance_and_without_networks_it_is_not():
    design = with_columns(make_design(600, 0), patient__count=np.random.default_rng(5).normal(size=600))
    # Every tree gets all columns: otherwise one column less would change how often the others are drawn.
    stack = recipe("lgbm", lgbm={"rounds": 40, "learning_rate": 0.1, "feature_fraction": 1.0})
    table = ablate(design, stack, cross_validate(design, stack), replicates=100)
    assert table.loc["patient", "low"] <= 0 <= table.loc["patient", "high"]
    assert table.loc["all networks", "low"] > 0
    assert table.loc["all networks", "loss"] > 10 * abs(table.loc["patient", "loss"])


def test_networks_are_not_reported_as_a_leak(table):
    assert not [
        sentence for sentence in describe_losses(table, best_network=0.5) if sentence.startswith("all networks may")
    ]


def test_without_a_network_to_compare_with_only_a_large_loss_is_reported_as_a_leak(table):
    suspicious = [sentence for sentence in describe_losses(table, best_network=float("nan")) if "may leak" in sentence]
    assert [sentence.split()[0] for sentence in suspicious] == ["pictures"]
    assert table.loc["pictures", "low"] > MIN_LEAK_LOSS > table.drop(index="pictures")["low"].max()


def test_the_auc_without_a_part_is_that_of_fits_without_its_columns(design, cross_validation, table):
    X, score = design.X.drop(columns=["pictures.leak", "pictures.size"]), np.zeros(300)
    for fold in range(4):
        own = np.flatnonzero(design.folds == fold)
        training = np.flatnonzero(design.folds != fold)
        params = STACK.parameters("lgbm")
        fit = lgbm.fit(params, X.iloc[training], design.y[training], groups=design.groups[training], seed=0)
        stage = STAGES.index(cross_validation.stage["lgbm"][fold])
        score[own] = fit.stages(X.iloc[own])[stage]
    assert table.loc["pictures", "auc_without"] == pytest.approx(auc(design.y, score), abs=1e-3)


@pytest.mark.parametrize("ratio", [None, 1.0])
def test_leaving_out_a_constant_column_has_a_loss_of_exactly_zero(ratio):
    """Otherwise the fits are the same: equal thinning, and the parameters tuned for each fold."""
    design = with_columns(make_design(150, 0), patient__count=1.0)
    stack = recipe("lgbm", negatives_per_positive=ratio, choose_rounds=False)
    tuned_params = {
        ("lgbm", fold): lgbm.Params(rounds=10 + 5 * fold, learning_rate=0.1, feature_fraction=1.0) for fold in range(4)
    }
    table = ablate(design, stack, cross_validate(design, stack, tuned_params=tuned_params), replicates=20)
    assert table.loc["patient", ["loss", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["all networks", "loss"] > 0


def test_parts_are_the_blocks_and_kinds_of_network_columns_of_the_design():
    names = ["logit.a", "spread.a", "difference.a", "zscore.a", "disagreement.networks", "metadata.age", "own.x"]
    columns = pd.DataFrame(np.zeros((4, len(names))), columns=names)
    whole = Design(columns, np.zeros(4), np.zeros(4, dtype=np.int8), np.array(list("abcd"), dtype=object))
    assert list_parts(whole) == {
        "all networks": ("logit", "spread", "difference", "zscore", "disagreement"),
        "contrasts": ("difference", "zscore", "disagreement"),
        "spread of views": ("spread",),
        "metadata": ("metadata",),
        "own": ("own",),
    }


def test_a_part_with_all_columns_is_not_left_out():
    def only(*families: str) -> Design:
        X = pd.DataFrame(np.zeros((4, len(families))), columns=[f"{family}.a" for family in families])
        return Design(X, np.zeros(4), np.zeros(4, dtype=np.int8), np.array(list("abcd"), dtype=object))

    assert list_parts(only("metadata")) == {}
    assert list_parts(only("logit")) == {}
    assert list_parts(only("metadata", "patient")) == {"metadata": ("metadata",), "patient": ("patient",)}


def test_without_a_learner_that_uses_all_columns_the_table_is_empty():
    design, stack = make_design(120), recipe("logistic", "mean")
    assert leading_booster(stack) is None
    table = ablate(design, stack, cross_validate(design, stack))
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert list(describe_losses(table, 0.5)) == []


def test_the_leading_booster_is_the_first_of_the_recipe():
    assert leading_booster(recipe("mean", "xgb", "lgbm")) == "xgb"
