"""Options that several commands share, grouped as dataclasses; a command takes whole groups."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from melstack.option_types import check_address, check_devices, check_share, flag, gigabytes, setting
from runtime.errors import InputFault
from runtime.invocation import option

DEMO = Path("data/clinic")
DAILY, CLOSER, MAINTAINING = "Daily", "Looking closer", "Maintaining"

ClusterAddress = Annotated[
    str | None,
    setting(
        "its workers train and fit: a Dask scheduler, tcp://host:8786, or slurm (cluster.toml)",
        "ADDRESS",
        callback=check_address,
    ),
]
MappingFile = Annotated[
    Path | None, setting("TOML that says where things are in DATA", "FILE", "DATA/cases.toml, if it exists")
]
Prevalence = Annotated[
    float | None,
    setting(
        "share of malignant pictures where the probabilities are used", "SHARE", "as in training", callback=check_share
    ),
]
Verbose = Annotated[bool, flag("--verbose", "print every line that the run's log.txt gets")]
PublicKey = Annotated[
    Path | None, setting("public key (PEM) that must have signed the bundle", "FILE", "any key, or none")
]
Threads = Annotated[int | None, setting("threads per network", "N", "all cores", min=1)]


class Memory(Protocol):
    """The settings of a run, as its file has them before and after a command."""

    def changes(self) -> list[str]:
        """Return a line for every setting that the options of this command change."""

    def others(self) -> list[str]:
        """Return a text for every other setting that is not the default."""

    def save(self, names: Collection[str] = ()) -> None:
        """Write the settings to the file of the run: only ``names``, if there are any."""


@dataclass(frozen=True)
class RunOptions:
    """Options for the data folder and the run folder; ``memory``: the run's settings, None without a command line."""

    data: Annotated[Path | None, setting("folder of pictures and CSVs", "FOLDER", f"the demo, {DEMO}")] = None
    run: Annotated[Path | None, setting("folder that keeps everything", "FOLDER", "runs/<name of DATA>")] = None
    verbose: Verbose = False
    memory: Memory | None = None

    @property
    def data_folder(self) -> Path:
        """The data folder; the folder of the demo if none is given."""
        return self.data or DEMO

    @property
    def folder(self) -> Path:
        """The run's folder, by default named after the data folder."""
        return self.run or Path("runs") / self.data_folder.resolve().name

    @contextmanager
    def lock(self, *, create: bool = False) -> Iterator[None]:
        """Refuse a second command on the run; what is printed is in its log.txt too, with more details.

        A missing run folder is made only with ``create``.
        """
        from runtime.command_record import recording
        from runtime.folder_lock import lock_folder
        from runtime.progress import print_details

        if create:
            self._refuse_folder_of_others()
        if not create and not self.folder.is_dir():
            yield
            return
        with print_details(self.verbose), recording(self.folder, lock_folder(self.folder)):
            self._print_settings()
            yield

    def _print_settings(self) -> None:
        """Print which settings of the run this command changes, and which others are not the defaults."""
        from runtime.progress import say

        for line in self.memory.changes() if self.memory else []:
            say(line)
        if self.memory and (others := self.memory.others()):
            say(f"settings of {self.folder}/run.toml: {', '.join(others)}")

    def _refuse_folder_of_others(self) -> None:
        """Raise InputFault if the files of the run would be among the data, or among other runs."""
        run, data = self.folder.resolve(), self.data_folder.resolve()
        if data.is_relative_to(run) or any(run.glob("*/cases.json")):
            remedy = f"name a folder for this run alone, such as {option('run', 'runs/mine')}"
            raise InputFault(f"{self.folder}: holds data or other runs; {remedy}")


@dataclass(frozen=True)
class CasesOptions(RunOptions):
    """Options for the source of the cases and their division into folds."""

    mapping: MappingFile = None
    extra: Annotated[
        list[str] | None, setting("folders of external cases ('a b'): trained on, never validated", "FOLDER", "")
    ] = None
    folds: Annotated[int, setting("number of folds", "N", min=2)] = 5
    folds_by: Annotated[
        str | None,
        setting(
            "column whose values are left out in turn, such as the hospital; at most FOLDS folds", "COLUMN", "none"
        ),
    ] = None
    folds_by_time: Annotated[
        str | None, setting("column of dates or years: folds are at most FOLDS blocks of time", "COLUMN", "none")
    ] = None
    official_folds: Annotated[
        bool, flag("--official-folds", "folds from the contest's patient groups (column tfrecord)")
    ] = False
    fold_seed: Annotated[int, setting("breaks ties between patients", "N")] = 0
    clinic_train: Annotated[int | None, setting("training pictures of the demo", "N", "1000", min=1)] = None
    clinic_test: Annotated[int | None, setting("test pictures of the demo", "N", "400", min=1)] = None
    clinic_seed: Annotated[int | None, setting("seed of the demo", "N", "0")] = None
    accept_finding: Annotated[
        list[str] | None,
        setting("findings ('a b') that stop the run and that you know to be right; they stay warnings", "NAME", ""),
    ] = None
    reset: Annotated[
        list[str] | None, setting("settings of the run ('a b') that return to their defaults", "NAME", "")
    ] = None


@dataclass(frozen=True)
class NetworkOptions:
    """Options for the networks to train and the devices to train them on."""

    profile: Annotated[str, setting("networks: laptop, desktop, external, gpu or tpu", "NAME")] = "laptop"
    models: Annotated[
        list[str] | None,
        setting("only these networks ('a b'): names of any profile, or TOML files", "NAME", "all"),
    ] = None
    devices: Annotated[
        str,
        setting(
            "auto, cpu, cpu:2, gpu:0, gpu:0,1, mirrored (all GPUs), workers (TF_CONFIG), tpu",
            "NAME",
            callback=check_devices,
        ),
    ] = "auto"
    deterministic: Annotated[bool, flag("--deterministic", "the same bytes in every run on one machine; slower")] = (
        False
    )


@dataclass(frozen=True)
class ModelOptions:
    """Options for the one model that a command reads."""

    model: Annotated[str, setting("a model's name, or its TOML file", "NAME")]
    profile: Annotated[str, setting("the profile that is searched for it first", "NAME")] = "laptop"


@dataclass(frozen=True)
class RecipeOptions:
    """The option for the recipe of level two."""

    recipe: Annotated[str, setting("recipe of level two: a built-in name, or a TOML file", "NAME")] = "default"

    @property
    def file(self) -> Path:
        """The recipe's TOML file."""
        from level2_stack.recipe_files import recipe_file

        path = recipe_file(self.recipe)
        if not path.is_file():
            raise InputFault(f"{path}: no such recipe; give a TOML file that exists, or the name of a built-in recipe")
        return path


@dataclass(frozen=True)
class StackOptions(RecipeOptions):
    """Options for the stack: recipe, foreign networks and the deployment prevalence."""

    foreign: Annotated[
        Path | None, setting("other networks' predictions: <network>/oof.csv and test.csv", "FOLDER", "")
    ] = None
    trust: Annotated[
        list[str] | None, setting("networks in FOREIGN ('a b') to admit without confirmed row order", "NAME", "")
    ] = None
    prevalence: Prevalence = None

    def __post_init__(self) -> None:
        """Raise InputFault for a setting without effect."""
        if self.trust and self.foreign is None:
            raise InputFault(
                f"trust = {' '.join(self.trust)!r} has no effect without {option('foreign', 'folder')}, a folder of "
                "other networks' predictions"
            )


@dataclass(frozen=True)
class FreeOptions:
    """Options for the resources of another machine, to plan work there; GB are 10^9 bytes."""

    free_disk: Annotated[float | None, gigabytes("GB of free disk")] = None
    free_memory: Annotated[float | None, gigabytes("GB of free memory")] = None
    free_gpu: Annotated[float | None, gigabytes("GB of memory of one GPU")] = None


@dataclass(frozen=True)
class BundleOptions(RunOptions):
    """Options for the bundle and the data that it is applied to."""

    bundle: Annotated[Path | None, setting("the bundle's folder", "FOLDER", "RUN/bundle")] = None

    @property
    def bundle_folder(self) -> Path:
        """The folder of the bundle, by default the one inside the run folder."""
        return self.bundle or self.folder / "bundle"


def split_names(values: Sequence[str] | None) -> list[str]:
    """Return the names in the values of an option: ``--x a --x b`` and ``--x 'a b'`` both give a and b.

    A value that is an existing path is one name, even with blanks and quotes in it. Raises InputFault for an unclosed
    quote.
    """
    import shlex

    split: list[str] = []
    for value in values or ():
        try:
            split += [value] if Path(value).exists() else shlex.split(value)
        except ValueError as error:
            raise InputFault(f"{value!r}: {error}; put a name with blanks in quotes") from error
    return split


def model_name(model: str) -> str:
    """Return the name of a model that is given by its name or its TOML file."""
    return Path(model).name.removesuffix(".toml")
