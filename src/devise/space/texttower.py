"""Label vectors from the text tower of CLIP and its kin: a label is its prompts, read by a network.

The network is ONNX and its tokenizer a tokenizer.json, so that a typed label needs no torch.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors
from devise.errors import BundleError, LabelError, UsageError
from devise.labels import VectorSource
from devise.space.label_vectors import ComposedLabel, ComposedLabels
from devise.space.labelspace import unit_rows
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.phrases import term_key
from devise.vision.networkfile import check_file, check_graph
from devise.vision.runtime import openvino_core

__all__ = ["PROMPTS", "TEXT_POLICY", "Prompts", "TextTower", "TowerComposer", "chosen_prompts", "read_tokenizer"]

TEXT_POLICY = "text-tower"
"""The name of the label policy of a model whose labels are placed by a text tower."""

PROMPTS: dict[str, tuple[str, ...]] = {
    "name": ("{name}",),
    "photo": ("a photo of a {name}.",),
    "photos": (
        "itap of a {name}.",
        "a bad photo of the {name}.",
        "a origami {name}.",
        "a photo of the large {name}.",
        "a {name} in a video game.",
        "art of the {name}.",
        "a photo of the small {name}.",
    ),
    "definition": ("{name}, which is {gloss}",),
}
"""Prompts by name. `photos` are the seven of Radford et al. 2021 that do best together on ImageNet."""

_BATCH = 32  # texts at once: a text alone reads all weights from memory for a dozen tokens
_GLOSS = "{gloss}"

Tokens = Int64[np.ndarray, "texts context"]


def chosen_prompts(names: str) -> tuple[str, ...]:
    """Return the templates of prompts named with commas between them; UsageError for an unknown name.

    >>> chosen_prompts("photo,definition")
    ('a photo of a {name}.', '{name}, which is {gloss}')
    """
    asked = [name.strip() for name in names.split(",")]
    if unknown := [name for name in asked if name not in PROMPTS]:
        raise UsageError(f"prompts must be of {', '.join(PROMPTS)}, with commas between them; got {unknown[0]!r}")
    return tuple(dict.fromkeys(template for name in asked for template in PROMPTS[name]))


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is read of a label. templates: with {name}, and {gloss} for its definition. context: tokens of a text."""

    templates: tuple[str, ...]
    context: int

    def texts(self, name: str, definition: str = "") -> tuple[str, ...]:
        """Return the texts of a label; without a definition, those of templates that need none, or the bare name.

        >>> Prompts(("a photo of a {name}.", "{name}, which is {gloss}"), 77).texts("zedonk")
        ('a photo of a zedonk.',)
        """
        used = [one for one in self.templates if definition or _GLOSS not in one] or ["{name}"]
        return tuple(one.replace("{name}", name).replace(_GLOSS, definition) for one in used)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return {"templates": list(self.templates), "context": self.context}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Prompts":
        """The inverse of `to_dict`; BundleError if it is anything else."""
        templates, context = stored.get("templates"), stored.get("context")
        fits = isinstance(templates, list) and templates and all(isinstance(one, str) for one in templates)
        if not fits or set(stored) != {"templates", "context"} or not isinstance(context, int) or context < 1:
            raise BundleError("key label_policy.parameters must be templates and a context: build the bundle again")
        return cls(tuple(templates or ()), context)


class TextTower:
    """A text tower run by OpenVINO in float32. Thread-safe.

    onnx: from tokens int64 [texts, context] to vectors float32 [texts, dim]. tokenizer: a tokenizer.json that pads
    and truncates to `prompts.context` tokens.
    shorter: the same network for fewer tokens, after their number; only where padding changes nothing. Each is taken
        when the one before is compiled: all together take gigabytes.
    The network may come from anywhere: see `devise.vision.networkfile` for what is refused with a BundleError.
    """

    def __init__(
        self, onnx: bytes, tokenizer: bytes, prompts: Prompts, shorter: Iterable[tuple[int, bytes]] = ()
    ) -> None:
        self.prompts = prompts
        self.tokenizer = read_tokenizer(tokenizer)
        requests = {prompts.context: _compiled(onnx, prompts.context)}
        requests |= {length: _compiled(network, length) for length, network in shorter}
        self._requests = {length: requests[length] for length in sorted(requests)}
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """Return one unit vector per text, in order."""
        encoded = self.tokenizer.encode_batch(list(texts))
        tokens = np.array([one.ids for one in encoded], dtype=np.int64)
        if tokens.shape != (len(texts), self.prompts.context):
            raise BundleError(
                f"the tokenizer must make {self.prompts.context} tokens of a text: build the bundle again"
            )
        used = np.array([sum(one.attention_mask) for one in encoded])
        lengths = np.array(list(self._requests))[np.searchsorted(list(self._requests), used)]
        vectors: dict[int, Float32[np.ndarray, " dim"]] = {}
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                vectors |= dict(zip(some.tolist(), self._run(tokens[some, :length]), strict=True))
        made = np.stack([vectors[row] for row in range(len(texts))])
        if not (np.isfinite(made).all() and made.any(axis=1).all()):
            raise BundleError("the text tower makes no finite vector of a text: get or build the bundle again")
        return unit_rows(made)

    def labels(self, labels: Sequence[tuple[str, str]]) -> LabelVectors:
        """Return one unit vector per name and definition: the mean of its prompts' unit vectors, at unit length."""
        texts = [self.prompts.texts(*label) for label in labels]
        places = {text: place for place, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        vectors = self.encode(list(places))
        return unit_rows(np.stack([vectors[[places[text] for text in some]].mean(axis=0) for some in texts]))

    def _run(self, tokens: Tokens) -> Float32[np.ndarray, "texts dim"]:
        request = self._requests[tokens.shape[1]]
        with self._lock:
            request.infer({0: np.ascontiguousarray(tokens)}, share_inputs=False)
            return np.array(request.get_output_tensor(0).data, np.float32)


class TowerComposer:
    """A `Composer` over a text tower. Names of synsets are English, whatever language the model shows."""

    def __init__(self, tower: TextTower) -> None:
        self._tower = tower
        self._taxonomy = default_taxonomy()

    def labels(self, synset_ids: Sequence[str]) -> ComposedLabels:
        """The vectors of many synsets; TaxonomyError for an unknown id."""
        synsets = [self._taxonomy.synset(synset_id) for synset_id in synset_ids]
        source: VectorSource = "term"
        vectors = self._tower.labels([(one.name, one.definition) for one in synsets])
        return ComposedLabels(vectors, (source,) * len(synsets))

    def synset(self, synset_id: str) -> ComposedLabel:
        """The vector of a synset."""
        return ComposedLabel(self.labels([synset_id]).vectors[0], "term")

    def typed(self, name: str, definition: str = "", kinds: Sequence[str] = ()) -> ComposedLabel:
        """Return the vector of a name and its definition; LabelError if the name has no word. kinds: ignored."""
        if not term_key(name):
            raise LabelError(f"a label needs a word in its name, got {name!r}")
        return ComposedLabel(self._tower.labels([(name, definition)])[0], "term")


def read_tokenizer(stored: bytes) -> Any:
    """Return the tokenizer in a tokenizer.json; UsageError without the package, BundleError if it is none."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError("labels typed for this model need tokenizers: pip install 'devise-zsl[clip]'") from None
    try:
        return Tokenizer.from_str(stored.decode("utf-8"))
    except Exception as error:  # the package raises nothing narrower
        raise BundleError(f"is not a tokenizer.json ({str(error)[:200]}): get or build the bundle again") from None


def _compiled(onnx: bytes, context: int) -> Any:
    """Return a request for any number of texts; BundleError if the network is refused."""
    try:
        check_file(onnx)
        core = openvino_core()
        network = core.read_model(onnx)
        network.reshape([1, context])
        check_graph(network)
        network.reshape([-1, context])
        return core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    except BundleError as error:
        raise BundleError(str(error).replace("backbone network", "text tower")) from None
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BundleError(f"text tower cannot be read by OpenVINO ({reason}): rebuild the bundle") from None
