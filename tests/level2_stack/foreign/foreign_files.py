"""Six cases and a foreign network's prediction files for them."""

import numpy as np
import pandas as pd

OOF = "image_name,pred\na,0.1\nb,0.6\nc,0.5\nd,0.4\n"
TEST = "image_name,pred\ny,0.2\nx,0.3\n"
FOLDS = "image_name,pred,fold\na,0.1,{}\nb,0.6,{}\nc,0.5,{}\nd,0.4,{}\n"


def small_cases():
    return pd.DataFrame(
        {
            "role": ["train", "train", "extra", "train", "test", "train", "test"],
            "fold": np.array([0, 0, -1, 1, -1, 1, -1], dtype=np.int8),
            "patient_id": ["p", "p", "e", "q", "t", "r", "t"],
            "target": [0.0, 1.0, 1.0, 0.0, np.nan, 1.0, np.nan],
        },
        index=pd.Index(["a", "b", "z", "c", "x", "d", "y"], name="image_name"),
    )


def write_foreign(folder, name="net", oof=OOF, test=TEST):
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, text in (("oof.csv", oof), ("test.csv", test)):
        if text is not None:
            (folder / name / file).write_text(text, encoding="utf-8")
