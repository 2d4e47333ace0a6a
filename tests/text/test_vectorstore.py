import io
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from devise.errors import VectorsError
from devise.text import vectorstore
from devise.text.vectors import QuantizedRows, WordTable, decoded
from devise.text.vectorstore import (
    Precision,
    quantize_rows,
    read_vector_store,
    write_tensors,
    write_vector_store,
)

TABLE = WordTable(
    ("snow leopard", "猫", "c"),
    np.array([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0], [3.0, 1.0, -2.0]], dtype=np.float32),
    np.array([7, 5, 1]),
)


@pytest.mark.parametrize(
    ("precision", "allowed"),
    [
        ("float32", 0.0),
        ("float16", 3 * 2.0**-11),
        ("int8", 3 / 127 / 2 * 1.001),
    ],  # half a step of the largest value
)
def test_words_counts_and_vectors_come_back(tmp_path: Path, precision: Precision, allowed: float) -> None:
    path = tmp_path / "t.safetensors"
    write_vector_store(path, TABLE, precision=precision)
    back = read_vector_store(path)
    assert back.words == TABLE.words
    assert back.counts is not None
    assert back.counts.tolist() == [7, 5, 1]
    assert back.vectors.dtype == np.float32
    assert np.abs(back.vectors - TABLE.vectors).max() <= allowed
    part = read_vector_store(path, only=["c"])
    np.testing.assert_array_equal(part.vectors, back.vectors[2:])
    assert part.counts is not None
    assert part.counts.tolist() == [1]


def test_precision_is_what_the_file_holds(tmp_path: Path) -> None:
    for precision, dtype in (("float32", np.float32), ("float16", np.float16), ("int8", np.int8)):
        write_vector_store(tmp_path / "t.safetensors", TABLE, precision=precision)
        held = safetensors.numpy.load_file(tmp_path / "t.safetensors")
        assert held["vectors"].dtype == dtype
        assert bytes(held["words"]).decode() == "snow leopard\n猫\nc"
        assert ("scales" in held) == (precision == "int8")


def test_bytes_do_not_change_from_run_to_run(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from devise.text.vectors import WordTable\n"
        "from devise.text.vectorstore import write_vector_store\n"
        "table = WordTable(('a', 'b'), np.eye(2, dtype=np.float32), np.array([2, 1]))\n"
        "write_vector_store(Path(sys.argv[1]), table, precision='int8')\n"
    )
    files = []
    for seed in ("1", "2"):
        files.append(tmp_path / f"{seed}.safetensors")
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", program, str(files[-1])], check=True, env=environment)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_table_without_counts_or_words(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_vector_store(path, WordTable(("a",), np.ones((1, 2), dtype=np.float32)))
    assert read_vector_store(path).counts is None
    write_vector_store(path, WordTable((), np.ones((0, 2), dtype=np.float32)))
    assert read_vector_store(path).vectors.shape == (0, 2)


def test_value_too_large_for_float16(tmp_path: Path) -> None:
    table = WordTable(("a", "b"), np.array([[1.0], [70_000.0]], dtype=np.float32))
    with pytest.raises(VectorsError, match="'b' is too large for float16"):
        write_vector_store(tmp_path / "t.safetensors", table, precision="float16")
    assert not list(tmp_path.iterdir())


def saved(path: Path, described: Any = None, **changed: Any) -> Path:
    tensors = {
        "words": np.frombuffer(b"a\nb", dtype=np.uint8),
        "vectors": np.ones((2, 2), dtype=np.float32),
        "counts": np.array([2, 1]),
    } | changed
    told = {"format": "devise-word-vectors", "precision": "float32", "version": 1} if described is None else described
    kept = {name: array for name, array in tensors.items() if array is not None}
    path.write_bytes(safetensors.numpy.save(kept, metadata={"devise": json.dumps(told)}))
    return path


def test_file_as_the_tests_save_it_is_read(tmp_path: Path) -> None:
    assert read_vector_store(saved(tmp_path / "t.safetensors")).words == ("a", "b")


@pytest.mark.parametrize(
    ("described", "changed", "message"),
    [
        (
            {"format": "other", "precision": "float32", "version": 1},
            {},
            "does not contain word vectors of devise",
        ),
        ([1], {}, "does not contain word vectors of devise"),
        ({"format": "devise-word-vectors", "precision": "float32", "version": 2}, {}, "version 2 .* reads 1"),
        ({"format": "devise-word-vectors", "precision": "int4", "version": 1}, {}, r"version 1 \(int4\)"),
        ({"format": "devise-word-vectors", "precision": "int8", "version": 1}, {}, "are not those of int8"),
        (None, {"vectors": None}, r"are not those of float32"),
        (None, {"vectors": np.ones((2, 2), dtype=np.float16)}, r"are not those of float32"),
        (None, {"extra": np.ones(1, dtype=np.float32)}, r"are not those of float32"),
        (None, {"counts": np.array([1])}, "2 words but 2 vectors, 1 count: "),
        (None, {"words": np.frombuffer(b"a", dtype=np.uint8)}, "1 word but 2 vectors"),
        (None, {"words": np.frombuffer(b"a\n\xff", dtype=np.uint8)}, "words are not UTF-8"),
        (None, {"words": np.frombuffer(b"a\na", dtype=np.uint8)}, "duplicate word 'a'"),
        (
            None,
            {"vectors": np.full((2, 2), np.nan, dtype=np.float32)},
            "a number in it is not finite",
        ),
    ],
)
def test_files_of_another_form(tmp_path: Path, described: Any, changed: dict[str, Any], message: str) -> None:
    path = saved(tmp_path / "t.safetensors", described, **changed)
    with pytest.raises(VectorsError, match=message) as caught:
        read_vector_store(path)
    assert "t.safetensors" in str(caught.value)


def test_int8_without_a_scale_for_each_row(tmp_path: Path) -> None:
    told = {"format": "devise-word-vectors", "precision": "int8", "version": 1}
    codes, scales = np.ones((2, 2), dtype=np.int8), np.ones(1, dtype=np.float32)
    path = saved(tmp_path / "t.safetensors", told, vectors=codes, scales=scales)
    with pytest.raises(VectorsError, match="2 words but 2 vectors, 1 scale, 2 counts: "):
        read_vector_store(path)


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.safetensors")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(VectorsError, match="is not a whole safetensors file"):
            read_vector_store(path)


def test_header_that_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(VectorsError, match="is not a whole safetensors file"):
        read_vector_store(path)


def test_the_bytes_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorstore, "_PIECE", 64)
    wide = np.arange(240, dtype=np.float32).reshape(12, 20)
    tensors = {
        "words": np.arange(7, dtype=np.uint8),
        "rows": wide[:, :13],
        "b": np.arange(3, dtype=np.int64),
        "a": np.arange(5, dtype=np.int64),
        "codes": np.arange(-4, 4, dtype=np.int8).reshape(2, 4),
        "half": np.ones((2, 3), dtype=np.float16),
        "whole": np.arange(4, dtype=np.int32),
        "nothing": np.zeros((0, 4), dtype=np.float32),
    }
    file = io.BytesIO()
    write_tensors(file, tensors, {"devise": '{"täg": "x"}'})
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    assert file.getvalue() == safetensors.numpy.save(contiguous, metadata={"devise": '{"täg": "x"}'})


def test_a_type_that_is_not_known() -> None:
    with pytest.raises(KeyError, match="complex64"):
        write_tensors(io.BytesIO(), {"a": np.zeros(2, dtype=np.complex64)}, {})


MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(MATRICES)
@example(np.array([[178, -1]], dtype=np.float32) * np.float32(1e-45))  # subnormal: a scale of one step is too small
@example(np.array([[3.4028235e38, 1.0]], dtype=np.float32))
def test_every_value_is_within_half_a_step(rows: np.ndarray) -> None:
    quantized = quantize_rows(rows)
    codes, scales = quantized.codes.astype(np.float64), quantized.scales.astype(np.float64)
    error = np.abs(rows.astype(np.float64) - codes * scales[:, None])
    assert (error <= scales[:, None] / 2 * (1 + 1e-12)).all()  # 1e-12: rounding of this test's float64 sums
    assert (np.abs(codes) <= 127).all()


@given(MATRICES)
def test_coding_again_changes_no_code(rows: np.ndarray) -> None:
    quantized = quantize_rows(rows * np.float32(1e-3))
    back = decoded(quantized)
    assert back.dtype == np.float32
    normal = quantized.scales > 1e-30  # below, the scale itself has too few digits
    np.testing.assert_array_equal(quantize_rows(back).codes[normal], quantized.codes[normal])


def test_codes_by_hand() -> None:
    rows = np.array([[127.0, -63.4, 0.6], [0.0, 0.0, 0.0], [-0.5, 0.25, 0.5]], dtype=np.float32)
    quantized = quantize_rows(rows)
    assert quantized.codes.tolist() == [[127, -63, 1], [0, 0, 0], [-127, 63, 127]]
    assert quantized.scales[:2].tolist() == [1.0, 0.0]
    assert quantized.scales[2] == pytest.approx(0.5 / 127, rel=1e-6)


def test_many_rows_are_coded_as_each_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    together = quantize_rows(rows)
    for row in (0, 16_383, 16_384, 19_999):
        alone = quantize_rows(rows[row : row + 1])
        assert alone.codes.tolist() == together.codes[row : row + 1].tolist()
        assert alone.scales[0] == together.scales[row]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_names_the_row(bad: float) -> None:
    rows = np.zeros((3, 2), dtype=np.float32)
    rows[2, 1] = bad
    with pytest.raises(VectorsError, match="row 2 contains a value that is not finite"):
        quantize_rows(rows)


def test_one_word_is_decoded_without_the_others(tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    rows = np.array([[127.0, -63.5], [0.5, 0.25]], dtype=np.float32)
    write_vector_store(path, WordTable(("a", "b"), rows), precision="int8")
    read = read_vector_store(path)
    assert isinstance(read.rows, QuantizedRows)
    one = read.get("b")
    assert "vectors" not in vars(read)
    np.testing.assert_array_equal(one, read.vectors[1])
    assert read.dim == 2
    assert read.get("c") is None
