import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from devise.errors import VectorsError
from devise.text.vectors import WordTable
from devise.text.vectorstore import Precision, read_vector_store, write_vector_store

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
        (None, {"counts": np.array([1])}, "2 words but 2 vectors and 1 count"),
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
    with pytest.raises(VectorsError, match="2 vectors but 1 scales"):
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
