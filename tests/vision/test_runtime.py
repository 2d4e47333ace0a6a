"""The engine is imported without telling anybody."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devise.errors import UsageError
from devise.vision import runtime
from devise.vision.runtime import Placement, here, openvino_settings, settled

SOURCE = Path(__file__).parents[2] / "src"
IMPORT = """
import sys
from devise.vision.runtime import import_openvino
assert import_openvino() is sys.modules["openvino"] is import_openvino()
assert "openvino_telemetry" not in sys.modules
"""
TOGETHER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from devise.vision.runtime import import_openvino
with ThreadPoolExecutor(8) as pool:
    modules = list(pool.map(lambda _: import_openvino(), range(8)))
assert all(module is sys.modules["openvino"] for module in modules)
assert "openvino_telemetry" not in sys.modules
"""
MEASURED = """
import sys
from devise.errors import UsageError
from devise.model.parts import DEFAULT_BUNDLE
from devise.bundle.bundle import open_bundle
from devise.vision.quantised import measure_bounds
bundle = open_bundle(DEFAULT_BUNDLE)
try:
    measure_bounds(bundle.part_bytes("backbone.onnx"), bundle.preprocessing(), [])
except UsageError:
    assert "openvino" in sys.modules and "openvino_telemetry" not in sys.modules
else:
    raise AssertionError("no photo, no error")
"""
SILENT = {"CI", "TF_BUILD", "JENKINS_URL"}  # with these set it would be silent anyway


@pytest.mark.parametrize("script", [IMPORT, TOGETHER, MEASURED], ids=["alone", "several threads", "measuring bounds"])
def test_nothing_is_written_to_the_home_and_no_telemetry_is_loaded(script: str, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_there_already_is_given():
    import openvino

    from devise.vision.runtime import import_openvino

    assert import_openvino() is openvino


def test_a_process_of_ours_imports_the_engine_without_its_conversion_tools():
    script = """
import sys
from devise.vision.runtime import import_openvino, leave_out_conversion
leave_out_conversion()
engine = import_openvino()
assert not any(name.startswith("openvino.tools.ovc.") for name in sys.modules)
assert "CPU" in engine.Core().available_devices
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


SIGNAL_AFTER_TWO_NETWORKS = """
import os, signal
from devise.model.parts import ModelParts

first, second = ModelParts.open().backbone(), ModelParts.open().backbone()
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("came"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_comes_after_networks_ended_in_the_order_they_began() -> None:
    """With an engine of its own for each network the process ends with a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNAL_AFTER_TWO_NETWORKS], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "came\n"), done.stderr


GPU = {"FULL_DEVICE_NAME": "a GPU", "OPTIMIZATION_CAPABILITIES": ["FP32", "FP16"]}
CPU = {"FULL_DEVICE_NAME": "a CPU ", "OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"]}
CPU_BF16 = CPU | {"OPTIMIZATION_CAPABILITIES": ["FP32", "BF16", "INT8"]}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """OpenVINO as it would be on another machine."""

    def pretend(**devices: dict[str, Any]) -> None:
        core = SimpleNamespace(
            available_devices=[one.replace("_", ".") for one in devices],
            get_property=lambda name, key: devices[name.replace(".", "_")][key],
        )
        monkeypatch.setattr(runtime, "openvino_core", lambda: core)
        monkeypatch.setattr(runtime, "_cuda", lambda: ())
        monkeypatch.setattr(runtime, "_runs_bf16", lambda: True)

    return pretend


@pytest.mark.parametrize(
    ("asked", "fast", "placed", "note"),
    [
        (("cpu", "f32"), False, ("cpu", "f32"), ""),
        (("gpu", "f32"), False, ("gpu", "f32"), ""),
        (("auto", "f32"), False, ("gpu", "f32"), "device: gpu (a GPU), f32"),
        (("auto", "f32"), True, ("cpu", "f32"), "device: cpu (a CPU), 8-bit integers"),
        (("auto", "bf16"), False, ("cpu", "bf16"), "device: cpu (a CPU), bf16"),
        (("cpu", "auto"), False, ("cpu", "bf16"), "device: cpu (a CPU), bf16"),
        (("cpu", "auto"), True, ("cpu", "f32"), "device: cpu (a CPU), 8-bit integers"),
        (("cpu", "bf16"), False, ("cpu", "bf16"), ""),
        (("gpu", "auto"), False, ("gpu", "f32"), "device: gpu (a GPU), f32"),
    ],
)
def test_what_a_placement_becomes(
    machine: Callable[..., None], asked: tuple[Any, Any], fast: bool, placed: tuple[str, str], note: str
):
    machine(CPU=CPU_BF16, GPU_0=GPU, GPU_1=GPU, GNA=GPU)
    found, told = settled(Placement(*asked), fast=fast)
    assert (found.device, found.precision) == placed
    assert told == note
    assert settled(found, fast=fast) == (found, "")


def test_a_processor_without_bf16_stays_in_float32_and_says_so(machine: Callable[..., None]):
    machine(CPU=CPU)
    assert settled(Placement("auto", "auto")) == (Placement(), "device: cpu (a CPU), f32; it has no bf16")
    with pytest.raises(UsageError, match="a CPU has no bf16: leave it out"):
        settled(Placement("cpu", "bf16"))


@pytest.mark.parametrize(
    ("asked", "fast", "message"),
    [
        (("npu", "f32"), False, r"--device npu is not here: this machine has cpu \(a CPU\), gpu \(a GPU\)$"),
        (("cuda", "f32"), False, r"not here \(it needs pip install 'devise-zsl\[cuda\]' and NVIDIA's driver\): this"),
        (("gpu", "bf16"), False, "for a CPU with bf16, and gpu runs in f32"),
        (("gpu", "f32"), True, "--fast runs in 8-bit integers on the CPU"),
        (("cpu", "bf16"), True, "--fast runs in 8-bit integers on the CPU"),
    ],
)
def test_what_is_not_here_is_refused(machine: Callable[..., None], asked: tuple[Any, Any], fast: bool, message: str):
    machine(CPU=CPU_BF16, GPU=GPU)
    with pytest.raises(UsageError, match=message):
        settled(Placement(*asked), fast=fast)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="device must be one of auto, cpu, gpu, npu, cuda, got 'tpu'"):
        Placement("tpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="precision must be one of auto, f32, bf16, got 'f16'"):
        Placement("cpu", "f16")  # type: ignore[arg-type]


def test_settings_of_each_device():
    assert openvino_settings(Placement(), 2, 3) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 2,
        "INFERENCE_NUM_THREADS": 3,
    }
    assert openvino_settings(Placement("cpu", "bf16"), 1, None)["INFERENCE_PRECISION_HINT"] == "bf16"
    assert openvino_settings(Placement("gpu"), 2, 3) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    assert openvino_settings(Placement("npu"), 1, None) == {"PERFORMANCE_HINT": "LATENCY"}


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="the variable is for x86")
def test_a_processor_held_to_avx2_has_no_bf16():
    """OpenVINO says what the processor has, and then cannot compile for it."""
    script = (
        "from devise.vision.runtime import Placement, here, settled; from devise.errors import UsageError\n"
        "assert 'BF16' not in here()[0].capabilities\n"
        "assert settled(Placement('cpu', 'auto'))[0].precision == 'f32'\n"
        "try: settled(Placement('cpu', 'bf16'))\n"
        "except UsageError as error: print(error)"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert "has no bf16: leave it out, or give auto" in done.stdout


def test_the_devices_of_this_machine_begin_with_its_cpu():
    assert here()[0].device == "cpu"
    assert "FP32" in here()[0].capabilities
