"""A model of nine labels that sees nothing but the mean colour of a picture, and the slow scorers."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
from devise.bundle.parts import (
    BACKBONE,
    CLASSIFIER,
    LABEL_TABLE,
    LABEL_VECTORS,
    RANDOM_SURGERY,
    SURGERY,
    WORDS,
    SurgeryMap,
    encode_classifier,
    encode_label_vectors,
    encode_surgery,
)
from devise.bundle.writer import write_bundle
from devise.labels import Label, LabelSet
from devise.model.labeller import Model, load
from devise.model.parts import DEFAULT_BUNDLE
from devise.space.evidence import Classifier
from devise.space.label_vectors import POLICIES, LabelComposer
from devise.space.labelspace import CENTRE, centre_of, placed
from devise.space.scorers import random_space
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store
from devise.vision.preprocessing import Preprocessing

LABELS = {
    "n02390738": "kiang",
    "n02123045": "tabby",
    "n03467517": "guitar",
    "n02391049": "zebra",
    "n02390101": "mule",
    "n00001740": "entity",  # no word of it or of its definition is known: a label without a vector
    "n02128757": "snow leopard",
    "n04149374": "scooter",
    "n03272010": "electric guitar",
}
TRAINED = ("n03272010", "n02123045", "n02391049", "n02128757")
WORD_COUNTS = {
    "animal": 90, "cat": 80, "horse": 70, "guitar": 60, "electric": 50, "striped": 40, "wheeled": 35, "mule": 30,
    "donkey": 25, "zebra": 20, "scooter": 15, "tabby": 10, "snow_leopard": 8, "ass": 6, "wild": 5, "offspring": 4,
    "kick": 2,
}  # fmt: skip
DIM = 12
SIDE = 4


@pytest.fixture(scope="session")
def slow() -> ModuleType:
    """tests/reference/label_space.py, whatever the folder that pytest runs in."""
    return import_module("reference.label_space")


def mean_colour_network() -> bytes:
    """Features: the mean of each of the three channels."""
    onnx = pytest.importorskip("onnx")
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            onnx.helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
        ],
        "means",
        [tensor("pixels", float32, ["N", 3, SIDE, SIDE])],
        [tensor("features", float32, ["N", 3])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def write_small_bundle(path: Path, *, seed: int | None = None, **fused: float) -> None:
    """Labels composed from random word vectors, surgery without a picture: the steps of the default model."""
    rng = np.random.default_rng(20)
    taxonomy = default_taxonomy()
    vectors = rng.standard_normal((len(WORD_COUNTS), DIM), dtype=np.float32)
    words = WordTable(tuple(WORD_COUNTS), vectors, np.array(list(WORD_COUNTS.values())))
    composed = LabelComposer(words, taxonomy, POLICIES["sense-aware"]).labels(list(LABELS))
    rows = [list(LABELS).index(label_id) for label_id in TRAINED]
    centre = centre_of(composed.vectors[rows])
    placed_vectors = placed(composed.vectors, centre)
    if seed is not None:  # the same labels, another classifier
        rng = np.random.default_rng(seed)
    classifier = Classifier(
        (2 * rng.standard_normal((len(TRAINED), 3))).astype(np.float32),
        rng.standard_normal(len(TRAINED), dtype=np.float32),
    )
    surgery = image_free_surgery(placed_vectors[rows], classifier.weight, 0.5)
    labels = LabelSet(
        Label(label_id, LABELS[label_id], seen=label_id in TRAINED, source=source)
        for label_id, source in zip(LABELS, composed.sources, strict=True)
    )
    trained = LabelSet(Label(label_id, LABELS[label_id]) for label_id in TRAINED)
    random = random_space(trained, DIM, np.random.default_rng(3))
    control = image_free_surgery(random.vectors, classifier.weight, 0.5)
    policy = POLICIES["sense-aware"]
    manifest = Manifest(
        name="small",
        preprocessing=Preprocessing(SIDE, SIDE, "bicubic", (127.0,) * 3, (128.0,) * 3).to_dict(),
        backbone=BackboneFacts("mean of each channel", 3),
        label_space=LabelSpaceFacts(len(LABELS), len(TRAINED), DIM),
        label_policy=LabelPolicyFacts(policy.name, policy.to_dict()),
        scoring={
            "conse": {"top": 2, "temperature": 0.4},
            "devise": {"ridge": 0.5, "temperature": 0.25},
            "fused": {"confidence": 0.75, "penalty": 0.125, "temperature": 0.5, **fused},
            "random": {"seed": 3},
        },
        provenance=(Provenance("taxonomy", "WordNet", "3.0", "WordNet-3.0", url="https://wordnet.princeton.edu"),),
        licences={"WordNet-3.0": "The notice would stand here."},
    )
    write_bundle(
        path,
        manifest,
        {
            BACKBONE: mean_colour_network(),
            CLASSIFIER: encode_classifier(classifier, "float32"),
            LABEL_TABLE: encode_label_table(labels, TRAINED),
            LABEL_VECTORS: encode_label_vectors(placed_vectors),
            SURGERY: encode_surgery(SurgeryMap(surgery, {CENTRE: centre}), "float32"),
            RANDOM_SURGERY: encode_surgery(SurgeryMap(control), "float32"),
            WORDS: lambda target: write_vector_store(target, words, precision="float32"),
        },
    )


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the small model."""
    path = tmp_path_factory.mktemp("labeller") / "small"
    write_small_bundle(path)
    return path


@pytest.fixture(scope="session")
def other_small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the small model with another classifier."""
    path = tmp_path_factory.mktemp("ensemble") / "other"
    write_small_bundle(path, seed=21, temperature=0.2)
    return path


@pytest.fixture(scope="session")
def other_small(other_small_bundle: Path) -> Model:
    """The small model with another classifier."""
    return load(other_small_bundle)


@pytest.fixture(scope="session")
def small(small_bundle: Path) -> Model:
    """The small model."""
    return load(small_bundle)


@pytest.fixture(scope="session")
def packaged() -> Model:
    """The model that ships in the package."""
    if not DEFAULT_BUNDLE.is_dir():
        pytest.skip("the package has no model: build one with python -m tools.default_model")
    return load()


Colour = tuple[int, int, int]


@pytest.fixture(scope="session")
def plain() -> Callable[[Colour], np.ndarray]:
    """A picture of one colour; its features in the small model are (colour - 127) / 128."""

    def picture(colour: Colour) -> np.ndarray:
        return np.full((8, 8, 3), colour, dtype=np.uint8)

    return picture


@pytest.fixture
def photo_folders(tmp_path: Path, plain: Callable[[Colour], np.ndarray]) -> Path:
    """Class folders: two trained classes, two others, one of which is no label of the model, and what is skipped."""
    root = tmp_path / "photos"
    photos = {
        "n02123045": [(250, 10, 10), (200, 30, 60), (120, 90, 80)],
        "n02391049": [(10, 250, 30)],
        "n02390738": [(20, 30, 240), (90, 100, 220)],
        "n02374451": [(240, 240, 20), (30, 200, 200)],
    }
    for class_id, colours in photos.items():
        (root / class_id).mkdir(parents=True)
        for number, colour in enumerate(colours):
            Image.fromarray(plain(colour)).save(root / class_id / f"{number}.png")
    (root / "n02123045" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (root / "n02123045" / "readme.txt").write_text("no picture")
    (root / "cats").mkdir()
    Image.fromarray(plain((1, 2, 3))).save(root / "cats" / "0.png")
    (root / "n99999999").mkdir()
    Image.fromarray(plain((1, 2, 3))).save(root / "n99999999" / "0.png")
    (root / "stray.png").write_bytes(b"")
    return root
