"""Tests for features/duplicates.py: which pairs are found, in any view, and which cases they rule out."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features import duplicates
from features.duplicates import conflicts, conflicts_with_any, near_duplicates
from features.perceptual_hash import fingerprint, views_of
from tests.test_perceptual_hash import textured


def hashes(pictures: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = {name: vars(fingerprint(picture)) for name, picture in pictures.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_name")


def smaller(picture: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).resize((150, 110)).save(stream, "JPEG", quality=75)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_smaller_copy_is_found_in_every_view(turns: int, mirrored: bool):
    picture = np.rot90(textured(0), turns)
    copy = smaller(np.ascontiguousarray(picture[:, ::-1] if mirrored else picture))
    pairs = near_duplicates(hashes({"a": textured(0), "b": textured(1), "copy": copy}))
    assert pairs[["first", "second"]].to_numpy().tolist() == [["a", "copy"]]
    assert pairs["distance"].item() <= 30


def test_only_the_given_cases_are_compared():
    table = hashes({"a": textured(0), "same": textured(0), "b": textured(1)})
    assert len(near_duplicates(table)) == 1
    assert near_duplicates(table, table.loc[["a", "b"]]).empty


def test_small_moles_on_plain_skin_are_close_by_hash_but_no_duplicates():
    """A mole that stands alone decides the sign of every frequency; the skin around it tells."""
    rows, columns = np.mgrid[:240, :320]
    mole = 120 * np.exp(-((rows - 111) ** 2 + (columns - 149) ** 2) / 300)
    grains = [np.random.default_rng(seed).normal(0, 8, (24, 32)).astype(np.float32) for seed in (0, 1)]
    skins = [np.asarray(Image.fromarray(grain).resize((320, 240), Image.Resampling.BICUBIC)) for grain in grains]
    one, other = (np.repeat((200 + skin * 0.2 - mole).clip(0, 255).astype(np.uint8)[..., None], 3, 2) for skin in skins)
    table = hashes({"a": one, "b": other, "copy": smaller(one)})
    codes = np.frombuffer(bytes.fromhex("".join(table["hash"])), np.uint8).reshape(-1, 32)
    close = np.concatenate(list(duplicates._close(codes)))
    assert [0, 1] in close[:, :2].tolist()
    assert near_duplicates(table)[["first", "second"]].to_numpy().tolist() == [["a", "copy"]]


def test_pictures_without_any_content_are_not_taken_for_duplicates():
    assert near_duplicates(hashes({"a": np.zeros((50, 50, 3), np.uint8), "b": np.zeros((60, 50, 3), np.uint8)})).empty


def test_the_distance_is_the_least_over_the_eight_views_also_across_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(duplicates, "BLOCK", 4)
    monkeypatch.setattr(duplicates, "CLOSE_BITS", 130)
    codes = np.random.default_rng(0).integers(0, 256, (11, 32), dtype=np.uint8)
    codes[:, 0] &= 0x7F
    expected = {
        (i, j): min(int(np.bitwise_count(view ^ codes[j]).sum()) for view in views_of(codes[i].tobytes()))
        for i in range(11)
        for j in range(i + 1, 11)
    }
    found = {(int(i), int(j)): int(bits) for i, j, bits in np.concatenate(list(duplicates._close(codes)))}
    assert found == expected


def test_no_rows_give_no_pairs():
    assert near_duplicates(hashes({"a": textured(0)})).columns.tolist() == ["first", "second", "distance"]


CASES = pd.DataFrame(
    {"role": ["train", "train", "train", "test", "extra", "extra"], "fold": [0, 1, 1, -1, -1, -1]},
    index=pd.Index(["v0", "t1", "u1", "test", "x", "y"], name="image_name"),
)


def pairs(*names: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(names, columns=["first", "second"]).assign(distance=0)


@pytest.mark.parametrize(
    ("found", "fold", "ruled_out"),
    [
        (pairs(("v0", "t1")), 0, {"t1"}),
        (pairs(("v0", "t1")), 1, {"v0"}),
        (pairs(("t1", "u1")), 0, set()),  # both are trained on, or both validated
        (pairs(("t1", "u1")), 1, set()),
        (pairs(("test", "u1"), ("x", "test")), 0, {"u1", "x"}),
        (pairs(("x", "v0"), ("y", "x")), 0, {"x"}),
        (pairs(("x", "v0")), 1, set()),
    ],
)
def test_what_shows_a_validation_or_test_picture_is_not_trained_on(found: pd.DataFrame, fold: int, ruled_out: set[str]):
    assert conflicts(found, CASES, fold) == ruled_out


def test_a_stage_shared_by_all_folds_sees_no_external_copy_of_any_of_their_pictures():
    assert conflicts_with_any(pairs(("x", "v0"), ("t1", "u1"), ("x", "y")), CASES) == {"x"}
    assert conflicts_with_any(pairs(("test", "y")), CASES) == {"y"}
