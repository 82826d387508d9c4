"""Find a Cloud TPU, or the TPU of this machine, and connect to it; say at once when there is none."""

import socket
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from runtime.errors import InputFault

NAMED_BY = ("TPU_NAME", "COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS")
CHIPS = ("accel0", "vfio/0")  # device files of a TPU machine, old and new driver
METADATA_SERVER = ("metadata.google.internal", 80)  # is asked for the address of a named TPU
PATIENCE_SECONDS = 3.0  # for an address to answer: TensorFlow would wait for minutes


def tpu_is_configured(environment: Mapping[str, str], devices: Path = Path("/dev")) -> bool:
    """Say whether the environment names a TPU or this machine has one."""
    return bool(_configured(environment, devices))


def tpu_name(asked: str, environment: Mapping[str, str], devices: Path = Path("/dev")) -> str:
    """Return what TensorFlow's resolver takes: ``local``, ``grpc://host:port`` or a Cloud TPU's name.

    ``asked`` is a name, an address with or without ``grpc://``, or nothing for the configured one. Raises InputFault
    when nothing is asked and nothing configured.
    """
    name = asked or _configured(environment, devices)
    if not name:
        raise InputFault(
            f"no TPU is configured: none of {', '.join(NAMED_BY)} is set and this machine has no TPU of its own "
            f"({' or '.join(str(devices / chip) for chip in CHIPS)}); give tpu:<name or grpc address>"
        )
    host, _, port = name.rpartition(":")
    return f"grpc://{name}" if host and port.isdecimal() and "://" not in name else name


def connect_tpu(asked: str, environment: Mapping[str, str]) -> tf.distribute.TPUStrategy:
    """Return the strategy of the TPU that ``asked`` or the environment names; InputFault when it cannot be had."""
    name = tpu_name(asked, environment)
    _check_answer(name)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, OSError, ImportError, tf.errors.OpError) as error:
        first = str(error).splitlines()[0][:200]
        raise InputFault(f"TPU {name!r} cannot be used: {first}") from error


def _configured(environment: Mapping[str, str], devices: Path) -> str:
    named = next((environment[key] for key in NAMED_BY if environment.get(key)), "")
    return named or ("local" if any((devices / chip).exists() for chip in CHIPS) else "")


def _check_answer(name: str) -> None:
    if name == "local":
        return
    host, _, port = name.removeprefix("grpc://").rpartition(":")
    address = (host, int(port)) if name.startswith("grpc://") and port.isdecimal() else METADATA_SERVER
    try:
        socket.create_connection(address, PATIENCE_SECONDS).close()
    except OSError as error:
        where = f"{address[0]}:{address[1]}"
        raise InputFault(f"TPU {name!r}: {where} does not answer within {PATIENCE_SECONDS:.0f} s ({error})") from error
