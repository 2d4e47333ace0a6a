"""What the package offers, and what importing it costs."""

import ast
import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "devise"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = ["devise", *(found.name for found in pkgutil.walk_packages([str(PACKAGE)], "devise."))]

TRAINING_ONLY = {"torch", "torchvision", "timm", "gensim", "llvmlite", "numba", "onnx", "onnxruntime", "nncf", "scipy"}
HEAVY = {"numpy", "torch", "openvino", "rich", "typer", "PIL", "safetensors", "jaxtyping", "simplejpeg"}


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints, in which nothing checks types."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(name: str) -> ModuleType:
    """The module; a test that needs a library which is not installed is skipped."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "devise":
            raise
        pytest.skip(f"{name} needs {error.name}")


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def listed(tree: ast.Module) -> list[str] | None:
    """The names in `__all__`, which must be a plain list of texts."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def defined(tree: ast.Module) -> set[str]:
    """Public functions, classes and aliases of the file's own."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def test_there_are_modules_to_look_at():
    assert len(FILES) > 40
    assert {module_name(file) for file in FILES} == set(MODULES)


FACES = ("devise", *(f"devise.{part}" for part in ("bundle", "evaluation", "model", "pages", "search", "serve")))
"""Packages with public names of their own."""


def homes_of(package: ModuleType) -> dict[str, str]:
    """The module of each public name."""
    homes: dict[str, tuple[str, ...]] = package._HOMES
    return {name: f"{package.__name__}.{module}" for module, names in homes.items() for name in names}


@pytest.mark.parametrize("face", FACES)
def test_names_are_sorted_complete_and_importable(face: str):
    package = importlib.import_module(face)
    assert package.__all__ == sorted(package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)
    assert dir(package) == sorted(package.__all__)
    assert set(homes_of(package)) == set(package.__all__) - {"__version__"}
    for name, home in homes_of(package).items():
        assert getattr(package, name) is getattr(importlib.import_module(home), name)
        assert name in importlib.import_module(home).__all__


@pytest.mark.parametrize("face", FACES)
def test_what_the_type_checker_sees_is_what_there_is(face: str):
    package = importlib.import_module(face)
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert seen == homes_of(package)


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_name_is_an_attribute_error(face: str):
    with pytest.raises(AttributeError, match=f"module '{face}' has no attribute 'nonsense'"):
        _ = importlib.import_module(face).nonsense


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_every_module_lists_what_it_offers(file: Path):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = listed(tree)
    groups = {PACKAGE / "cli" / name for name in ("reproduce", "text", "train")}  # commands with commands below them
    faces = {SOURCE.joinpath(*face.split(".")) for face in FACES}
    if file.name == "__init__.py" and file.parent not in faces | groups:
        assert names is None
        assert len(tree.body) == 1, "a package holds its docstring and nothing else"
        return
    if file.name == "__main__.py":
        return
    assert names is not None, "no __all__"
    assert len(set(names)) == len(names)
    if file.name != "__init__.py" or file.parent in groups:
        assert defined(tree) <= set(names)
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("name", MODULES)
def test_every_listed_name_exists(name: str):
    module = imported(name)
    for listed_name in getattr(module, "__all__", ()):
        assert hasattr(module, listed_name), listed_name


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str):
    failed, _ = doctest.testmod(imported(name))
    assert failed == 0


def test_importing_the_package_imports_nothing_heavy():
    loaded = json.loads(python("import sys, json, devise; print(json.dumps(sorted(sys.modules)))"))
    assert "devise" in loaded
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | TRAINING_ONLY)
    assert [name for name in loaded if name.startswith("devise.")] == ["devise.lazy", "devise.version"]


def test_the_command_line_starts_without_what_it_does_not_need():
    loaded = json.loads(python("import sys, json, devise.cli.app; print(json.dumps(sorted(sys.modules)))"))
    assert not {name.split(".")[0] for name in loaded} & (TRAINING_ONLY | {"openvino", "numpy", "PIL"})


LABEL_ONE = """
import json, sys
import numpy as np
import devise

model = devise.load()
picture = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
answer = model.label(picture, top=3, labels="zedonk: offspring of a zebra and a donkey", explain=True)
print(json.dumps([[guess.label.name for guess in answer.guesses], sorted(sys.modules)]))
"""


def test_labelling_pays_for_no_training():
    if not (PACKAGE / "default_model" / "manifest.json").is_file():
        pytest.skip("the package has no model: build one with python -m tools.default_model")
    guesses, loaded = json.loads(python(LABEL_ONE))
    assert len(guesses) == 3
    assert not {name.split(".")[0] for name in loaded} & TRAINING_ONLY
    assert not [name for name in loaded if name.startswith(("devise.training", "devise.cli"))]
