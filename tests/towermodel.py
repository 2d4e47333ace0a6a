"""A model of two towers by hand: a picture is its mean colour, a text the sum of its words' colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smallmodel import LABELS, SIDE, mean_colour_network

from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
from devise.bundle.parts import (
    BACKBONE,
    LABEL_TABLE,
    LABEL_VECTORS,
    PRIOR,
    TEXT_TOWER,
    TOKENIZER,
    encode_label_vectors,
    encode_prior,
)
from devise.bundle.writer import write_bundle
from devise.labels import Label, LabelSet
from devise.space.prior import Prior
from devise.space.texttower import TEXT_POLICY, Prompts, TextTower
from devise.taxonomy.wordnet import default_taxonomy
from devise.vision.preprocessing import Preprocessing

CONTEXT = 8
PROMPTS = Prompts(("a photo of a {name}.", "{name}, which is {gloss}"), CONTEXT)
COLOURS = {
    "<pad>": (0, 0, 0), "<unk>": (0.01, 0.01, 0.01), "a": (0.1, 0.1, 0.1), "photo": (0.05, 0, 0.05),
    "tabby": (1, -1, -1), "zebra": (-1, 1, -1), "guitar": (-1, -1, 1), "scooter": (1, 1, -1), "mule": (-1, 1, 1),
    "cat": (0.9, -0.8, -1), "kick": (0.2, 0.1, 0.1), "entity": (0.1, 0.2, 0.3),
}  # fmt: skip
STANDING = np.linspace(-2, 1, len(LABELS), dtype=np.float32)


def tokenizer(context: int = CONTEXT, words: tuple[str, ...] = tuple(COLOURS)) -> bytes:
    """One token per word, as a tokenizer.json."""
    tokenizers: Any = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"\w+"), "removed", invert=True)
    made.enable_truncation(context)
    made.enable_padding(pad_id=0, pad_token="<pad>", length=context)
    return str(made.to_str()).encode()


def text_network(scale: float = 1.0) -> bytes:
    """The sum of the rows of the words."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Gather", ["colours", "tokens"], ["each"], axis=0),
         helper.make_node("ReduceSum", ["each", "axis"], ["vectors"], keepdims=0)],
        "words",
        [helper.make_tensor_value_info("tokens", kinds.INT64, ["N", "L"])],
        [helper.make_tensor_value_info("vectors", kinds.FLOAT, ["N", 3])],
        [onnx.numpy_helper.from_array(scale * np.array(list(COLOURS.values()), np.float32), "colours"),
         onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def write_tower_bundle(path: Path) -> None:
    """Nine labels, placed by the text network."""
    taxonomy, tower = default_taxonomy(), TextTower(text_network(), tokenizer(), PROMPTS)
    synsets = [taxonomy.synset(one) for one in LABELS]
    vectors = tower.labels([(one.name, one.definition) for one in synsets])
    labels = LabelSet(Label(one.id, one.name, source="term") for one in synsets)
    manifest = Manifest(
        name="towers",
        preprocessing=Preprocessing(SIDE, SIDE, "bicubic", (127.0,) * 3, (128.0,) * 3).to_dict(),
        backbone=BackboneFacts("mean of each channel", 3),
        label_space=LabelSpaceFacts(len(LABELS), 0, 3),
        label_policy=LabelPolicyFacts(TEXT_POLICY, PROMPTS.to_dict()),
        scoring={"fused": {"temperature": 0.1, "prior": 0.02, "typed": 0.5}},
        provenance=(Provenance("taxonomy", "WordNet", "3.0", "WordNet-3.0", url="https://wordnet.princeton.edu"),),
        licences={"WordNet-3.0": "The notice would stand here."},
    )
    write_bundle(
        path,
        manifest,
        {
            BACKBONE: mean_colour_network(),
            TEXT_TOWER: text_network(),
            TOKENIZER: tokenizer(),
            LABEL_TABLE: encode_label_table(labels, ()),
            LABEL_VECTORS: encode_label_vectors(vectors, "float32"),
            PRIOR: encode_prior(Prior(STANDING)),
        },
    )


@pytest.fixture(scope="session")
def tower_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the model of two towers."""
    path = tmp_path_factory.mktemp("towers") / "towers"
    write_tower_bundle(path)
    return path
