"""Tests for views.py: symmetries form a group, zooms and shifts change the picture by their numbers."""

import numpy as np
import pytest
from PIL import Image

from level1_cnn import experiment
from level1_cnn.views import SYMMETRIES, apply_view, check_views
from runtime.errors import InputFault

ALL = (*SYMMETRIES, "zoom:1.2", "zoom:0.8", "shift:0.1:-0.05")


def pictures(count: int = 4, side: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.float32)


def smooth(side: int = 40) -> np.ndarray:
    """Return a picture (1, side, side, 3) with structures of several pixels, as in a photograph."""
    small = np.random.default_rng(1).integers(50, 206, (side // 4, side // 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))[np.newaxis]


def zoom_by_pillow(picture: np.ndarray, factor: float) -> np.ndarray:
    """Crop about the centre, with reflection beyond the edges, and resize to the old side."""
    side = len(picture)
    canvas = np.pad(picture, ((side, side), (side, side), (0, 0)), mode="reflect")
    start, end = 1.5 * side - side / factor / 2, 1.5 * side + side / factor / 2
    image = Image.fromarray(canvas)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=(start, start, end, end)))


def as_bytes(view: np.ndarray) -> bytes:
    return np.ascontiguousarray(view).tobytes()


def test_the_default_views_of_a_model_are_the_eight_symmetries() -> None:
    assert experiment.SYMMETRIES == SYMMETRIES
    check_views(SYMMETRIES, "model.toml")


def test_the_symmetries_are_eight_different_views_and_the_first_is_the_unchanged_picture() -> None:
    views = [apply_view(pictures(), name) for name in SYMMETRIES]
    np.testing.assert_array_equal(views[0], pictures())
    assert len(set(map(as_bytes, views))) == 8


@pytest.mark.parametrize("first", SYMMETRIES)
def test_the_symmetries_form_a_group(first: str) -> None:
    """After any first symmetry, the eight second ones give each of the eight symmetries exactly once."""
    names = {as_bytes(apply_view(pictures(), name)): name for name in SYMMETRIES}
    products = [as_bytes(apply_view(apply_view(pictures(), first), second)) for second in SYMMETRIES]
    assert {names[product] for product in products} == set(SYMMETRIES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("transpose", [[1, 3], [2, 4]]),
        ("mirror", [[2, 1], [4, 3]]),
        ("rotate90", [[3, 1], [4, 2]]),
        ("flip", [[3, 4], [1, 2]]),
        ("rotate270", [[2, 4], [1, 3]]),
        ("rotate180", [[4, 3], [2, 1]]),
        ("antitranspose", [[4, 2], [3, 1]]),
    ],
)
def test_a_symmetry_moves_pixels_as_its_name_says(name: str, expected: list[list[int]]) -> None:
    square = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    assert apply_view(square, name)[0, ..., 0].tolist() == expected


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_view_keeps_shape_and_type_and_does_the_same_with_every_picture(name: str, kind: type) -> None:
    batch = pictures().astype(kind)
    view = apply_view(batch, name)
    assert (view.shape, view.dtype) == (batch.shape, batch.dtype)
    np.testing.assert_array_equal(view[2:3], apply_view(batch[2:3], name))


@pytest.mark.parametrize("factor", [1.2, 1.37, 2.0, 0.8, 0.5])
def test_a_zoom_is_an_antialiased_resize_of_the_central_crop(factor: float) -> None:
    picture = smooth()
    view = apply_view(picture, f"zoom:{factor}")[0].astype(int)
    difference = np.abs(view - zoom_by_pillow(picture[0], factor).astype(int))
    assert difference.max() <= 1  # Pillow rounds between its two passes


def test_shrinking_a_fine_pattern_gives_its_mean_without_aliasing() -> None:
    stripes = np.zeros((1, 32, 32, 3), np.float32)
    stripes[:, :, ::2] = 200
    assert np.ptp(apply_view(stripes, "zoom:0.5")[:, 4:-4, 4:-4]) < 20


def test_a_zoom_does_not_change_a_flat_picture_and_keeps_values_between_0_and_255() -> None:
    np.testing.assert_allclose(apply_view(np.full((1, 20, 20, 3), 77, np.float32), "zoom:0.9"), 77, rtol=1e-5)
    checks = (np.indices((20, 20)).sum(axis=0) // 3 % 2 * 255).astype(np.float32)
    view = apply_view(np.repeat(checks[np.newaxis, ..., np.newaxis], 3, axis=-1), "zoom:1.7")
    assert view.min() >= 0
    assert view.max() <= 255


def test_a_shift_moves_right_and_down_by_whole_pixels_and_reflects() -> None:
    line = np.arange(10, dtype=np.float32)
    picture = np.repeat(line[np.newaxis, :], 10, axis=0).reshape(1, 10, 10, 1)
    assert apply_view(picture, "shift:0.2:0.3")[0, 0, :, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert apply_view(picture, "shift:-0.2:0")[0, 0, :, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 8, 7]
    upright = picture.transpose(0, 2, 1, 3)
    assert apply_view(upright, "shift:0:0.2")[0, :, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]


def test_the_unchanged_picture_with_several_zooms_and_shifts_is_accepted() -> None:
    check_views(("identity", "zoom:1.2", "zoom:0.8", "shift:0.1:-0.05", "shift:0.1:0.05"), "model.toml")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("identity", "miror"), "'miror' is not a view; did you mean 'mirror'"),
        (("identity", "zom:1.2"), "'zom:1.2' is not a view; did you mean 'zoom'"),
        (("mirror",), "'identity' is missing; add it, the unchanged picture must be among the views"),
        ((), "'identity' is missing"),
        (("identity", "mirror", "mirror"), r"one view several times: 2 \(mirror, mirror\)"),
        (("identity", "zoom:1.2", "zoom:1.20"), r"one view several times: 2 \(zoom:1.2, zoom:1.20\)"),
        (("identity", "zoom:9"), "'zoom:9': a zoom is written zoom:factor, each number from 0.5 to 2.0"),
        (("identity", "zoom:nan"), "'zoom:nan': a zoom is written"),
        (("identity", "zoom"), "'zoom': a zoom is written"),
        (("identity", "shift:0.1"), "'shift:0.1': a shift is written shift:right:down, each number from -0.5 to 0.5"),
        (("identity", "zoom:1.0"), "'zoom:1.0' is the unchanged picture; write 'identity'"),
        (("identity", "shift:0:0"), "'shift:0:0' is the unchanged picture"),
    ],
)
def test_unknown_repeated_or_out_of_range_views_and_a_missing_identity_are_refused(
    names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputFault, match=message) as fault:
        check_views(names, "model.toml")
    assert str(fault.value).startswith("model.toml: views")


def test_all_faults_of_a_list_are_in_one_message() -> None:
    with pytest.raises(InputFault, match=r"model\.toml: views: 3 faults"):
        check_views(("mirror", "zoom:0", "turn"), "model.toml")
