"""Cases with a target and a diagnosis, and the schemes of training targets."""

import pandas as pd

SCHEMES = ("binary", "diagnosis3", "diagnosis9")
SOFTMAX = ("diagnosis3", "diagnosis9")


def cases(*rows: tuple[float, str | None]) -> pd.DataFrame:
    """Return cases of (target, diagnosis)."""
    table = pd.DataFrame(rows, columns=["target", "diagnosis"])
    return table.set_index(pd.Index([f"case{number}" for number in range(len(rows))], name="image_name"))
