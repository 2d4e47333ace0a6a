"""Where networks run: OpenVINO without its telemetry, its devices, and CUDA by ONNX Runtime."""

import sys
import threading
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal, get_args

from devise.errors import UsageError

__all__ = [
    "CUDA_PROVIDER",
    "ON_CPU",
    "Device",
    "Machine",
    "Placement",
    "Precision",
    "here",
    "import_openvino",
    "infer",
    "leave_out_conversion",
    "openvino_core",
    "openvino_settings",
    "settled",
]

Device = Literal["auto", "cpu", "gpu", "npu", "cuda"]
Precision = Literal["auto", "f32", "bf16"]

CUDA_PROVIDER = "CUDAExecutionProvider"
_CAPABILITIES, _BF16 = "OPTIMIZATION_CAPABILITIES", "BF16"

_TELEMETRY = "openvino_telemetry"
_CONVERSION = "openvino.tools.ovc"
_one_at_a_time = threading.Lock()  # a second thread must not let the telemetry in while the first still imports
_core: list[Any] = []
_first, _first_is_over = threading.Lock(), threading.Event()


def import_openvino() -> Any:
    """Import the module.

    A plain import would write an identifier into the user's home and report the import to a server, if the package
    `openvino_telemetry` can be imported; this import is blocked meanwhile.
    """
    with _one_at_a_time:
        if "openvino" in sys.modules or _TELEMETRY in sys.modules:
            import openvino

            return openvino
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[_TELEMETRY]
        return openvino


def openvino_core() -> Any:
    """Return the engine of this process, one for all.

    OpenVINO's CPU plugin gives the thread that makes an engine a stack for signals, and its end takes that stack away.
    Engines that do not end in the reverse order leave a stack that is freed, and the next signal, such as SIGTERM,
    crashes the process (2026.4).
    """
    openvino = import_openvino()
    with _one_at_a_time:
        if not _core:
            _core.append(openvino.Core())
        return _core[0]


def leave_out_conversion() -> None:
    """Let `import openvino` skip its tools that convert models, for the rest of this process.

    They are half of its import time, 0.09 s of 0.15 s, and this package never converts by them. Only a process that is
    all ours may do so: elsewhere `openvino.convert_model` would be missing.
    """
    sys.modules.setdefault(_CONVERSION, None)  # type: ignore[arg-type]


def infer(request: Any, values: Any) -> None:
    """Run a request on the values of its one input; the first one of the process runs alone.

    The values are copied into the request's own tensor: a request that once copied and once shared its input broke
    the heap (OpenVINO 2026.4). Without OpenVINO's own way to the copy, a run takes 1 % less core time.

    OpenVINO's Python layer fills a table at its first input, and two threads that do so together deadlock
    (one has the table's guard, the other the interpreter's lock; 2026.4).
    """
    if _first_is_over.is_set():
        _infer(request, values)
        return
    with _first:
        _infer(request, values)
        _first_is_over.set()


def _infer(request: Any, values: Any) -> None:
    tensor = request.get_input_tensor(0)
    if tuple(tensor.shape) != values.shape:  # a network for pictures of any size
        tensor.shape = values.shape
    tensor.data[:] = values
    request.infer()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a network runs and in which numbers; `settled` checks it.

    device: auto is a GPU that OpenVINO finds, else the CPU; cuda runs in ONNX Runtime, all others in OpenVINO.
    precision: bf16 multiplies in bfloat16, on the CPU alone; auto does so where the processor has it.
    """

    device: Device = "cpu"
    precision: Precision = "f32"

    def __post_init__(self) -> None:
        for name, known in (("device", Device), ("precision", Precision)):
            if getattr(self, name) not in get_args(known):
                raise UsageError(f"{name} must be one of {', '.join(get_args(known))}, got {getattr(self, name)!r}")


ON_CPU = Placement()
"""Where all numbers of the docs, and the model's own settings, were made."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One device of this machine. capabilities: as its runtime names them: FP32, BF16, INT8."""

    device: Device
    name: str
    capabilities: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the device as JSON."""
        return asdict(self) | {"capabilities": list(self.capabilities)}


def here() -> tuple[Machine, ...]:
    """Return the devices of this machine: those of OpenVINO, and cuda where ONNX Runtime has it."""
    core = openvino_core()
    found = []
    for full in core.available_devices:
        kind = full.split(".")[0].lower()
        if kind in get_args(Device):
            name, capabilities = (core.get_property(full, key) for key in ("FULL_DEVICE_NAME", _CAPABILITIES))
            known = [str(one) for one in capabilities if kind != "cpu" or one != _BF16 or _runs_bf16()]
            found.append(Machine(kind, str(name).strip(), tuple(known)))
    return (*found, *_cuda())


@cache
def _runs_bf16() -> bool:
    """Return whether the CPU runs a convolution in bfloat16: tried, in 0.04 s.

    OpenVINO names what the processor has, also where `ONEDNN_MAX_CPU_ISA` keeps it from using that.
    """
    import numpy as np

    openvino = import_openvino()
    pixels = openvino.opset13.parameter([1, 32, 4, 4], np.float32)
    weight = openvino.opset13.constant(np.ones((32, 32, 1, 1), np.float32))
    value = openvino.opset13.convolution(pixels, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    network = openvino.Model([value], [pixels], "bf16")
    try:
        openvino_core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    except RuntimeError:
        return False
    return True


def settled(asked: Placement, *, fast: bool = False) -> tuple[Placement, str]:
    """Replace auto by what is here; return it with a line on what was chosen, empty if nothing was left open.

    fast: the network runs in 8-bit integers, which is for the CPU alone.
    UsageError for a device that is not here, and for bf16 where the processor lacks it.
    """
    if asked == ON_CPU:
        return asked, ""
    if fast and (asked.device not in ("auto", "cpu") or asked.precision == "bf16"):
        raise UsageError("--fast runs in 8-bit integers on the CPU: leave out --device and --precision")
    machines = here()
    known = {one.device: one for one in reversed(machines)}
    device = asked.device
    if device == "auto":
        device = "gpu" if "gpu" in known and not fast and asked.precision != "bf16" else "cpu"
    if device not in known:
        extra = " (it needs pip install 'devise-zsl[cuda]' and NVIDIA's driver)" if device == "cuda" else ""
        listed = ", ".join(f"{one.device} ({one.name})" for one in machines)
        raise UsageError(f"--device {device} is not here{extra}: this machine has {listed}")
    has = device == "cpu" and _BF16 in known["cpu"].capabilities
    if asked.precision == "bf16" and not has:
        where = f"{device} runs in f32" if device != "cpu" else f"{known['cpu'].name} has no bf16"
        raise UsageError(f"--precision bf16 is for a CPU with bf16, and {where}: leave it out, or give auto")
    chosen = replace(asked, device=device, precision="bf16" if has and asked.precision != "f32" and not fast else "f32")
    if "auto" not in (asked.device, asked.precision):
        return chosen, ""
    why = "" if asked.precision != "auto" or has or device != "cpu" else "; it has no bf16"
    numbers = "8-bit integers" if fast else "16-bit floats" if device == "npu" else chosen.precision
    return chosen, f"device: {device} ({known[device].name}), {numbers}{why}"


def openvino_settings(place: Placement, streams: int, threads: int | None) -> dict[str, Any]:
    """Return the settings for compiling a network; place: settled, and not cuda."""
    if place.device == "cpu":
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": place.precision, "NUM_STREAMS": streams}
        return settings if threads is None else settings | {"INFERENCE_NUM_THREADS": threads}
    hint = {"PERFORMANCE_HINT": "THROUGHPUT" if streams > 1 else "LATENCY"}
    if place.device == "npu":  # it multiplies in float16 and refuses any other hint
        return hint
    return hint | {"INFERENCE_PRECISION_HINT": place.precision}


def _cuda() -> tuple[Machine, ...]:
    try:
        import onnxruntime
    except ImportError:
        return ()
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return ()
    return (Machine("cuda", f"ONNX Runtime {onnxruntime.__version__}", ("FP32",)),)
