"""Which GPUs a machine cannot have, by its device files: seen in no time, before TensorFlow starts."""

import re
import sys
from pathlib import Path

from runtime.errors import InputFault
from runtime.invocation import option

NODES = re.compile(r"nvidia\d+")  # one per GPU
OTHER_DRIVERS = ("kfd", "dxg")  # AMD's, and that of Windows' Linux: their number of GPUs is not in /dev


def check_gpus(devices: str, folder: Path = Path("/dev")) -> None:
    """Raise InputFault if ``devices`` names a GPU that this machine does not have, as far as ``folder`` says.

    TensorFlow decides later; only Linux has such files.
    """
    numbers = [int(number) for number in re.findall(r"\d+", devices)] if devices.startswith("gpu:") else []
    if devices == "mirrored":
        numbers = [0, 1]
    if not numbers or sys.platform != "linux" or any((folder / name).exists() for name in OTHER_DRIVERS):
        return
    count = sum(bool(NODES.fullmatch(path.name)) for path in folder.iterdir())
    if max(numbers) >= count:
        remedy = f"{option('devices', 'auto')} takes those that exist"
        raise InputFault(f"devices = {devices!r}: this machine has {count} GPU(s), numbered from 0; {remedy}")
