"""The inner step of skip-gram in vector instructions: a few context rows against a few target rows.

Numba's loops do not reach it: rows may coincide, so its compiler would not keep them in registers. The step is
therefore written as LLVM code, for any number of lanes, and called from numba functions as `step`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, no_type_check

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["Shape", "shape", "square", "step", "step_code"]

_INT = ir.IntType(64)
_INT32 = ir.IntType(32)
_FLOAT = ir.FloatType()

_LN2_POWERS = tuple(math.log(2) ** k / math.factorial(k) for k in range(7))
"""ln(2)^k / k!: the series of 2^x, good to 1e-7 for |x| <= 1/2."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers in a vector register, and how many context and target rows one step takes at most."""

    lanes: int
    contexts: int
    targets: int


@cache
def shape() -> Shape:
    """Return the shape for this machine: as many products in flight as its registers allow."""
    features = _features()
    # m x n sums, n target rows and one context row must fit in the registers: 32 with AVX-512 and NEON, 16 with AVX.
    # 6 x 4 and 4 x 3 take 0.93 of the time of 4 x 4 and 3 x 3; for others see docs/skip-gram-engine.md.
    if features.get("avx512f"):
        return Shape(lanes=16, contexts=6, targets=4)
    if features.get("avx"):
        return Shape(lanes=8, contexts=4, targets=3)
    return Shape(lanes=4, contexts=4, targets=4) if features.get("neon") else Shape(lanes=4, contexts=3, targets=3)


def _features() -> Mapping[str, bool]:
    """Return what the compiler may use: all that the processor has, or what NUMBA_CPU_FEATURES names (+avx2,...)."""
    asked = numba.config.CPU_FEATURES  # type: ignore[attr-defined]  # set while it is imported
    if not asked:
        features: Mapping[str, bool] = llvmlite.binding.get_host_cpu_features()
        return features
    return {name[1:]: name.startswith("+") for name in asked.split(",")}


def step_code() -> str:
    """The LLVM code of `step` on this machine."""
    made, module = shape(), ir.Module()
    for m in range(1, made.contexts + 1):
        for n in range(1, made.targets + 1):
            _step(module, m, n, made.lanes)
    return str(module)


@intrinsic
@no_type_check
def step(_, contexts, targets, often, times, wanted, across, alpha, length, scores, m, n):
    """Move m context rows and n target rows one step, all products taken before any row moves.

    contexts, targets: address of m (n) addresses of rows. often: address of m float32: how often each context does
    what follows. times, wanted: address of n float32 for each context: how often the two rows meet, and how often of
    these the target is to be predicted. across: bytes from those of one context to those of the next, 0 if all have
    the same. alpha: the size of the step. length: bytes of a row. scores: address where the m x n probabilities are
    put as float32, a context after the other. m, n: from 1 to those of `shape()`.
    """
    whole = types.int64
    signature = types.void(*[whole] * 6, types.float32, *[whole] * 4)

    def code(_target: Any, builder: ir.IRBuilder, _signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        *given, m, n = arguments
        made = shape()
        done = builder.append_basic_block("done")
        # m and n vary from window to window, the registers of a tile do not: one function for each shape.
        switch = builder.switch(builder.add(builder.mul(m, _INT(made.targets + 1)), n), done)
        for tall in range(1, made.contexts + 1):
            for wide in range(1, made.targets + 1):
                case = builder.append_basic_block(f"step{tall}x{wide}")
                switch.add_case(_INT(tall * (made.targets + 1) + wide), case)
                builder.position_at_end(case)
                function = _step(builder.module, tall, wide, made.lanes)
                builder.call(function, given)
                builder.branch(done)
        builder.position_at_end(done)
        return _target.get_dummy_value()

    return signature, code


@intrinsic
@no_type_check
def square(_, row, length):
    """The square of a row's length, of its address and its bytes. Numba's own loop is not in vectors with AVX2."""

    def code(_target: Any, builder: ir.IRBuilder, _signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        row, length = arguments
        lanes = shape().lanes
        products = _products(builder, [row], [row], length, lanes)
        return builder.extract_element(_summed(builder, products, lanes), _INT32(0))

    return types.float32(types.int64, types.int64), code


def _step(module: ir.Module, m: int, n: int, lanes: int) -> ir.Function:
    """The function of `step` for m contexts and n targets."""
    name = f"devise_skipgram_step_{m}x{n}x{lanes}"
    if name in module.globals:
        return module.globals[name]
    kind = ir.FunctionType(ir.VoidType(), [*[_INT] * 6, _FLOAT, _INT, _INT])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")  # inlined in numba's loop, the tile would share its registers with the loop
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    contexts, targets, often, times, wanted, across, alpha, length, scores = function.args
    context = [_load(builder, contexts, _INT, 8 * row) for row in range(m)]
    target = [_load(builder, targets, _INT, 8 * row) for row in range(n)]
    products = _products(builder, context, target, length, lanes)
    weights = [_load(builder, often, _FLOAT, 4 * row) for row in range(m) for _ in range(n)]
    met, positive = _table(builder, times, across, m, n), _table(builder, wanted, across, m, n)
    steps: list[ir.Value] = []
    # The products of a tile fill whole registers, so one sigmoid takes 16 pairs at once (8 with AVX).
    for start in range(0, m * n, lanes):
        found = _sigmoid(builder, _summed(builder, products[start : start + lanes], lanes), lanes)
        _store(builder, found, scores, 4 * start)
        some = slice(start, start + lanes)
        expected = builder.fmul(_packed(builder, met[some], lanes), found)
        off = builder.fsub(_packed(builder, positive[some], lanes), expected)
        by = builder.fmul(_packed(builder, weights[some], lanes), _spread(builder, alpha, lanes))
        scaled = builder.fmul(off, by)
        steps += [_spread_lane(builder, scaled, lane, lanes) for lane in range(min(lanes, m * n - start))]
    _move(builder, context, target, steps, length, lanes)
    builder.ret_void()
    return function


def _products(
    builder: ir.IRBuilder, context: list[ir.Value], target: list[ir.Value], length: ir.Value, lanes: int
) -> list[ir.Value]:
    """For each pair a vector whose sum is the product of the two rows."""
    vector = ir.VectorType(_FLOAT, lanes)

    def part(at: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        right = [_load(builder, builder.add(row, at), vector) for row in target]
        found = []
        for number, row in enumerate(context):
            left = _load(builder, builder.add(row, at), vector)
            for other, value in enumerate(right):
                found.append(_fma(builder, left, value, sums[number * len(right) + other]))
        return found

    # Each row is loaded once per 4 lanes and used m (or n) times: 16 products for 8 loads instead of 32.
    zeros = [ir.Constant(vector, [0.0] * lanes)] * (len(context) * len(target))
    return _loop(builder, length, 4 * lanes, zeros, part)


def _move(
    builder: ir.IRBuilder,
    context: list[ir.Value],
    target: list[ir.Value],
    steps: list[ir.Value],
    length: ir.Value,
    lanes: int,
) -> None:
    """Add to each context row the target rows times their steps, and to each target row the context rows times theirs.

    Each row is read again before it is written, so that no move of a duplicate row is lost.
    """
    vector = ir.VectorType(_FLOAT, lanes)
    n = len(target)

    def part(at: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        right = [_load(builder, builder.add(row, at), vector) for row in target]
        moves: list[ir.Value | None] = [None] * n
        for number, row in enumerate(context):
            where = builder.add(row, at)
            left = moved = _load(builder, where, vector)
            for other in range(n):
                by = steps[number * n + other]
                moved = _fma(builder, by, right[other], moved)
                so_far = moves[other]
                moves[other] = builder.fmul(by, left) if so_far is None else _fma(builder, by, left, so_far)
            _store(builder, moved, where)
        for row, move in zip(target, moves, strict=True):
            where = builder.add(row, at)
            _store(builder, builder.fadd(_load(builder, where, vector), move), where)
        return []

    _loop(builder, length, 4 * lanes, [], part)


def _sigmoid(builder: ir.IRBuilder, x: ir.Value, lanes: int) -> ir.Value:
    """1 / (1 + e^-x), good to 3e-7; x beyond 80 counts as 80."""

    def constant(value: float) -> ir.Constant:
        return ir.Constant(x.type, [value] * lanes)

    # e^-x = 2^rounded 2^rest: the first is written into the bits of a float32's exponent, the second is a series.
    # libm's exp takes one number at a time, and word2vec's table is read one entry at a time.
    whole = ir.VectorType(_INT32, lanes)
    power = builder.fmul(x, constant(-1 / _LN2_POWERS[1]))
    limit = 80 / _LN2_POWERS[1]
    for bound, above in ((limit, "<"), (-limit, ">")):
        power = builder.select(builder.fcmp_ordered(above, power, constant(bound)), power, constant(bound))
    rounded = builder.call(_builtin(builder.module, "rint", x.type, 1), [power])
    rest = builder.fsub(power, rounded)
    series = constant(_LN2_POWERS[-1])
    for factor in _LN2_POWERS[-2::-1]:
        series = _fma(builder, series, rest, constant(factor))
    exponent = builder.add(builder.fptosi(rounded, whole), ir.Constant(whole, [127] * lanes))
    scale = builder.bitcast(builder.shl(exponent, ir.Constant(whole, [23] * lanes)), x.type)
    return builder.fdiv(constant(1.0), _fma(builder, series, scale, constant(1.0)))


def _summed(builder: ir.IRBuilder, vectors: list[ir.Value], lanes: int) -> ir.Value:
    """One vector of the sums of at most `lanes` vectors, by halves: all are added at once."""
    zero = ir.Constant(ir.VectorType(_FLOAT, lanes), [0.0] * lanes)
    # 16 sums of 16 lanes need 15 additions this way; one register after the other they need 16 x 4.
    level = vectors + [zero] * (lanes - len(vectors))
    run = lanes  # lanes in a row that belong to one sum
    while len(level) > 1:
        run //= 2
        near = [lane for lane in range(2 * lanes) if lane // run % 2 == 0]
        far = [lane + run for lane in near]
        level = [
            builder.fadd(_shuffle(builder, one, other, near), _shuffle(builder, one, other, far))
            for one, other in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]


def _table(builder: ir.IRBuilder, address: ir.Value, across: ir.Value, m: int, n: int) -> list[ir.Value]:
    """The m x n numbers at an address, row after row, with so many bytes from row to row."""
    rows = [builder.add(address, builder.mul(across, _INT(row))) for row in range(m)]
    return [_load(builder, row, _FLOAT, 4 * number) for row in rows for number in range(n)]


def _packed(builder: ir.IRBuilder, values: list[ir.Value], lanes: int) -> ir.Value:
    vector: ir.Value = ir.Constant(ir.VectorType(_FLOAT, lanes), [0.0] * lanes)
    for lane, value in enumerate(values):
        vector = builder.insert_element(vector, value, _INT32(lane))
    return vector


def _spread(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    return _spread_lane(builder, _packed(builder, [value], lanes), 0, lanes)


def _spread_lane(builder: ir.IRBuilder, vector: ir.Value, lane: int, lanes: int) -> ir.Value:
    return _shuffle(builder, vector, vector, [lane] * lanes)


def _shuffle(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes))


def _fma(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c, in one instruction where the machine has it."""
    return builder.call(_builtin(builder.module, "fmuladd", c.type, 3), [a, b, c])


def _builtin(module: ir.Module, name: str, vector: ir.VectorType, arguments: int) -> ir.Function:
    kind = ir.FunctionType(vector, [vector] * arguments)
    return module.declare_intrinsic(f"llvm.{name}.v{vector.count}f32", (), kind)


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, offset: int = 0) -> ir.Value:
    at = builder.add(address, _INT(offset)) if offset else address
    return builder.load(builder.inttoptr(at, ir.PointerType(kind)), align=4, typ=kind)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
    at = builder.add(address, _INT(offset)) if offset else address
    builder.store(value, builder.inttoptr(at, ir.PointerType(value.type)), align=4)


def _loop(
    builder: ir.IRBuilder,
    end: ir.Value,
    stride: int,
    carried: list[ir.Value],
    body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """Run the body for 0, stride, ... below the end, which must be above 0; the values it carried at last."""
    before = builder.block
    block = builder.append_basic_block("loop")
    builder.branch(block)
    builder.position_at_end(block)
    at = builder.phi(_INT)
    at.add_incoming(_INT(0), before)
    values = []
    for first in carried:
        value = builder.phi(first.type)
        value.add_incoming(first, before)
        values.append(value)
    results = body(at, values)
    following = builder.add(at, _INT(stride))
    at.add_incoming(following, builder.block)
    for value, result in zip(values, results, strict=True):
        value.add_incoming(result, builder.block)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", following, end), block, after)
    builder.position_at_end(after)
    return results
