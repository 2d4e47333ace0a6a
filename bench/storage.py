"""python -m bench.storage: what storing the default model's parts small costs in accuracy.

Evaluates the bundle as it is, and again with parts of full precision in place of the stored ones: the network and
the classifier from pip's weights in 32 bits, label vectors composed from word vectors in 32 bits.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from devise.evaluation.evaluate import evaluate_folders
from devise.evaluation.tables import cells
from devise.model.labeller import Model
from devise.model.parts import ModelParts
from devise.space.evidence import Classifier
from devise.space.label_vectors import LabelComposer, LabelPolicy
from devise.space.labelspace import LabelSpace, placed
from devise.text.vectorstore import read_vector_store
from devise.vision.backbone import OpenVinoBackbone

__all__ = ["FullPrecision", "main"]


class FullPrecision(ModelParts):
    """A model whose parts were not rounded on the way to the disk. words: the file they were composed from."""

    def __init__(self, stored: ModelParts, words: Path, *, network: bool, vectors: bool) -> None:
        super().__init__(stored.bundle)
        self._words = words
        if network:
            self._network, self.classifier = _from_pip(stored)
        if vectors:
            self.space = LabelSpace(stored.space.labels, self._composed(stored))
        self._full_network = network

    def backbone(self, *, streams: int = 1) -> OpenVinoBackbone:
        """The network in 32 bits, or the stored one."""
        if not self._full_network:
            return super().backbone(streams=streams)
        return OpenVinoBackbone(self._network, self.bundle.preprocessing(), streams=streams)

    def _composed(self, stored: ModelParts) -> np.ndarray:
        policy = LabelPolicy.from_dict(stored.bundle.manifest.label_policy.parameters)
        composer = LabelComposer(read_vector_store(self._words), stored.taxonomy, policy)
        return placed(composer.labels(stored.space.labels.ids).vectors, stored.centre)


def _from_pip(stored: ModelParts) -> tuple[bytes, Classifier]:
    from devise.vision.efficientnet import EfficientNetLite, load_pip_weights
    from devise.vision.export import onnx_bytes

    network = EfficientNetLite(stored.bundle.manifest.backbone.architecture.removeprefix("efficientnet-"))
    load_pip_weights(network)
    layer = network.eval().classifier
    return onnx_bytes(network, half=False), Classifier(layer.weight.detach().numpy(), layer.bias.detach().numpy())


def main(arguments: list[str] | None = None) -> int:
    """Print one table: rows of the fused scorer and of the softmax by what is stored."""
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="class folders, as for devise evaluate")
    parser.add_argument("--candidates", default="unseen", help="as for devise evaluate")
    parser.add_argument("--words", type=Path, required=True, help="words-*.safetensors of build/default-model")
    asked = parser.parse_args(arguments)
    stored = ModelParts.open()
    for name, parts in {
        "as shipped": stored,
        "network in 32 bits": FullPrecision(stored, asked.words, network=True, vectors=False),
        "label vectors in 32 bits": FullPrecision(stored, asked.words, network=False, vectors=True),
    }.items():
        rows = cells(evaluate_folders(Model(parts), asked.folders, asked.candidates).result)
        if parts is stored:
            print("\t".join(("stored", *rows[0])))
        for row in rows[1:]:
            if row[0] in ("fused", "softmax"):
                print("\t".join((name, *row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
