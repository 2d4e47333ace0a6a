import ctypes
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("numba")

import llvmlite.binding as llvm
from llvmlite import ir

from devise.text.engine import tiles

ALPHA = 0.3


def compiled(m: int, n: int, lanes: int) -> tuple[Callable[..., None], object]:
    """The step of m contexts and n targets for registers of any width, and what must live as long as it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = ir.Module()
    function = tiles._step(module, m, n, lanes)
    function.linkage = "external"
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    whole = ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, *[whole] * 6, ctypes.c_float, *[whole] * 2)
    return kind(engine.get_function_address(function.name)), (engine, machine)


@pytest.mark.parametrize(("lanes", "m", "n"), [(4, 3, 3), (8, 4, 3), (8, 1, 2), (16, 6, 4), (16, 5, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_a_step_moves_the_rows_as_the_formulas_do(lanes: int, m: int, n: int, shared: bool) -> None:
    rng = np.random.default_rng(lanes + m)
    length = 3 * lanes
    contexts, targets = (rng.normal(size=(count, length)).astype(np.float32) for count in (m, n))
    if shared:  # a table of counts, with pairs that do not meet
        often = np.ones(m, dtype=np.float32)
        times = rng.integers(0, 4, (m, n)).astype(np.float32)
        wanted = np.minimum(times, rng.integers(0, 3, (m, n))).astype(np.float32)
        across = wanted.strides[0]
    else:  # one centre word: all contexts share its labels
        often = rng.integers(1, 4, m).astype(np.float32)
        times, wanted, across = np.ones(n, dtype=np.float32), np.arange(n, dtype=np.float32) % 2, 0
    reference = import_module("reference.skipgram")
    ours, theirs = contexts.astype(float), targets.astype(float)
    weights = often[:, None].astype(float)
    reference.learn(
        ours, theirs, range(m), range(n), weights * times, np.broadcast_to(weights * wanted, (m, n)), ALPHA, (m, n)
    )
    probabilities = 1 / (1 + np.exp(-contexts.astype(float) @ targets.T))
    scores = np.zeros(64, dtype=np.float32)
    places = [np.array([row.ctypes.data for row in rows]) for rows in (contexts, targets)]
    step, alive = compiled(m, n, lanes)
    given = (array.ctypes.data for array in (*places, often, times, wanted))
    step(*given, across, ALPHA, 4 * length, scores.ctypes.data)
    assert alive
    np.testing.assert_allclose(contexts, ours, atol=1e-5)
    np.testing.assert_allclose(targets, theirs, atol=1e-5)
    np.testing.assert_allclose(scores[: m * n].reshape(m, n), probabilities, atol=1e-6)
