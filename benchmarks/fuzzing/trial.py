"""Load and predict with altered bundles, each in a process of its own, and count how the processes end."""

import os
import resource
import shutil
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.fuzzing.bundles import NETWORK, new_cases, write_sound_bundle
from benchmarks.fuzzing.mutations import mutate
from melstack.bundle.loading import Bundle  # here, so that the processes have it already
from melstack.bundle.manifest import CARD, NAME, read_manifest, write_manifest
from runtime.errors import InputFault

SUCCESS, REFUSAL, ERROR = 0, 2, 3  # exit codes of a process; ERROR: an exception that no message explains
OUTCOMES = {SUCCESS: "loaded", REFUSAL: "refused", ERROR: "error"}
CRASH, HANG = "crash", "hang"
MEMORY = 16 * 2**30  # bytes of address space; a file must not take all memory


def count_outcomes(kind: str, files: int, seed: int, seconds: float, failures: Path | None = None) -> Counter[str]:
    """Return how many of ``files`` altered bundles called ``kind`` are loaded, refused, and so on.

    A process that needs more than ``seconds`` counts as one that hangs. Bundles that were neither refused nor loaded
    are copied into ``failures``.
    """
    outcomes: Counter[str] = Counter({name: 0 for name in (*OUTCOMES.values(), CRASH, HANG)})
    random = np.random.default_rng(seed)
    with TemporaryDirectory() as name:
        sound, mutation = Path(name) / "sound", Path(name) / "altered"
        _in_own_process(write_sound_bundle, kind, sound)
        pictures = _pictures(Path(name)) if kind == NETWORK else {}
        if (outcome := try_bundle(sound, pictures, seconds)) != OUTCOMES[SUCCESS]:
            raise RuntimeError(f"{kind}: the sound bundle ends as {outcome}")
        for number in range(files):
            _write_mutation(sound, mutation, kind, random)
            outcome = try_bundle(mutation, pictures, seconds)
            outcomes[outcome] += 1
            _keep_failure(mutation, outcome, failures, f"{kind}_{number}_{outcome}")
    return outcomes


def _keep_failure(mutation: Path, outcome: str, failures: Path | None, name: str) -> None:
    """Copy the bundle into ``failures`` as ``name`` if it was neither loaded nor refused."""
    if failures is not None and outcome not in (OUTCOMES[SUCCESS], OUTCOMES[REFUSAL]):
        shutil.copytree(mutation, failures / name, dirs_exist_ok=True)


def try_bundle(folder: Path, pictures: dict[str, Path], seconds: float) -> str:
    """Load the bundle in ``folder`` in a process of its own and predict four cases; return how the process ends."""
    process = get_context("fork").Process(target=_load_and_predict, args=(folder, pictures))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return HANG
    return OUTCOMES.get(process.exitcode or 0, CRASH)


def _load_and_predict(folder: Path, pictures: dict[str, Path]) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cases, foreign = new_cases()
    try:
        bundle = Bundle.load(folder, threads=1)
        table = bundle.predict(cases, pictures, {name: foreign[name] for name in bundle.foreign_networks}).table
        if pictures:
            bundle.attention(cases, pictures)
        os._exit(SUCCESS if np.isfinite(table["probability"]).all() else ERROR)
    except InputFault:
        os._exit(REFUSAL)
    except BaseException:
        os._exit(ERROR)


def _write_mutation(sound: Path, mutation: Path, kind: str, random: np.random.Generator) -> None:
    """Copy the bundle ``sound`` as ``mutation``, with one file altered, and write the digests again."""
    shutil.rmtree(mutation, ignore_errors=True)
    shutil.copytree(sound, mutation)
    files = sorted(path for path in mutation.rglob("*") if path.is_file() and path.name not in (NAME, CARD))
    if kind == NETWORK:
        files = [path for path in files if "networks" in path.parts]
    models = [path for path in files if path.suffix != ".json"] or files
    path = models[random.integers(len(models))] if random.random() < 0.8 else files[random.integers(len(files))]
    manifest = read_manifest(mutation)
    path.write_bytes(mutate(path.read_bytes(), random))
    write_manifest(mutation, manifest)


def _pictures(folder: Path) -> dict[str, Path]:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    paths = {str(name): folder / f"{name}.jpg" for name in new_cases()[0].index}
    for path, picture in zip(paths.values(), pixels, strict=True):
        Image.fromarray(picture).save(path)
    return paths


def _in_own_process(function: object, *arguments: object) -> None:
    """Call ``function`` in a process of its own: one that has fitted models has threads, which a fork does not copy."""
    process = get_context("fork").Process(target=function, args=arguments)  # type: ignore[arg-type]
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{function}: ended with {process.exitcode}")


def outcome_table(outcomes: dict[str, Counter[str]]) -> pd.DataFrame:
    """Return one row per kind of bundle and one column per outcome."""
    return pd.DataFrame(outcomes).T.astype(int)
