"""Which extra of the installation brings a package that is missing."""

# Package -> the extra that brings it.
EXTRAS = {
    **dict.fromkeys(("tensorflow", "keras", "efficientnet", "tf2onnx", "onnx", "tensorboard"), "train"),
    **dict.fromkeys(("optuna", "matplotlib"), "train"),
    **dict.fromkeys(("onnxruntime", "fastapi", "uvicorn", "python_multipart", "multipart", "fpdf"), "predict"),
    **dict.fromkeys(("dask", "distributed", "fsspec"), "dask"),
    "catboost": "catboost",
    "mlflow": "mlflow",
    **dict.fromkeys(("psutil", "httpx", "playwright"), "dev"),
}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the message for a package that an extra brings; None for any other package."""
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return None
    extra = EXTRAS[package]
    return (
        f"this needs the package {package}, which is not installed; install melstack with the extra {extra!r}: "
        f"pip install 'melstack[{extra}]'"
    )
