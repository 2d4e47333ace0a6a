"""Every kind of file that is read again, damaged in every way: it is read, or one line says why not."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devise.bundle.label_table import decode_label_table, encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest
from devise.bundle.parts import (
    SurgeryMap,
    decode_kernel,
    decode_label_vectors,
    decode_prior,
    decode_surgery,
    encode_kernel,
    encode_label_vectors,
    encode_prior,
    encode_surgery,
)
from devise.errors import DeviseError
from devise.evaluation.record import ImageRecord, Record, ScorerRecord, read_record, write_record
from devise.evaluation.testsets import read_counts
from devise.files import open_tensors, write_json
from devise.labels import Label, LabelSet
from devise.model.candidatefile import read_candidates
from devise.model.labeller import LabelRequest, Model
from devise.search import label_parts
from devise.search.photofacts import PhotoFact
from devise.search.rows import Rows
from devise.search.store import Header, PhotoStore
from devise.space.kernel import KernelConfig, KernelSurgery
from devise.space.prior import Prior
from devise.text import gathering, skipgram
from devise.text.corpus import CorpusTally
from devise.text.vectors import WordTable
from devise.text.vectorstore import read_vector_store, write_vector_store
from devise.training.config import RunConfig, resolve
from devise.vision.featurestore import open_store
from devise.vision.networkfile import check_file

HEADER = Header("small", "ab" * 32, 3, 2)
KERNEL = KernelSurgery(
    KernelConfig(rank=2), np.eye(5, 2, dtype=np.float32), np.eye(2, 4, dtype=np.float32), np.ones((2, 2), np.float32)
)
SCORING = {"conse": {"temperature": 0.5}, "kernel": {**KERNEL.config.to_dict(), "temperature": 0.04}}
MANIFEST = Manifest("small", {}, BackboneFacts("net", 4), LabelSpaceFacts(5, 2, 3), LabelPolicyFacts("any"), SCORING)
IDS = [f"n{number:08}" for number in range(5)]

Read = Callable[[Path], object]


def index_folder(folder: Path) -> PhotoStore:
    pytest.importorskip("pyarrow")
    store = PhotoStore.created(folder, HEADER)
    facts = tuple(PhotoFact(f"/{name}.jpg", 3, 5, bytes(32)) for name in "abc")
    store.append(Rows.blank(facts, 3, 2))
    return store


def header(folder: Path) -> tuple[Path, Read]:
    index_folder(folder)
    return folder / "index.json", lambda file: PhotoStore.opened(file.parent, HEADER).rows()


def part(folder: Path) -> tuple[Path, Read]:
    index_folder(folder)
    return next((folder / "parts").iterdir()), lambda _: PhotoStore.opened(folder, HEADER).rows()


def record(folder: Path) -> tuple[Path, Read]:
    scorer = ScorerRecord(
        5, np.array([[0, 1], [2, 3]]), np.ones((2, 2), np.float32), np.array([1, 0]), np.ones(2, np.float32)
    )
    images = (ImageRecord("a.jpg", IDS[0]), ImageRecord("b.jpg", IDS[1]))
    write_record(Record({"k": 5}, tuple(IDS), tuple(IDS[:2]), images, {"devise": scorer}), folder / "record.json")
    return folder / "record.json", read_record


def text(name: str, content: str, read: Read) -> Callable[[Path], tuple[Path, Read]]:
    def make(folder: Path) -> tuple[Path, Read]:
        (folder / name).write_text(content)
        return folder / name, read

    return make


def data(content: Callable[[], bytes], read: Callable[[bytes], object]) -> Callable[[Path], tuple[Path, Read]]:
    def make(folder: Path) -> tuple[Path, Read]:
        (folder / "file").write_bytes(content())
        return folder / "file", lambda file: read(file.read_bytes())

    return make


def vectors(folder: Path) -> tuple[Path, Read]:
    write_vector_store(folder / "v.safetensors", WordTable(("a", "b"), np.ones((2, 3), np.float32)), precision="int8")
    return folder / "v.safetensors", read_vector_store


def store(folder: Path) -> tuple[Path, Read]:
    np.ones((2, 3), "<f4").tofile(folder / "features.f32")
    (folder / "state.u8").write_bytes(b"\1\1")
    facts = {"version": 1, "key": "k", "weights": "w", "dim": 3, "class_names": ["x"], "truth": [0, 0]}
    (folder / "store.json").write_text(json.dumps({**facts, "names": ["a", "b"], "broken_listing": 0}))
    return folder / "store.json", lambda file: open_store(file.parent)


def network() -> bytes:
    onnx = pytest.importorskip("onnx")
    graph = SimpleNamespace(node=onnx.helper.make_node, value=onnx.helper.make_tensor_value_info)
    inner = onnx.helper.make_graph(
        [graph.node("Conv", ["pixels", "w"], ["features"], kernel_shape=[1, 1])],
        "small",
        [graph.value("pixels", 1, ["N", 3, 4, 4])],
        [graph.value("features", 1, ["N", 3])],
        [onnx.numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")],
    )
    made: bytes = onnx.helper.make_model(inner).SerializeToString()
    return made


LABELS = LabelSet(Label(i, f"name {i}", "", i in IDS[:2], "term") for i in IDS)
FORMATS: dict[str, Callable[[Path], tuple[Path, Read]]] = {
    "index header": header,
    "index part": part,
    "record": record,
    "candidates": text("c.json", json.dumps(IDS), lambda file: read_candidates(str(file))),
    "counts": text("n.json", json.dumps(dict.fromkeys(IDS, 3)), lambda file: read_counts(file, IDS)),
    "settings": text(
        "s.toml", 'rate = 0.1\nepochs = 3\noptimizer = "sgd"\n', lambda file: resolve(RunConfig, file, {})
    ),
    "manifest": data(lambda: MANIFEST.to_json().encode(), Manifest.from_json),
    "label table": data(lambda: encode_label_table(LABELS, IDS[:2]), decode_label_table),
    "map": data(
        lambda: encode_surgery(SurgeryMap(np.ones((3, 4), np.float32))), lambda raw: decode_surgery(raw, MANIFEST)
    ),
    "label vectors": data(
        lambda: encode_label_vectors(np.ones((5, 3), np.float32)), lambda raw: decode_label_vectors(raw, MANIFEST)
    ),
    "kernel": data(lambda: encode_kernel(KERNEL), lambda raw: decode_kernel(raw, MANIFEST)),
    **{
        name: data(
            lambda name=name: encode_prior(Prior(**{name: np.ones(5, np.float32)})),
            lambda raw: decode_prior(raw, MANIFEST),
        )
        for name in ("log_odds", "familiarity")
    },
    "word vectors": vectors,
    "feature store": store,
    "network": data(network, check_file),
}


def checkpoint_facts(folder: Path) -> tuple[Path, Read]:
    """What a checkpoint says of itself, as JSON in a file of its own; it is put in its place to be read."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from devise.training.engine import Progress, load_checkpoint, save_checkpoint

    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(module.parameters())
    saved = folder / "last.safetensors"
    save_checkpoint(saved, "run", Progress(), module.state_dict(), optimizer)
    with open_tensors(saved, "pt") as opened:
        facts = opened.metadata()["devise"]
    (folder / "facts.json").write_text(facts)

    def read(file: Path) -> object:
        tensors = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
        saved.write_bytes(save(tensors, metadata={"devise": file.read_text()}))
        return load_checkpoint(saved, "run", module, optimizer)

    return folder / "facts.json", read


def labels_facts(folder: Path) -> tuple[Path, Read]:
    model = SimpleNamespace(parts=SimpleNamespace(withheld={}, taxonomy=SimpleNamespace(language=None)))
    facts = {"format": "devise labels", "version": 1, "model_sha256": "ab" * 32, "request": {"top": 5}}
    (folder / "_labels.json").write_text(json.dumps(facts))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(label_parts, "header_of", lambda parts: HEADER)
        patched.setattr(label_parts, "_asked", lambda request, withholds: {"top": 5})
        label_parts.open_parts(folder, cast("Model", model), LabelRequest())

    def read(file: Path) -> object:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(label_parts, "header_of", lambda parts: HEADER)
            patched.setattr(label_parts, "_asked", lambda request, withholds: {"top": 5})
            label_parts.open_parts(file.parent, cast("Model", model), LabelRequest())
        return None

    return folder / "_labels.json", read


def training_log(folder: Path) -> tuple[Path, Read]:
    facts = {"format": "devise-skipgram-training", "version": 1, "config": {"dim": 3}, "text": {"a": "b"}}
    (folder / "training.json").write_text(json.dumps(facts))
    return folder / "training.json", lambda file: skipgram._check(file.parent, facts, True)


def corpus_counts(folder: Path) -> tuple[Path, Read]:
    (folder / "a.part").write_text("a cat\n")
    write_json(folder / "a.json", asdict(CorpusTally(documents=1, sentences=1, tokens=2)))
    return folder / "a.json", lambda file: gathering._read_tally(folder / "a.part")


JSON_FILES: dict[str, Callable[[Path], tuple[Path, Read]]] = {
    **{name: FORMATS[name] for name in ("index header", "record", "candidates", "counts", "manifest", "feature store")},
    "checkpoint's facts": checkpoint_facts,
    "facts of labels in parts": labels_facts,
    "log of word vectors": training_log,
    "counts of a part of a corpus": corpus_counts,
}
"""All files of JSON that are read again."""

ODD = st.recursive(
    st.sampled_from([None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, "", "a", "n"])
    | st.sampled_from(["\0", "\ud800", "../x", "n00000001", "9" * 30, "1e999", "seen"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["", "a", "k", "0"]), inner, max_size=3)
    ),
    max_leaves=4,
)
"""Values that stand where another is expected."""


def places(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value in a JSON value stands, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


def changed(value: Any, place: tuple[Any, ...], how: str, odd: Any) -> Any:
    """The value with what stands at `place` replaced, left out, put twice or put one deeper."""
    if not place:
        return [value] if how == "deeper" else odd
    made = copy.deepcopy(value)
    holder = made
    for key in place[:-1]:
        holder = holder[key]
    match how:
        case "drop":
            del holder[place[-1]]
        case "twice" if isinstance(holder, list):
            holder.append(holder[place[-1]])
        case "deeper":
            holder[place[-1]] = [holder[place[-1]]]
        case "more" if isinstance(holder, dict):
            holder["one more"] = odd
        case _:
            holder[place[-1]] = odd
    return made


CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(("replace", "drop", "twice", "deeper", "more", "replace")),
        ODD,
    ),
    min_size=1,
    max_size=3,
)


def try_values(path: Path, read: Read, examples: int) -> None:
    """Values of other types, depth and size in every place of a file of JSON."""
    whole = path.read_bytes()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(CHANGES)
    def judged(changes: list[tuple[float, str, Any]]) -> None:
        value = json.loads(whole)
        for where, how, odd in changes:
            found = places(value)
            value = changed(value, found[int(where * len(found))], how, odd)
        path.write_text(json.dumps(value))
        with np.errstate(all="raise"):
            outcome = told(read, path)
        assert outcome is None or len(outcome.splitlines()) == 1
        assert outcome is None or len(outcome) < 2000

    judged()
    path.write_bytes(whole)


SNIPPETS = (
    b"[" * 2000,
    b"{",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b'"\\ud800"',
    b"9" * 5000,
    b"\xff\xfe",
    bytes(8),
    b"\xff" * 8,
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "drop", "put", "replace")),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
        st.sampled_from(SNIPPETS),
    ),
    min_size=1,
    max_size=3,
)


def damaged(whole: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    for kind, where, number, snippet in edits:
        at = int(where * len(whole))
        match kind:
            case "flip":
                whole = whole[:at] + bytes([(whole[at] if whole else 0) ^ (1 << number % 8)]) + whole[at + 1 :]
            case "cut":
                whole = whole[:at]
            case "drop":
                whole = whole[:at] + whole[at + 1 + number % 16 :]
            case "put":
                whole = whole[:at] + snippet + whole[at:]
            case _:
                whole = whole[:at] + snippet + whole[at + 1 + number % 16 :]
    return whole


def try_all(path: Path, read: Read, examples: int) -> None:
    whole = path.read_bytes()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(EDITS)
    def judged(edits: list[tuple[str, float, int, bytes]]) -> None:
        path.write_bytes(damaged(whole, edits))
        with np.errstate(all="raise"):
            outcome = told(read, path)
        assert outcome is None or len(outcome.splitlines()) == 1
        assert outcome is None or len(outcome) < 2000

    read(path)
    judged()
    path.write_bytes(whole)


def told(read: Read, path: Path) -> str | None:
    """The line of a DeviseError, None if the file was read; anything else is our fault."""
    try:
        read(path)
    except DeviseError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_read_or_told(name: str, tmp_path: Path):
    try_all(*FORMATS[name](tmp_path), examples=20)


@pytest.mark.parametrize("name", JSON_FILES)
def test_values_out_of_place_are_read_or_told(name: str, tmp_path: Path):
    try_values(*JSON_FILES[name](tmp_path), examples=25)


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON_FILES)
def test_values_out_of_place_are_read_or_told_many_times(name: str, tmp_path: Path):
    try_values(*JSON_FILES[name](tmp_path), examples=3000)


@pytest.mark.slow
def test_damage_is_read_or_told_for_ten_minutes(tmp_path: Path):
    ends, count = time.monotonic() + 600, 0
    made: list[tuple[Path, Any]] = []
    for name, make in FORMATS.items():
        (tmp_path / name).mkdir()
        made.append(make(tmp_path / name))
    rng = np.random.default_rng(time.time_ns())
    wholes = [path.read_bytes() for path, _ in made]
    kinds = ("flip", "cut", "drop", "put", "replace")
    while time.monotonic() < ends:
        for (path, read), whole in zip(made, wholes, strict=True):
            edits = [
                (
                    str(rng.choice(kinds)),
                    rng.random(),
                    int(rng.integers(256)),
                    SNIPPETS[int(rng.integers(len(SNIPPETS)))],
                )
                for _ in range(rng.integers(1, 4))
            ]
            spoilt = damaged(whole, edits)
            path.write_bytes(spoilt)
            try:
                outcome = told(read, path)
            except Exception as error:
                raise AssertionError(f"{path.name} of {path.parent.name}: {error!r} for {spoilt[:4000]!r}") from error
            assert outcome is None or len(outcome.splitlines()) == 1
            path.write_bytes(whole)
            count += 1
    assert count > 1000
