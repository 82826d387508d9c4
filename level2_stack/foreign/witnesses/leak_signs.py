"""Signs that an oof.csv holds predictions of training cases: one is a warning, two of different kinds refuse."""

from collections.abc import Collection, Iterator
from itertools import chain

import pandas as pd

from level2_stack.foreign.messages import WARNING
from level2_stack.foreign.witnesses.candidate import Candidate, add_doubt
from level2_stack.foreign.witnesses.leak_figures import LEAST_CLASS, Study

PERFECT_AREA = 0.965  # lowest bound of the AUC; the best networks of the contest have 0.91 to 0.95
HIGH_AREA = 0.93  # AUC that a network may exceed the others with
REMAINDER_AREA = 0.85  # measured: honest networks 0.50 to 0.71, 0.82 beside a much worse one; leaks from 0.89
# What a network knows beyond others that explain half of its scores; measured: honest networks 0.50 to 0.71.
SIMILAR, REMAINDER_OF_SIMILAR = 0.5, 0.78
BEST_FOLD = 5.0  # standard errors; measured: honest networks up to 2.1
TAIL = 0.6  # measured: honest networks from 0.67
AGREEMENT = 1.4  # measured: 1.07 to 1.17, since test scores are means over folds; more for small networks
LIKENESS = 1.25  # the same for pictures of a patient; measured: 1.04 to 1.21
LIKENESS_OUT_OF_FOLD = 1.1
BETWEEN = 0.85  # measured: 1.0 to 1.1
Sign = tuple[str, str]  # its kind, its sentence


def check_signs(
    networks: Collection[Candidate], own: Collection[Candidate], cases: pd.DataFrame, patients: pd.Series,
    trust: Collection[str],
) -> None:  # fmt: skip
    """Look for signs of predictions of training cases in ``networks``, each with the others and ``own`` as witnesses.

    A network with two signs does not testify about the others: the one with most signs is judged first.
    """
    target = cases.loc[cases["role"] == "train", "target"]
    rest = list(networks)
    while rest:
        signs = [_signs(each, [*own, *rest], target, patients, cases["fold"]) for each in rest]
        worst = max(range(len(rest)), key=lambda place: len(signs[place]))
        if len(signs[worst]) < 2:
            break
        _report(rest[worst], signs[worst], rest[worst].name in trust)
        del rest[worst]
    for network, own_signs in zip(rest, signs if rest else (), strict=True):
        _report(network, own_signs, network.name in trust)


def _signs(
    network: Candidate, others: Collection[Candidate], target: pd.Series, patients: pd.Series, folds: pd.Series
) -> dict[str, str]:
    """Return kind -> sentence of the signs of a network."""
    labels = target[network.score("train").dropna().index]
    if min((labels == 0).sum(), (labels == 1).sum()) < LEAST_CLASS:
        return {}
    study = Study(network, [each for each in others if each is not network], target, patients, folds)
    kinds = [_signs_of_diagnosis]
    if "test" in network.parts:
        kinds += [_signs_of_distribution, _signs_of_agreement, _signs_of_patients]
    signs = dict[str, str]()
    for kind, sentence in chain.from_iterable(function(study) for function in kinds):
        signs.setdefault(kind, sentence)
    return signs


def _signs_of_diagnosis(study: Study) -> Iterator[Sign]:
    area, remainder = study.area(), study.area_of_remainder()
    interval = f"{area.value:.4f} [{area.low:.4f}, {area.high:.4f}]"
    if area.low >= PERFECT_AREA:
        yield "near-perfect-separation", f"AUC {interval}, which no network reaches"
    is_far_above = remainder and area.low >= HIGH_AREA and remainder.low >= REMAINDER_AREA
    is_similar = remainder and remainder.low >= REMAINDER_OF_SIMILAR and study.share_of_witnesses() >= SIMILAR
    if remainder and (is_far_above or is_similar):
        yield (
            "auc-far-above",
            f"AUC {interval}; what it has and no other network has AUC {remainder.value:.2f} alone "
            f"[{remainder.low:.2f}, {remainder.high:.2f}]",
        )
    distance = study.best_fold()
    if distance >= BEST_FOLD:
        yield "one-fold", f"malignant cases stand {distance:.1f} standard errors higher in one fold than in the others"


def _signs_of_distribution(study: Study) -> Iterator[Sign]:
    tail = study.tail()
    if tail and tail.high < TAIL:
        yield (
            "distribution-of-scores",
            f"scores far above the other networks' are {tail} times as frequent on test rows as the case mix explains",
        )


def _signs_of_agreement(study: Study) -> Iterator[Sign]:
    likeness, agreement = study.likeness(), study.agreement()
    if likeness.value >= LIKENESS and likeness.low > 1:
        yield "agreement", f"the pictures of a patient are {likeness} times as alike on test rows as out of fold"
    if agreement and agreement.value >= AGREEMENT and agreement.low > (1 + AGREEMENT) / 2:
        yield "agreement", f"on test rows it agrees with other networks {agreement} times as much as on benign cases"


def _signs_of_patients(study: Study) -> Iterator[Sign]:
    likeness, between = study.likeness_out_of_fold(), study.between_patients()
    if likeness.value >= LIKENESS_OUT_OF_FOLD and likeness.low > 1:
        yield (
            "patients-in-folds",
            f"a patient's pictures are {likeness} times as alike out of fold as on test rows",
        )
    if between and between.high < 1 and between.value < BETWEEN:
        yield (
            "patients-in-folds",
            f"it agrees with other networks on rows, but on patients {between} times as much as on test rows",
        )


def _report(network: Candidate, signs: dict[str, str], is_trusted: bool) -> None:
    if not signs:
        return
    sentence = (
        f"[leaky-oof: {', '.join(signs)}] {network.where('train')}: seems to hold predictions of cases that it was "
        f"trained on: {'; '.join(signs.values())}"
    )
    if len(signs) > 1:
        add_doubt(network.findings, f"{sentence}; out-of-fold predictions are expected", is_trusted)
    else:
        network.findings.notes.append(f"{WARNING}{sentence}; check that every row was predicted out of fold")
