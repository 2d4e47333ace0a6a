"""Made the committed bundle `bundle-v1`, which every later version of the package must load.

Not to be run again over it: an old bundle made today is not old. For a new format, write a new script and a
new directory beside this one.
"""

import sys
from pathlib import Path

import numpy as np

from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
from devise.bundle.parts import (
    BACKBONE,
    CLASSIFIER,
    LABEL_TABLE,
    LABEL_VECTORS,
    SURGERY,
    WORDS,
    SurgeryMap,
    encode_classifier,
    encode_label_vectors,
    encode_surgery,
)
from devise.bundle.writer import write_bundle
from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store
from devise.vision.preprocessing import Preprocessing

__all__ = ["make"]

LABELS = LabelSet(
    [
        Label("n02123045", "tabby", seen=True, source="term"),
        Label("n02391994", "kiang", source="gloss"),
        Label("n02389026", "sorrel", seen=True, source="term"),
        Label("n02128757", "snow leopard", seen=True, source="parts"),
        Label("n02374451", "horse", source="parents"),
        Label("n00001740", "entité", source="none"),
    ]
)
TRAINED = ["n02389026", "n02123045", "n02128757"]


def make(path: Path) -> None:
    """Write the bundle to `path`, where nothing may stand."""
    words = WordTable(("cat", "horse", "naïve"), np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -2, 0]], np.float32))
    parts = {
        BACKBONE: tiny_backbone(),
        CLASSIFIER: encode_classifier(
            Classifier(
                np.array([[1, 0, 0], [0, 0.5, 0], [0, 0, -2]], np.float32),
                np.array([0, 1, -0.25], np.float32),
            )
        ),
        LABEL_TABLE: encode_label_table(LABELS, TRAINED),
        LABEL_VECTORS: encode_label_vectors(
            np.array(
                [
                    [1, 0, 0, 0],
                    [0, 0.6, 0, 0.8],
                    [0, 1, 0, 0],
                    [0.8, 0, -0.6, 0],
                    [0, 0.5, 0, 0],
                    [0, 0, 0, 0],
                ],
                np.float32,
            )
        ),
        SURGERY: encode_surgery(
            SurgeryMap(
                np.array([[0, 1, 0.5], [1, 0, 0], [0, 0, 0], [0, 0, -1]], np.float32),
                {"label_mean": np.array([0.25, 0.5, 0, 0], np.float32)},
            )
        ),
        WORDS: lambda target: write_vector_store(target, words, precision="int8"),
    }
    write_bundle(path, manifest(), parts)


def manifest() -> Manifest:
    """What the bundle says of itself."""
    return Manifest(
        name="old",
        preprocessing=Preprocessing(5, 4, "bicubic", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)).to_dict(),
        backbone=BackboneFacts("mean of each channel", features=3),
        label_space=LabelSpaceFacts(labels=6, trained=3, dim=4),
        label_policy=LabelPolicyFacts("sense-aware", {"head_twice": True, "part_weight": 0.6}),
        scoring={"conse": {"t": 10}, "fused": {"seen_penalty": 0.02, "temperature": 1.0}},
        provenance=(Provenance("taxonomy", "WordNet", "3.0", "WordNet-3.0", url="https://wordnet.princeton.edu"),),
        licences={"WordNet-3.0": "The notice would stand here.\nIn two lines."},
        config={"surgery": {"penalty": 0.3}, "text": ["glosses", "dictionary"]},
    )


def tiny_backbone() -> bytes:
    """A network whose features are the means of the three channels."""
    import onnx
    from onnx import helper

    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["pixels"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
        ],
        "means",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
