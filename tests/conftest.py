"""Turns on the checking of array types, and finds the data that is not part of the project."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

pytest_plugins = ["commandline", "smallmodel", "towermodel"]

_SOURCE = Path(__file__).parents[1] / "src"
_WITH_ARRAYS = [
    ".".join(path.relative_to(_SOURCE).with_suffix("").parts)
    for path in sorted(_SOURCE.rglob("*.py"))
    if "devise.arrays" in path.read_text(encoding="utf-8")
]  # a check of each call is slow, and mypy knows the types of the rest
install_import_hook(_WITH_ARRAYS, "beartype.beartype")

# Started in the background by a shell, we and our children would be deaf to Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is no failure: examples have no deadline.
settings.register_profile("devise", deadline=None)
settings.load_profile("devise")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data: $DEVISE_SHARED, or `shared` beside the checkout."""
    folder = Path(os.environ.get("DEVISE_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set DEVISE_SHARED to the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def wordnet_folder() -> Path:
    """WordNet's own files: $WNSEARCHDIR, or where Debian's wordnet-base puts them."""
    folder = Path(os.environ.get("WNSEARCHDIR", "/usr/share/wordnet"))
    if not (folder / "data.noun").is_file():
        pytest.skip(f"no data.noun in {folder}: install wordnet-base or set WNSEARCHDIR")
    return folder
