"""Write a clinic of four training and two test cases in the contest's layout, and external cases, and change them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
TRAIN = f"""{HEADER}
a1,p1,male,45,torso,nevus,benign,0
a2,p1,male,45,,melanoma,malignant,1
b1,p2,female,50,torso,melanoma,malignant,1
b2,p2,female,50,torso,unknown,benign,0
"""
TEST = """image_name,patient_id,sex,age_approx,anatom_site_general_challenge
t1,q1,female,30,torso
t2,q1,female,,
"""
SAMPLE = "image_name,target\nt2,0\nt1,0\n"
PICTURES = ("train/a1.jpg", "train/a2.jpg", "train/b1.jpg", "train/b2.jpg", "test/t1.png", "test/t2.png")
Change = Callable[[Path], object]


def draw_picture(path: Path, size: tuple[int, int] = (48, 32), seed: int = 0) -> Path:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def small_clinic(folder: Path) -> Path:
    """Write the clinic into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("train.csv", TRAIN), ("test.csv", TEST), ("sample_submission.csv", SAMPLE)):
        (folder / name).write_text(text)
    for number, name in enumerate(PICTURES):
        draw_picture(folder / "jpeg" / name, seed=number)
    return folder


def write_external(folder: Path, names: tuple[str, ...]) -> Path:
    """Write external cases of one lesion into ``folder``."""
    header = "image_name,lesion_id,sex,age_approx,anatom_site_general_challenge,diagnosis,target\n"
    for name in names:
        draw_picture(folder / "jpeg" / f"{name}.jpg")
    (folder / "train.csv").write_text(header + "".join(f"{name},L,male,50,torso,nevus,0\n" for name in names))
    return folder


def edit_file(old: str, new: str, name: str = "train.csv", count: int = -1) -> Change:
    """Return a function that replaces text in a file of the clinic."""

    def change(data: Path) -> None:
        text = (data / name).read_text()
        assert old in text
        (data / name).write_bytes(text.replace(old, new, count).encode())

    return change
