"""A small version of the benchmark that loads bundles with altered files."""

import subprocess
import sys

import pytest

from tests.sources import ROOT


@pytest.mark.full
def test_no_altered_bundle_ends_or_blocks_its_process() -> None:
    kinds = [word for name in ("lgbm", "xgb", "catboost", "onnx") for word in ("--only", name)]
    line = [sys.executable, "-m", "benchmarks", "fuzz-bundles", "--files", "10", *kinds]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
