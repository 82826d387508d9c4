"""Name the extra of the installation that contains a missing package."""

# Package -> the extra that brings it.
EXTRAS = {
    **dict.fromkeys(("tensorflow", "keras", "efficientnet", "tf2onnx", "onnx", "tensorboard"), "train"),
    "optuna": "train",
    "matplotlib": "paper",
    **dict.fromkeys(("onnxruntime", "fastapi", "uvicorn", "python_multipart", "multipart", "fpdf"), "predict"),
    **dict.fromkeys(("dask", "distributed", "fsspec"), "dask"),
    "dask_jobqueue": "slurm",
    "catboost": "catboost",
    "mlflow": "mlflow",
    **dict.fromkeys(("psutil", "httpx", "playwright"), "dev"),
}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the message for a missing package that an extra contains; None for any other package."""
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return None
    extra = EXTRAS[package]
    return (
        f"this needs the package {package}, which is not installed; install melstack with the extra {extra!r}: "
        f"pip install 'melstack[{extra}]'"
    )
