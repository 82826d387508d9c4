"""Declarations of single options: their help, their default in words, and the checks of their values."""

import math
import re
from collections.abc import Callable

import typer
from typer.models import OptionInfo

DEVICES = "auto, cpu, cpu:2, gpu:0, gpu:0,1, mirrored, workers, tpu"


def setting(
    help_text: str,
    metavar: str | None = None,
    default: str | None = None,
    *,
    min: float | None = None,
    max: float | None = None,
    callback: Callable[..., object] | None = None,
) -> OptionInfo:
    """Return a typer option; the help shows ``default`` as its default value (None: the real one, "": none)."""
    show_default: str | bool = True if default is None else default or False
    option: OptionInfo = typer.Option(
        help=help_text, metavar=metavar, show_default=show_default, min=min, max=max, callback=callback
    )
    return option


def flag(name: str, help_text: str) -> OptionInfo:
    """Return a typer option without a value: True if it is given."""
    option: OptionInfo = typer.Option(name, help=help_text, show_default=False)
    return option


def check_share(value: float | None) -> float | None:
    """Return ``value``, a prevalence or None; raise typer.BadParameter unless it is between 0 and 1."""
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not a share between 0 and 1; 1.76 % is 0.0176")
    return value


def check_address(value: str | None) -> str | None:
    """Return ``value``, a cluster or None; raise typer.BadParameter unless it is an address, a queue or a TOML file."""
    if value is not None and not re.fullmatch(r"\w+://\S+|slurm|pbs|sge|lsf|local|.+\.toml", value):
        raise typer.BadParameter(
            f"{value} is not an address such as tcp://host:8786, slurm, pbs, sge, lsf or a file.toml"
        )
    return value


def check_devices(value: str) -> str:
    """Return ``value``; raise typer.BadParameter unless it has the form of a choice of devices."""
    if not re.fullmatch(r"auto|cpu(:\d+)?|gpu:\d+(,\d+)*|mirrored|workers|tpu", value):
        raise typer.BadParameter(f"{value} is not one of {DEVICES}")
    return value


def check_finite(value: float | None) -> float | None:
    """Return ``value``, a number of GB or None; raise typer.BadParameter if it is infinite or not a number."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number of GB, such as 16 or 0.5")
    return value


def gigabytes(help_text: str) -> OptionInfo:
    """Return a typer option for a number of GB, by default this machine's."""
    return setting(help_text, "GB", "this machine's", min=0, callback=check_finite)
