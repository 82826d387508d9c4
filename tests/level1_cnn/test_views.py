"""Tests for views.py: symmetries form a group, zooms and shifts do what their numbers say."""

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
    """A picture (1, side, side, 3) with structures of several pixels, as a photograph has them."""
    small = np.random.default_rng(1).integers(50, 206, (side // 4, side // 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))[np.newaxis]


def by_pillow(picture: np.ndarray, factor: float) -> np.ndarray:
    """Crop about the centre, reflecting beyond the edge, and resize back."""
    side = len(picture)
    padded = np.pad(picture, ((side, side), (side, side), (0, 0)), mode="reflect")
    start, end = 1.5 * side - side / factor / 2, 1.5 * side + side / factor / 2
    image = Image.fromarray(padded)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=(start, start, end, end)))


def as_bytes(shown: np.ndarray) -> bytes:
    return np.ascontiguousarray(shown).tobytes()


def test_the_default_views_of_a_model_are_the_eight_symmetries() -> None:
    assert experiment.SYMMETRIES == SYMMETRIES
    check_views(SYMMETRIES, "model.toml")


def test_the_symmetries_are_eight_different_pictures_and_the_first_is_the_picture() -> None:
    shown = [apply_view(pictures(), name) for name in SYMMETRIES]
    np.testing.assert_array_equal(shown[0], pictures())
    assert len(set(map(as_bytes, shown))) == 8


@pytest.mark.parametrize("first", SYMMETRIES)
def test_the_symmetries_form_a_group(first: str) -> None:
    """A view of a view is a view, and each of the eight is reached exactly once."""
    known = {as_bytes(apply_view(pictures(), name)): name for name in SYMMETRIES}
    reached = [as_bytes(apply_view(apply_view(pictures(), first), second)) for second in SYMMETRIES]
    assert {known[one] for one in reached} == set(SYMMETRIES)


@pytest.mark.parametrize(
    ("name", "shown"),
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
def test_a_symmetry_does_what_its_name_says(name: str, shown: list[list[int]]) -> None:
    square = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    assert apply_view(square, name)[0, ..., 0].tolist() == shown


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_view_keeps_shape_and_type_and_treats_every_picture_alike(name: str, kind: type) -> None:
    batch = pictures().astype(kind)
    shown = apply_view(batch, name)
    assert (shown.shape, shown.dtype) == (batch.shape, batch.dtype)
    np.testing.assert_array_equal(shown[2:3], apply_view(batch[2:3], name))


@pytest.mark.parametrize("factor", [1.2, 1.37, 2.0, 0.8, 0.5])
def test_a_zoom_is_an_antialiased_resize_of_the_central_crop(factor: float) -> None:
    picture = smooth()
    shown = apply_view(picture, f"zoom:{factor}")[0].astype(int)
    difference = np.abs(shown - by_pillow(picture[0], factor).astype(int))
    assert difference.max() <= 1  # Pillow rounds between its two passes


def test_shrinking_a_fine_pattern_gives_its_mean_and_no_alias() -> None:
    stripes = np.zeros((1, 32, 32, 3), np.float32)
    stripes[:, :, ::2] = 200
    assert np.ptp(apply_view(stripes, "zoom:0.5")[:, 4:-4, 4:-4]) < 20


def test_a_zoom_leaves_a_flat_picture_flat_and_values_in_their_range() -> None:
    np.testing.assert_allclose(apply_view(np.full((1, 20, 20, 3), 77, np.float32), "zoom:0.9"), 77, rtol=1e-5)
    checks = (np.indices((20, 20)).sum(axis=0) // 3 % 2 * 255).astype(np.float32)
    shown = apply_view(np.repeat(checks[np.newaxis, ..., np.newaxis], 3, axis=-1), "zoom:1.7")
    assert shown.min() >= 0
    assert shown.max() <= 255


def test_a_shift_moves_right_and_down_by_whole_pixels_and_reflects() -> None:
    line = np.arange(10, dtype=np.float32)
    picture = np.repeat(line[np.newaxis, :], 10, axis=0).reshape(1, 10, 10, 1)
    assert apply_view(picture, "shift:0.2:0.3")[0, 0, :, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]
    assert apply_view(picture, "shift:-0.2:0")[0, 0, :, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 8, 7]
    upright = picture.transpose(0, 2, 1, 3)
    assert apply_view(upright, "shift:0:0.2")[0, :, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]


def test_the_original_and_zooms_and_shifts_of_several_sizes_are_accepted() -> None:
    check_views(("identity", "zoom:1.2", "zoom:0.8", "shift:0.1:-0.05", "shift:0.1:0.05"), "model.toml")


@pytest.mark.parametrize(
    ("names", "complaint"),
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
def test_views_that_are_unknown_repeated_out_of_range_or_lack_the_original_are_refused(
    names: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(InputFault, match=complaint) as fault:
        check_views(names, "model.toml")
    assert str(fault.value).startswith("model.toml: views")


def test_all_faults_of_a_list_are_named_together() -> None:
    with pytest.raises(InputFault, match=r"model\.toml: views: 3 fault\(s\)"):
        check_views(("mirror", "zoom:0", "turn"), "model.toml")
