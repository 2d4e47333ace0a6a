"""Train a tiny pair of towers on photos and the names and definitions of their classes, in open_clip's own form.

    python -m tools.tiny_pair --photos tiny-imagenet-train.tar --out pair
    devise build --open-clip pair --out my-model

A stand-in for CLIP that a laptop can train. The image tower is EfficientNet-Lite0, whose weights pip carries, and stays
as it is (Zhai et al. 2022, "LiT"); a linear layer after it is trained. The text tower is one layer of attention over
word vectors, those of the model in the package, which stay as they are. Each tenth class is left out: its photos are
named without having been shown together with a text (EfficientNet was trained on photos of all of them). A photo's text
is drawn anew each time: a term of its class or of a noun above it, or its definition.
Needs open_clip_torch, transformers and tokenizers.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from devise.bundle.bundle import open_bundle
from devise.errors import DeviseError
from devise.model.parts import DEFAULT_BUNDLE
from devise.space.texttower import PROMPTS, Prompts
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.text.tokens import tokenize
from devise.training.classes import imagenet_ids
from devise.training.photofeatures import photo_features
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.efficientnet import EfficientNetLite, load_pip_weights
from devise.vision.export import onnx_bytes
from devise.vision.pipeline import cores
from devise.vision.preprocessing import Preprocessing
from tools import parser

SIDE, CONTEXT, BATCH, EVERY, RATE = 224, 16, 128, 10, 1e-3
FIRST, LAST, PAD, UNKNOWN = "<start>", "<end>", "<pad>", "<unk>"
TEMPLATES = Prompts(PROMPTS["photo"] + PROMPTS["definition"] + PROMPTS["name"], CONTEXT)


def texts_of(taxonomy: Taxonomy, synset_id: str) -> list[str]:
    """Return what may be read of a class: its terms and those of the four nouns above it, and their definitions."""
    above = list(reversed(taxonomy.hypernym_paths(synset_id)[0]))[:5]  # itself first
    found = [taxonomy.synset(one) for one in above]
    terms = [(term, one.definition) for place, one in enumerate(found) for term in one.terms for _ in range(5 - place)]
    return [text for term, definition in terms for text in TEMPLATES.texts(term, definition)]


def save_tokenizer(folder: Path) -> np.ndarray:
    """Save a tokenizer of the words in names and definitions of all labels; return their vectors."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bundle, taxonomy = open_bundle(DEFAULT_BUNDLE), default_taxonomy()
    used = {word for one in bundle.labels.ids for word in _words(taxonomy, one)}
    table = bundle.words()
    words = [word for word in table.words if word in used]
    names = [PAD, UNKNOWN, *words, FIRST, LAST]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\w']+"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{FIRST} $A {LAST}", special_tokens=[(FIRST, len(names) - 2), (LAST, len(names) - 1)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, bos_token=FIRST, eos_token=LAST
    ).save_pretrained(folder)
    kept = table.subset([place for place, word in enumerate(table.words) if word in used]).unit()
    marks = 0.05 * np.random.default_rng(0).standard_normal((4, table.dim))
    return np.concatenate([np.zeros((1, table.dim)), marks[:1], kept, marks[1:3]]).astype(np.float32)


def _words(taxonomy: Taxonomy, label_id: str) -> list[str]:
    synset = taxonomy.synset(label_id)
    return [word for text in (*synset.terms, synset.definition) for word in tokenize(text)]


def train(folder: Path, photos: Path, steps: int) -> None:
    """Train head and text tower on the features of the photos, and save the pair."""
    import open_clip

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(save_tokenizer(folder))
    config = {
        "model_cfg": {
            "embed_dim": 256,
            "vision_cfg": {"image_size": SIDE, "timm_model_name": "tf_efficientnet_lite0", "timm_pool": "avg",
                           "timm_proj": "linear"},
            "text_cfg": {"context_length": CONTEXT, "vocab_size": len(vectors), "width": vectors.shape[1], "heads": 6,
                         "layers": 1, "hf_tokenizer_name": folder.name},
        },
        "preprocess_cfg": {"size": SIDE, "mean": [127 / 255] * 3, "std": [128 / 255] * 3, "interpolation": "bicubic",
                           "resize_mode": "shortest"},
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1))
    model: Any = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.token_embedding.weight = nn.Parameter(vectors, requires_grad=False)
    lite = EfficientNetLite("lite0")
    load_pip_weights(lite)
    body = [value for name, value in lite.eval().state_dict().items() if not name.startswith("classifier.")]
    model.visual.trunk.load_state_dict(dict(zip(model.visual.trunk.state_dict(), body, strict=True)))
    preprocessing = Preprocessing(SIDE, SIDE, "bicubic", (127.0,) * 3, (128.0,) * 3)
    backbone = OpenVinoBackbone(onnx_bytes(lite, half=False), preprocessing, streams=cores())
    taxonomy = default_taxonomy()
    trained = imagenet_ids()
    found = photo_features([photos], backbone, "tiny pair", trained, folder)
    here = [trained[row] for row in np.unique(found.truth).tolist()]
    left_out = here[::EVERY]
    names = np.array(trained)[found.truth]
    kept = ~np.isin(names, left_out)
    classes, truth = np.unique(names[kept], return_inverse=True)
    features = torch.from_numpy(found.features[kept])
    tokens = [tokenizer(texts_of(taxonomy, one)) for one in classes.tolist()]
    print(f"{len(features):,} photos of {len(classes)} classes; left out: {' '.join(left_out)}", flush=True)
    trainable = [*model.visual.head.parameters(), *(one for name, one in model.named_parameters()
                 if not name.startswith(("visual.", "token_embedding.")))]  # fmt: skip
    optimizer = torch.optim.AdamW(trainable, lr=RATE, weight_decay=0.1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + np.cos(np.pi * step / steps))
        rows = rng.choice(len(features), min(BATCH, len(features)), replace=False)
        asked, places = np.unique(truth[rows], return_inverse=True)
        texts = torch.stack([tokens[one][rng.integers(len(tokens[one]))] for one in asked])
        images = nn.functional.normalize(model.visual.head(features[rows]), dim=1)
        words = nn.functional.normalize(model.encode_text(texts), dim=1)
        logits, target = model.logit_scale.exp() * images @ words.T, torch.from_numpy(places)
        of_texts = nn.functional.log_softmax(logits, dim=0)[torch.arange(len(places)), target].mean()
        loss = (nn.functional.cross_entropy(logits, target) - of_texts) / 2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, float(np.log(100)))
        if step % 50 == 49:
            print(f"step {step + 1:,} of {steps:,}: loss {float(loss.detach()):.3f}", flush=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and train."""
    given = parser("tiny_pair", __doc__)
    given.add_argument("--photos", type=Path, required=True, help="folder or tar of class folders, WNID/name.JPEG")
    given.add_argument("--out", type=Path, required=True, help="folder to write")
    given.add_argument("--steps", type=int, default=400, help="batches of 128 photos")
    options = given.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        train(options.out, options.photos, options.steps)
    except DeviseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
