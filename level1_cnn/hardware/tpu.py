"""Find a Cloud TPU, or the TPU of this machine, and connect to it; fail within seconds when there is none."""

import socket
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from runtime.errors import InputFault

VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS")
CHIPS = ("accel0", "vfio/0")  # device files of a machine with a TPU, of the old and the new driver
METADATA_SERVER = ("metadata.google.internal", 80)  # TensorFlow gets the address of a named TPU from it
TIMEOUT_SECONDS = 3.0  # for an address to answer; TensorFlow itself would wait for minutes


def has_tpu(environment: Mapping[str, str], devices: Path = Path("/dev")) -> bool:
    """Return whether the environment names a TPU or this machine has one."""
    return bool(_default_name(environment, devices))


def tpu_name(request: str, environment: Mapping[str, str], devices: Path = Path("/dev")) -> str:
    """Return the name for TensorFlow's resolver: ``local``, ``grpc://host:port`` or the name of a Cloud TPU.

    ``request`` is a name, an address with or without ``grpc://``, or empty for the TPU of the environment or of this
    machine. Raises InputFault when ``request`` is empty and no TPU is found.
    """
    name = request or _default_name(environment, devices)
    if not name:
        raise InputFault(
            f"no TPU is configured: none of {', '.join(VARIABLES)} is set, and this machine has no TPU of its own "
            f"({' or '.join(str(devices / chip) for chip in CHIPS)}); use devices = tpu:<name or grpc address>"
        )
    host, _, port = name.rpartition(":")
    return f"grpc://{name}" if host and port.isdecimal() and "://" not in name else name


def connect_tpu(request: str, environment: Mapping[str, str]) -> tf.distribute.TPUStrategy:
    """Return the strategy of the TPU that ``tpu_name`` selects; raise InputFault when it cannot be used."""
    name = tpu_name(request, environment)
    _check_answer(name)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, OSError, ImportError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputFault(f"TPU {name!r} cannot be used: {reason}") from error


def _default_name(environment: Mapping[str, str], devices: Path) -> str:
    """Return the TPU of the environment, or ``local`` if this machine has one, or an empty text."""
    name = next((environment[key] for key in VARIABLES if environment.get(key)), "")
    return name or ("local" if any((devices / chip).exists() for chip in CHIPS) else "")


def _check_answer(name: str) -> None:
    if name == "local":
        return
    host, _, port = name.removeprefix("grpc://").rpartition(":")
    address = (host, int(port)) if name.startswith("grpc://") and port.isdecimal() else METADATA_SERVER
    try:
        socket.create_connection(address, TIMEOUT_SECONDS).close()
    except OSError as error:
        server = f"{address[0]}:{address[1]}"
        raise InputFault(
            f"TPU {name!r}: {server} does not answer within {TIMEOUT_SECONDS:.0f} s ({error}); "
            "check the name and that the TPU runs"
        ) from error
