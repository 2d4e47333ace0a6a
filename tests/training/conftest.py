"""The slow scorers to check against."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def slow() -> ModuleType:
    """tests/reference/label_space.py, whatever the folder that pytest runs in."""
    path = Path(__file__).parents[1] / "reference" / "label_space.py"
    spec = spec_from_file_location("reference_label_space", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
