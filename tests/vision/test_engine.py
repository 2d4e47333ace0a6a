"""The engine is imported without telling anybody."""

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
IMPORT = """
import sys
from devise.vision.engine import import_openvino
assert import_openvino() is sys.modules["openvino"] is import_openvino()
assert "openvino_telemetry" not in sys.modules
"""
SILENT = {"CI", "TF_BUILD", "JENKINS_URL"}  # with these set it would be silent anyway


def test_nothing_is_written_to_the_home_and_no_telemetry_is_loaded(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name not in SILENT}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", IMPORT], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_there_already_is_given():
    import openvino

    from devise.vision.engine import import_openvino

    assert import_openvino() is openvino
