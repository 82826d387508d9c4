"""Choose the devices and the settings that depend on them: precision, XLA, distribution, engine of the inference."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import tensorflow as tf

from level1_cnn.experiment import Experiment
from level1_cnn.hardware.batch_size import check_batch_size, device_batch, gpu_memory
from level1_cnn.hardware.tpu import connect_tpu, has_tpu
from runtime.errors import InputFault

GRAMMAR = re.compile(r"(auto|cpu(:\d+)?|gpu:\d+(,\d+)*|mirrored|workers|tpu(:.+)?)")
CHOICES = "auto, cpu, cpu:2 (2 logical devices), gpu:0, gpu:0,1, mirrored, workers, tpu, tpu:<name or grpc address>"
PRECISIONS = ((8, "mixed_bfloat16"), (7, "mixed_float16"), (0, "float32"))  # (lowest compute capability, dtype policy)
TPU_CORE_MEMORY = 16 << 30  # bytes of a TPU v3 core; TensorFlow does not report it before a program runs


@dataclass(frozen=True)
class Plan:
    """The devices on which networks run, and the settings for them."""

    kind: str  # 'CPU', 'GPU' or 'TPU'
    xla: bool  # compile training steps with XLA; only on accelerators: depthwise convolutions on a CPU get ~7x slower
    precision: str  # Keras' dtype policy
    onnx: bool  # frozen networks predict with ONNX Runtime, which on a CPU is 2 to 4 times faster than TensorFlow
    batch_size: int  # for inference
    replicas: int = 1  # devices that share a training batch, on all hosts together
    workers: int = 1  # number of hosts
    is_chief: bool = True  # whether this host writes the results; all other hosts only compute
    deterministic: bool = False
    memory: int | None = None  # bytes of one device; None for a CPU, which uses the host's memory
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)

    @property
    def local_replicas(self) -> int:
        """Return the number of devices on this host."""
        return self.replicas // self.workers

    def describe(self) -> str:
        """Return a description of the plan in one line."""
        engine = "ONNX Runtime for frozen networks" if self.onnx else "TensorFlow"
        count = f"{self.replicas} x " if self.replicas > 1 else ""
        hosts = f" on {self.workers} hosts" if self.workers > 1 else ""
        exact = ", deterministic (slower; bit-identical on the same hardware only)" if self.deterministic else ""
        xla = "on" if self.xla else "off"
        return f"{count}{self.kind}{hosts}, {self.precision}, XLA {xla}, inference by {engine}{exact}"

    def training_batch(self, experiment: Experiment) -> int:
        """Return the number of pictures in one optimiser step on all devices: a multiple of accumulation * replicas.

        With ``batch_size = "auto"`` it is ``device_batch`` at this resolution times ``accumulation`` times the number
        of devices. Raises InputFault for a frozen network, and for a number that does not split into equal parts.
        """
        settings = experiment.training
        if settings.method != "finetune":
            raise InputFault(
                f"training.method = {settings.method!r} has no training batches; use training.method = 'finetune'"
            )
        parts = settings.accumulation * self.replicas
        if settings.batch_size == "auto":
            return parts * device_batch(experiment, self.memory, half=self.precision != "float32")
        return check_batch_size(settings.batch_size, settings.accumulation, self.replicas)


def plan_devices(devices: str = "auto", *, deterministic: bool = False) -> Plan:
    """Return the plan for ``devices`` and set Keras' precision to it; an entry point calls this once, at its start.

    ``devices`` is one of ``CHOICES``. ``auto`` means several hosts if TF_CONFIG names them, else a TPU if one is
    configured, else all GPUs, else the CPU. With ``deterministic``, every operation gives the same bits on the same
    hardware and software; some operations are slower, and random operations need seeds (ours have them).
    Raises InputFault for an unknown value, for a device that does not exist, and if TensorFlow has already started.
    """
    if not GRAMMAR.fullmatch(devices):
        raise InputFault(f"devices = {devices!r} is unknown; use one of: {CHOICES}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        plan = _plan(_resolve(devices, os.environ), deterministic)
    except RuntimeError as error:  # TensorFlow's devices cannot be changed after its first computation
        raise InputFault(
            f"devices = {devices!r} must be chosen before TensorFlow starts, which has already happened: {error}"
        ) from error
    keras.mixed_precision.set_global_policy(plan.precision)
    return plan


def distribute(plan: Plan, make_dataset: Callable[[tuple[int, int]], tf.data.Dataset]) -> Any:  # noqa: ANN401
    """Return an iterable of batches for the training step, each already on its devices.

    ``make_dataset((count, index))`` returns the part of host ``index`` of every global batch. Its batches must have
    equal lengths, a multiple of ``plan.local_replicas``, because they are split into one piece per device, in order.
    Raises ValueError for other lengths.
    """
    if plan.replicas == 1:
        return make_dataset((1, 0))

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return this host's part of the batches, cut into one piece per local device."""
        dataset = make_dataset((context.num_input_pipelines, context.input_pipeline_id))
        if plan.local_replicas == 1:
            return dataset
        rows = dataset.element_spec[-1].shape[0]
        if rows is None or rows % plan.local_replicas:
            length = "unknown length (use drop_remainder=True)" if rows is None else str(rows)
            raise ValueError(f"batches of {length} cannot be split into {plan.local_replicas} equal pieces")
        return dataset.rebatch(rows // plan.local_replicas, drop_remainder=True)

    return plan.strategy.distribute_datasets_from_function(own)


def split_batch(plan: Plan, batch: Any) -> Any:  # noqa: ANN401
    """Split this host's ``batch`` of tensors into one piece per local device; return a split batch unchanged.

    Raises ValueError unless its length is a multiple of the number of local devices.
    """
    leaves = tf.nest.flatten(batch)
    if plan.local_replicas == 1 or isinstance(leaves[0], tf.distribute.DistributedValues):
        return batch
    rows = len(leaves[0]) // plan.local_replicas
    if len(leaves[0]) % plan.local_replicas:
        raise ValueError(f"a batch of {len(leaves[0])} cannot be split into {plan.local_replicas} equal pieces")

    def piece(context: tf.distribute.experimental.ValueContext) -> Any:  # noqa: ANN401
        """Return the piece of the device that ``context`` names."""
        first = context.replica_id_in_sync_group % plan.local_replicas * rows
        return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf[first : first + rows]), batch)

    return plan.strategy.experimental_distribute_values_from_function(piece)


def _resolve(devices: str, environment: Mapping[str, str]) -> str:
    """Return the choice that ``auto`` means on this machine; return any other value unchanged."""
    if devices != "auto":
        return devices
    if len(_hosts(environment)) > 1:
        return "workers"
    if has_tpu(environment):
        return "tpu"
    gpus = tf.config.list_physical_devices("GPU")
    return "gpu:" + ",".join(str(index) for index in range(len(gpus))) if gpus else "cpu"


def _plan(devices: str, deterministic: bool) -> Plan:
    word, _, rest = devices.partition(":")
    if word == "cpu":
        return _cpu_plan(int(rest or 1), deterministic)
    if word == "tpu":
        strategy = connect_tpu(rest, os.environ)
        hosts = strategy.extended.num_hosts
        replicas = strategy.num_replicas_in_sync
        plan = Plan("TPU", True, "mixed_bfloat16", False, 128, replicas, hosts, True, deterministic, TPU_CORE_MEMORY)
        return _with_strategy(plan, strategy)
    if word == "workers":
        return _workers_plan(deterministic)
    return _gpu_plan(None if word == "mirrored" else [int(index) for index in rest.split(",")], deterministic)


def _cpu_plan(count: int, deterministic: bool) -> Plan:
    if count < 1:
        raise InputFault("devices = 'cpu:0': the number of logical devices must be 1 or more; use cpu")
    _hide_gpus()
    plan = Plan("CPU", False, "float32", True, 32, count, deterministic=deterministic)
    if count == 1:
        return plan
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return _with_strategy(plan, tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(count)]))


def _gpu_plan(indices: Sequence[int] | None, deterministic: bool) -> Plan:
    """Return the plan for the GPUs ``indices``; None means all GPUs, and requires at least two."""
    all_gpus = tf.config.list_physical_devices("GPU")
    numbers = range(max(2, len(all_gpus))) if indices is None else sorted(set(indices))
    missing = [number for number in numbers if number >= len(all_gpus)]
    if missing:
        raise InputFault(
            f"GPU {missing[0]} does not exist: TensorFlow finds {len(all_gpus)} GPU(s) on this machine; "
            "use auto, or cpu:2 to try several devices without a GPU"
        )
    gpus = [all_gpus[number] for number in numbers]
    tf.config.set_visible_devices(gpus, "GPU")
    plan = _plan_of_gpus(gpus, deterministic)
    if len(gpus) == 1:
        return plan
    return _with_strategy(plan, tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(len(gpus))]))


def _plan_of_gpus(gpus: Sequence[tf.config.PhysicalDevice], deterministic: bool) -> Plan:
    """Return a plan for all ``gpus`` with the precision and the memory of the weakest, still without a strategy."""
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min(detail.get("compute_capability", (0, 0))[0] for detail in details)
    # TensorFlow and the driver number the visible GPUs in the same order.
    memory = min(gpu_memory(int(gpu.name.rsplit(":", 1)[1])) for gpu in gpus)
    precision = gpu_precision(capability)
    return Plan("GPU", True, precision, False, 64, len(gpus), deterministic=deterministic, memory=memory)


def gpu_precision(capability: int) -> str:
    """Return the dtype policy that the matrix units support, for the major version of the CUDA compute capability."""
    return next(precision for least, precision in PRECISIONS if capability >= least)


def _workers_plan(deterministic: bool) -> Plan:
    hosts = _hosts(os.environ)
    if not hosts:
        raise InputFault(
            "devices = 'workers', but TF_CONFIG names no workers; set it on every host, for example to "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
        )
    gpus = tf.config.list_physical_devices("GPU")
    base = _plan_of_gpus(gpus, deterministic) if gpus else _cpu_plan(1, deterministic)
    kind = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(implementation=kind.NCCL if gpus else kind.RING)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    task = strategy.cluster_resolver
    chief = task.task_type == "chief" or ("chief/0" not in hosts and (task.task_type, task.task_id) == ("worker", 0))
    plan = Plan(base.kind, base.xla, base.precision, base.onnx, base.batch_size, 1, len(hosts), chief, deterministic)
    return _with_strategy(plan, strategy, base.memory)


def _hosts(environment: Mapping[str, str]) -> list[str]:
    """Return ``type/index`` of every chief and worker in TF_CONFIG."""
    text = environment.get("TF_CONFIG", "") or "{}"
    try:
        cluster = json.loads(text).get("cluster", {})
    except (json.JSONDecodeError, AttributeError) as error:
        raise InputFault(f"TF_CONFIG is not a JSON object: {text[:80]!r} ({error}); correct or unset it") from error
    return [f"{kind}/{i}" for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]


def _with_strategy(plan: Plan, strategy: tf.distribute.Strategy, memory: int | None = None) -> Plan:
    return replace(plan, strategy=strategy, replicas=strategy.num_replicas_in_sync, memory=memory or plan.memory)


def _hide_gpus() -> None:
    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
