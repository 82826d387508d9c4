"""The measure: AUC at home, elsewhere and on drawn cameras, of the heads that every remedy makes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.elsewhere.cameras import CAMERAS, OWN
from benchmarks.elsewhere.remedies import REMEDIES, Remedy
from benchmarks.elsewhere.sets import FOLDS, PictureSet
from benchmarks.elsewhere.sights import LENS, SMALL_CENTRE, WHOLE, Embeddings, Sight
from benchmarks.stacking.study import Study
from level1_cnn.training.linear_head import LinearHead, fit_head
from level2_stack.evaluation.auc import auc
from level2_stack.evaluation.paired import compare
from runtime.progress import say

REGULARISATION = 0.001  # that of the laptop profile
FRAMINGS_BY_CAMERA = {WHOLE, LENS, SMALL_CENTRE}  # framings that are tried on the drawn cameras too


def cameras_study(first: PictureSet, second: PictureSet, embeddings: Embeddings) -> Study:
    """Return a table per direction (home, elsewhere) and one of ``first`` on drawn cameras, a row per remedy.

    At home every picture is predicted by the head that did not see its patient; elsewhere by the mean of the heads.
    """
    tables = {}
    for home, elsewhere in ((first, second), (second, first)):
        title = f"heads of {home.name}, on {elsewhere.name}"
        say(title)
        tables[title] = _direction(home, elsewhere, embeddings)
    title = f"heads of {first.name}, on its own pictures by drawn cameras"
    say(title)
    tables[title] = _by_drawn_cameras(first, embeddings)
    return Study(tables, {})


def _direction(home: PictureSet, elsewhere: PictureSet, embeddings: Embeddings) -> pd.DataFrame:
    at_home, there = pd.DataFrame(index=home.cases.index), pd.DataFrame(index=elsewhere.cases.index)
    there["fitted there"] = _held_out(elsewhere, _features(elsewhere, REMEDIES[0], embeddings))
    for remedy in REMEDIES:
        at_home[remedy.name], there[remedy.name] = _scores(home, elsewhere, remedy, embeddings)
    today = REMEDIES[0].name
    columns = {"home": _against(home, at_home, today), "elsewhere": _against(elsewhere, there, today)}
    rows = [{"remedy": name} | {c: texts.get(name, "") for c, texts in columns.items()} for name in map(str, there)]
    return pd.DataFrame(rows)


def _scores(
    home: PictureSet, elsewhere: PictureSet, remedy: Remedy, embeddings: Embeddings
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log odds of the pictures at home, out of fold, and elsewhere."""
    own, others = (_features(pictures, remedy, embeddings) for pictures in (home, elsewhere))
    if remedy.change is not None:
        own, others = remedy.change(own, others)
    if remedy.needs_labels:
        return _held_out(home, own, (elsewhere, others)), _held_out(elsewhere, others, (home, own))
    heads = list(_heads(home, own, _more_rows(home, remedy, embeddings)))
    return _by_own_head(home, own, heads), np.mean([_log_odds(others, head) for head in heads], axis=0)


def _by_drawn_cameras(home: PictureSet, embeddings: Embeddings) -> pd.DataFrame:
    """Return the AUC on every drawn camera, by the head that did not see the patient, for each remedy."""
    rows = []
    for remedy in REMEDIES:
        if not remedy.works_on_one_picture or not {*remedy.framings} <= FRAMINGS_BY_CAMERA:
            continue
        heads = list(_heads(home, _features(home, remedy, embeddings), _more_rows(home, remedy, embeddings)))
        row: dict[str, str | float] = {"remedy": remedy.name}
        for camera in CAMERAS:
            features = _features(home, remedy, embeddings, camera)
            row[camera] = auc(home.target, _by_own_head(home, features, heads))
        rows.append(row)
    return pd.DataFrame(rows)


def _features(pictures: PictureSet, remedy: Remedy, embeddings: Embeddings, camera: str = OWN) -> np.ndarray:
    sights = (Sight(framing, camera, pooling=remedy.pooling) for framing in remedy.framings)
    return np.concatenate([remedy.layers(embeddings.of(pictures, sight)) for sight in sights], axis=1)


def _more_rows(pictures: PictureSet, remedy: Remedy, embeddings: Embeddings) -> np.ndarray | None:
    if not remedy.augmentation:
        return None
    return remedy.layers(embeddings.of(pictures, Sight(augmentation=remedy.augmentation, pooling=remedy.pooling)))


def _heads(
    pictures: PictureSet,
    features: np.ndarray,
    more: np.ndarray | None = None,
    others: tuple[PictureSet, np.ndarray] | None = None,
) -> Iterator[LinearHead]:
    """Yield one head per fold of ``pictures``, fitted without it, to more rows if they are given."""
    for fold in range(FOLDS):
        is_training = pictures.folds != fold
        rows, target = [features[is_training]], [pictures.target[is_training]]
        if more is not None:
            rows, target = [*rows, more[is_training]], target * 2
        if others is not None:
            times = [max(1, round(len(b) / len(a))) for a, b in ((rows[0], others[1]), (others[1], rows[0]))]
            rows, target = rows * times[0] + [others[1]] * times[1], target * times[0] + [others[0].target] * times[1]
        yield fit_head(np.concatenate(rows), np.concatenate(target), REGULARISATION, np.empty(0))


def _held_out(
    pictures: PictureSet, features: np.ndarray, others: tuple[PictureSet, np.ndarray] | None = None
) -> np.ndarray:
    return _by_own_head(pictures, features, list(_heads(pictures, features, others=others)))


def _by_own_head(pictures: PictureSet, features: np.ndarray, heads: list[LinearHead]) -> np.ndarray:
    """Return the log odds of every picture by the head that was fitted without its fold."""
    each = np.stack([_log_odds(features, head) for head in heads])
    return np.asarray(each[pictures.folds, np.arange(len(features))])


def _log_odds(features: np.ndarray, head: LinearHead) -> np.ndarray:
    return np.asarray(features @ head.weights + head.intercept)


def _against(pictures: PictureSet, scores: pd.DataFrame, today: str) -> dict[str, str]:
    """Return remedy -> its AUC and the difference from that of ``today``, with its interval by patients."""
    pairs = [(name, today) for name in scores if name != today]
    table = compare(pictures.target, scores, pictures.groups, pairs=pairs).set_index("model")
    texts = {
        str(row.Index): f"{row.auc:.3f}, {row.gain:+.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()
    }
    return texts | {today: f"{auc(pictures.target, scores[today].to_numpy()):.3f}"}
