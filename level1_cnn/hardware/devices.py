"""What the machine offers and what follows from it: precision, XLA, distribution, and how inference runs."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import tensorflow as tf

from level1_cnn.experiment import Experiment
from level1_cnn.hardware.batch_size import device_batch, gpu_memory, whole_batch
from level1_cnn.hardware.tpu import connect_tpu, tpu_is_configured
from runtime.errors import InputFault

GRAMMAR = re.compile(r"(auto|cpu(:\d+)?|gpu:\d+(,\d+)*|mirrored|workers|tpu(:.+)?)")
KNOWN = "auto, cpu, cpu:2 (so many logical devices), gpu:0, gpu:0,1, mirrored, workers, tpu, tpu:<name or grpc address>"
PRECISIONS = ((8, "mixed_bfloat16"), (7, "mixed_float16"), (0, "float32"))  # from which compute capability on
TPU_CORE_MEMORY = 16 << 30  # of a v3; nothing tells it before a program runs


@dataclass(frozen=True)
class Plan:
    """How networks run on this machine."""

    kind: str  # 'CPU', 'GPU' or 'TPU'
    xla: bool  # compile training steps: on accelerators only, on a CPU it makes depthwise convolutions ~7 times slower
    precision: str  # Keras' dtype policy
    onnx: bool  # frozen networks predict through ONNX Runtime: 2 to 4 times faster than TensorFlow on a CPU
    batch_size: int  # of inference
    replicas: int = 1  # devices that share a training batch, over all hosts
    workers: int = 1  # hosts
    is_chief: bool = True  # the host that writes; the others only compute
    deterministic: bool = False
    memory: int | None = None  # bytes of one device; None: host memory
    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy)

    @property
    def local_replicas(self) -> int:
        """Return how many of the devices are this host's."""
        return self.replicas // self.workers

    def describe(self) -> str:
        """Return one line for the user."""
        engine = "ONNX Runtime for frozen networks" if self.onnx else "TensorFlow"
        count = f"{self.replicas} x " if self.replicas > 1 else ""
        hosts = f" on {self.workers} hosts" if self.workers > 1 else ""
        exact = ", deterministic (slower; bit-identical on the same hardware only)" if self.deterministic else ""
        xla = "on" if self.xla else "off"
        return f"{count}{self.kind}{hosts}, {self.precision}, XLA {xla}, inference by {engine}{exact}"

    def training_batch(self, experiment: Experiment) -> int:
        """Return the pictures of one optimiser step over all devices: a multiple of accumulation * replicas.

        ``batch_size = "auto"``: what a device holds at this resolution (``memory.device_batch``), times the parts of
        an accumulated batch, times the devices. Raises InputFault for a frozen network, or for a number that does not
        divide into equal parts.
        """
        settings = experiment.training
        if settings.method != "finetune":
            raise InputFault("a frozen network is not trained in batches; give training.method = 'finetune'")
        parts = settings.accumulation * self.replicas
        if settings.batch_size == "auto":
            return parts * device_batch(experiment, self.memory, half=self.precision != "float32")
        return whole_batch(settings.batch_size, settings.accumulation, self.replicas)


def plan_devices(devices: str = "auto", *, deterministic: bool = False) -> Plan:
    """Return the plan for ``devices`` and set Keras' precision to it; an entry point calls this first, and once.

    ``devices``: ``auto`` (several hosts when TF_CONFIG names them, else a TPU if one is configured, else all GPUs, else
    the CPU) or one of ``KNOWN``. ``deterministic`` makes every operation repeatable to the bit on the same hardware
    and software: some operations are slower, and random ones need seeds (ours have them).
    Raises InputFault for an unknown word, a device that is not there, or when TensorFlow has already started.
    """
    if not GRAMMAR.fullmatch(devices):
        raise InputFault(f"devices = {devices!r} is not known; known are: {KNOWN}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    try:
        plan = _plan(_resolve(devices, os.environ), deterministic)
    except RuntimeError as error:  # TensorFlow's devices cannot be changed once it has computed something
        raise InputFault(f"devices = {devices!r} must be chosen before TensorFlow starts: {error}") from error
    keras.mixed_precision.set_global_policy(plan.precision)
    return plan


def distribute(plan: Plan, make_dataset: Callable[[tuple[int, int]], tf.data.Dataset]) -> Any:  # noqa: ANN401
    """Return an iterable of batches for the step, each already on its devices.

    ``make_dataset((count, index))`` returns host ``index``'s share of every global batch: batches of equal length, a
    multiple of ``plan.local_replicas``. They are cut into one piece per device, in order.
    """
    if plan.replicas == 1:
        return make_dataset((1, 0))

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        dataset = make_dataset((context.num_input_pipelines, context.input_pipeline_id))
        if plan.local_replicas == 1:
            return dataset
        rows = dataset.element_spec[-1].shape[0]
        if rows is None or rows % plan.local_replicas:
            found = "unknown length (use drop_remainder=True)" if rows is None else str(rows)
            raise ValueError(f"batches of {found} cannot be cut into {plan.local_replicas} equal pieces")
        return dataset.rebatch(rows // plan.local_replicas, drop_remainder=True)

    return plan.strategy.distribute_datasets_from_function(own)


def split_batch(plan: Plan, batch: Any) -> Any:  # noqa: ANN401
    """Return this host's ``batch`` of tensors cut into one piece per device of its own; leave other batches alone."""
    leaves = tf.nest.flatten(batch)
    if plan.local_replicas == 1 or isinstance(leaves[0], tf.distribute.DistributedValues):
        return batch
    rows = len(leaves[0]) // plan.local_replicas
    if len(leaves[0]) % plan.local_replicas:
        raise ValueError(f"a batch of {len(leaves[0])} cannot be cut into {plan.local_replicas} equal pieces")

    def piece(context: tf.distribute.experimental.ValueContext) -> Any:  # noqa: ANN401
        first = context.replica_id_in_sync_group % plan.local_replicas * rows
        return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf[first : first + rows]), batch)

    return plan.strategy.experimental_distribute_values_from_function(piece)


def _resolve(devices: str, environment: Mapping[str, str]) -> str:
    """Return what ``auto`` stands for on this machine; everything else stays."""
    if devices != "auto":
        return devices
    if len(_hosts(environment)) > 1:
        return "workers"
    if tpu_is_configured(environment):
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
        found = Plan("TPU", True, "mixed_bfloat16", False, 128, replicas, hosts, True, deterministic, TPU_CORE_MEMORY)
        return _with_strategy(found, strategy)
    if word == "workers":
        return _workers_plan(deterministic)
    return _gpu_plan(None if word == "mirrored" else [int(index) for index in rest.split(",")], deterministic)


def _cpu_plan(count: int, deterministic: bool) -> Plan:
    if count < 1:
        raise InputFault("devices = 'cpu:0'; the number counts logical devices, 1 or more")
    _hide_gpus()
    plan = Plan("CPU", False, "float32", True, 32, count, deterministic=deterministic)
    if count == 1:
        return plan
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return _with_strategy(plan, tf.distribute.MirroredStrategy([f"/cpu:{index}" for index in range(count)]))


def _gpu_plan(indices: Sequence[int] | None, deterministic: bool) -> Plan:
    """Return the plan of the GPUs ``indices``; None means all, two at least."""
    found = tf.config.list_physical_devices("GPU")
    wanted = range(max(2, len(found))) if indices is None else sorted(set(indices))
    missing = [index for index in wanted if index >= len(found)]
    if missing:
        hint = "; to try several devices without a GPU: cpu:2"
        raise InputFault(f"GPU {missing[0]} is not there: TensorFlow finds {len(found)} GPU(s) on this machine{hint}")
    gpus = [found[index] for index in wanted]
    tf.config.set_visible_devices(gpus, "GPU")
    plan = _one_gpu(gpus, deterministic)
    if len(gpus) == 1:
        return plan
    return _with_strategy(plan, tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(len(gpus))]))


def _one_gpu(gpus: Sequence[tf.config.PhysicalDevice], deterministic: bool) -> Plan:
    """Return the plan of the weakest of ``gpus``, for as many as they are."""
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min(detail.get("compute_capability", (0, 0))[0] for detail in details)
    # TensorFlow and the driver count the same visible GPUs in the same order.
    memory = min(gpu_memory(int(gpu.name.rsplit(":", 1)[1])) for gpu in gpus)
    precision = gpu_precision(capability)
    return Plan("GPU", True, precision, False, 64, len(gpus), deterministic=deterministic, memory=memory)


def gpu_precision(capability: int) -> str:
    """Return the dtype policy for a CUDA compute capability's first number: what its matrix units multiply fast."""
    return next(precision for least, precision in PRECISIONS if capability >= least)


def _workers_plan(deterministic: bool) -> Plan:
    hosts = _hosts(os.environ)
    if not hosts:
        raise InputFault(
            "devices = 'workers', but TF_CONFIG names no workers; every host sets it, for example to "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
        )
    gpus = tf.config.list_physical_devices("GPU")
    base = _one_gpu(gpus, deterministic) if gpus else _cpu_plan(1, deterministic)
    kind = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(implementation=kind.NCCL if gpus else kind.RING)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    task = strategy.cluster_resolver
    chief = task.task_type == "chief" or ("chief/0" not in hosts and (task.task_type, task.task_id) == ("worker", 0))
    plan = Plan(base.kind, base.xla, base.precision, base.onnx, base.batch_size, 1, len(hosts), chief, deterministic)
    return _with_strategy(plan, strategy, base.memory)


def _hosts(environment: Mapping[str, str]) -> list[str]:
    """Return ``type/index`` of every host that TF_CONFIG names for computing."""
    text = environment.get("TF_CONFIG", "") or "{}"
    try:
        cluster = json.loads(text).get("cluster", {})
    except (json.JSONDecodeError, AttributeError) as error:
        raise InputFault(f"TF_CONFIG is not a JSON object: {text[:80]!r} ({error})") from error
    return [f"{kind}/{i}" for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]


def _with_strategy(plan: Plan, strategy: tf.distribute.Strategy, memory: int | None = None) -> Plan:
    return replace(plan, strategy=strategy, replicas=strategy.num_replicas_in_sync, memory=memory or plan.memory)


def _hide_gpus() -> None:
    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
