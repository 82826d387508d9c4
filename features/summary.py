"""A case table in a few sentences."""

import pandas as pd


def describe_cases(cases: pd.DataFrame) -> list[str]:
    """Return sentences about a case table: counts per role and fold, pictures, missing metadata."""
    return [_role_line(part, str(role)) for role, part in cases.groupby("role", sort=False)] + [_fold_line(cases)]


def _role_line(part: pd.DataFrame, role: str) -> str:
    malignant = f", {int(part['target'].sum())} malignant" if part["target"].notna().any() else ""
    pictures = int(part["picture"].notna().sum()) if "picture" in part else 0
    return (
        f"{role}: {len(part)} cases{malignant}, {part['patient_id'].nunique()} patients, "
        f"{pictures} with a picture{_missing(part)}"
    )


def _missing(part: pd.DataFrame) -> str:
    quiet = {"target", "picture", "width", "height", "file_bytes", "diagnosis", "benign_malignant"}
    counts = part.drop(columns=quiet, errors="ignore").isna().sum()
    lacking = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"; missing {lacking}" if lacking else ""


def _fold_line(cases: pd.DataFrame) -> str:
    train = cases[cases["role"] == "train"]
    sizes, malignant = train.groupby("fold").size(), train.groupby("fold")["target"].sum().astype(int)
    listed = ", ".join(f"{fold}: {sizes[fold]}/{malignant[fold]}" for fold in sizes.index)
    return f"folds (cases/malignant): {listed}"
