"""The engine is imported without telling anybody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
