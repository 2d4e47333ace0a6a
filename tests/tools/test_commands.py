"""Every tool has a usage line of one form."""

import ast
from pathlib import Path

import pytest

import tools

MODULES = sorted(
    path.stem for path in Path(tools.__file__).parent.glob("*.py") if path.stem not in ("__init__", "vector_files")
)


@pytest.mark.parametrize("name", MODULES)
def test_a_tool_is_called_by_its_module(name: str):
    assert f'parser("{name}", __doc__)' in (Path(tools.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    assert tools.parser(name, "What it does.").format_usage() == f"usage: python -m tools.{name} [-h]\n"


@pytest.mark.parametrize("name", MODULES)
def test_a_tool_runs_after_all_of_it_is_defined(name: str):
    """Run as a program, a module sees only what stands above its last lines."""
    tree = ast.parse((Path(tools.__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    runs = [
        at for at, node in enumerate(tree.body) if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
    ]
    assert runs in ([], [len(tree.body) - 1])
