"""What pictures cost: bytes per side of some of a folder's pictures, taken evenly over it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.picture_costs import measure_costs
from runtime.errors import InputFault


def draw(folder: Path, count: int) -> Path:
    (folder / "jpeg" / "train").mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "jpeg" / "train" / f"c{number}.jpg", quality=60 + number)
    return folder


def test_a_larger_side_takes_more_bytes_and_the_sources_are_counted_as_they_are(tmp_path: Path) -> None:
    data = draw(tmp_path, 4)
    found = measure_costs(data, [32, 64], 2).set_index("side")
    sizes = [(data / "jpeg" / "train" / f"c{number}.jpg").stat().st_size for number in (0, 2)]
    assert found["pictures"].tolist() == [2, 2]
    assert found["source_bytes"].tolist() == [np.mean(sizes)] * 2
    assert 2 < found.loc[64, "jpeg_bytes"] / found.loc[32, "jpeg_bytes"] < 5
    assert (found[["prepare_ms", "decode_ms"]] > 0).all(axis=None)


def test_a_folder_without_pictures_and_a_torn_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="no training pictures"):
        measure_costs(tmp_path, [32], 3)
    data = draw(tmp_path, 2)
    torn = data / "jpeg" / "train" / "c1.jpg"
    torn.write_bytes(torn.read_bytes()[:300])
    with pytest.raises(InputFault, match=r"^c1: "):
        measure_costs(data, [32], 3)
