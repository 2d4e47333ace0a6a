"""Building models of two towers: small ones of transformers and open_clip with random weights, by their own answers."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Run
from smallmodel import LABELS

from devise import resumable
from devise.bundle import writer
from devise.bundle.bundle import open_bundle
from devise.bundle.manifest import Provenance
from devise.errors import UsageError
from devise.model.labeller import load
from devise.space.labelspace import unit_rows
from devise.space.texttower import TextTower, chosen_prompts
from devise.taxonomy.wordnet import default_taxonomy
from devise.training import pairs, towers
from devise.training.pairs import hf_pair, open_clip_pair

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnx")
tokenizers: Any = pytest.importorskip("tokenizers")

SIDE, CONTEXT = 32, 24
WEIGHTS = Provenance("image tower and text tower", "a test", "", "MIT", url="https://example.org")
TEXTS = ["a photo of a zebra.", "Tabby", "snow_leopard, which is a large feline -- of upland Asia", "word " * 40]


@pytest.fixture(autouse=True)
def _only_the_whole_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export takes a second."""
    monkeypatch.setattr(towers, "_SHORTER", ())


def save_tokenizer(folder: Path, size: int = 300, pad: str = "<pad>") -> int:
    """Train a BPE tokenizer on names and definitions; return the number of its tokens."""
    transformers: Any = pytest.importorskip("transformers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    marks = ["<pad>", "<unk>", "<start>", "<end>"]
    taxonomy = default_taxonomy()
    texts = [f"{synset.name} {synset.definition} !?,." for synset in map(taxonomy.synset, LABELS)]
    made.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(vocab_size=size, special_tokens=marks))
    made.post_processor = tokenizers.processors.TemplateProcessing(
        "<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=pad, unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    )
    fast.save_pretrained(folder)
    return int(made.get_vocab_size())


def hf_folder(kind: str, folder: Path) -> Any:
    """A small CLIP or SigLIP of transformers with random weights."""
    transformers: Any = pytest.importorskip("transformers")
    rows = save_tokenizer(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**sizes, "vocab_size": rows, "max_position_embeddings": CONTEXT, "eos_token_id": 3, "bos_token_id": 2,
            "pad_token_id": 0}  # fmt: skip
    vision = {**sizes, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(0)
    more = {"projection_dim": 12} if kind == "CLIP" else {}
    config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, **more)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.no_grad():
        for one in model.parameters():  # random weights as they come make all texts alike
            if one.ndim > 1:
                one.copy_(0.3 * torch.randn_like(one))
    model.save_pretrained(folder)
    name = f"{'CLIP' if kind == 'CLIP' else 'Siglip'}ImageProcessor"
    processor = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    size = {"shortest_edge": SIDE} if kind == "CLIP" else {"height": SIDE, "width": SIDE}
    crop = {"crop_size": {"height": SIDE, "width": SIDE}} if kind == "CLIP" else {}
    processor(size=size, **crop).save_pretrained(folder)
    return model


def cosines(ours: np.ndarray, own: np.ndarray) -> np.ndarray:
    return np.asarray((unit_rows(ours) * unit_rows(own)).sum(axis=1))


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_a_folder_of_transformers(kind: str, run: Run, small_bundle: Path, tmp_path: Path):
    """Both towers and the typed label answer as transformers does with its own tokenizer."""
    transformers: Any = pytest.importorskip("transformers")
    folder, out = tmp_path / "clip", tmp_path / "mine"
    folder.mkdir()
    model = hf_folder(kind, folder)
    code, told, err = run("build", "--hf-clip", folder, "--model", small_bundle, "--out", out, "--licence", "MIT")
    assert code == 0, err
    assert "label vectors: 9 of 9" in err
    assert "prompts: a photo of a {name}. | {name}, which is {gloss}" in err
    assert "no trained labels, so no softmax, conse, devise, kernel, branch or random" in told
    bundle = open_bundle(out)
    assert bundle.manifest.label_policy.parameters == {"templates": list(chosen_prompts("photo,definition")),
                                                       "context": CONTEXT}  # fmt: skip
    assert bundle.manifest.scoring["fused"]["temperature"] == pytest.approx(float(1 / model.logit_scale.detach().exp()))
    assert (bundle.manifest.provenance[0].licence, bundle.labels.seen.any()) == ("MIT", False)
    ready = load(out)
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    ids = loaded(TEXTS, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt").input_ids
    crops = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    planes = ready.backbone().preprocessing.normalised(crops)
    with torch.no_grad():
        own = model(input_ids=ids, pixel_values=torch.from_numpy(planes))
    spread = cosines(own.text_embeds.numpy()[:1], own.text_embeds.numpy()[1:2])
    assert spread < 0.99  # else the next line would hold of anything
    assert cosines(ready.parts.tower.encode(TEXTS), own.text_embeds.numpy()) == pytest.approx(1, abs=1e-5)
    assert cosines(ready.backbone().features(crops), own.image_embeds.numpy()) == pytest.approx(1, abs=1e-5)
    synset = default_taxonomy().synset("n02391049")
    mean = ready.parts.tower.encode(["a photo of a zebra.", f"zebra, which is {synset.definition}"]).mean(axis=0)
    stored = bundle.label_vectors()[bundle.labels.position(synset.id)]
    assert cosines(stored[None], mean[None]) == pytest.approx(1, abs=1e-3)  # 8 bits
    assert len(ready.label(np.zeros((9, 9, 3), np.uint8), labels="kick scooter thing", top=10).guesses) == 10


def test_only_where_padding_is_not_read_is_a_text_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(towers, "_SHORTER", (12,))
    for kind, lengths in (("CLIP", [12, CONTEXT]), ("Siglip", [CONTEXT])):
        folder = tmp_path / kind
        folder.mkdir()
        hf_folder(kind, folder)
        cut = towers.cut_towers(hf_pair(folder), {}, False, WEIGHTS, chosen_prompts("name"))
        assert list(cut.tower._requests) == lengths


def test_a_killed_build_resumes(run: Run, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, out, work = tmp_path / "clip", tmp_path / "mine", tmp_path / "work"
    folder.mkdir()
    hf_folder("CLIP", folder)
    asked = ("build", "--hf-clip", folder, "--model", small_bundle, "--out", out, "--work", work)
    monkeypatch.setattr(towers, "_BLOCK", 4)
    whole, made = TextTower.labels, []

    def some(self: TextTower, labels: Any) -> Any:
        made.append(len(labels))
        if len(made) == 3:
            raise KeyboardInterrupt
        return whole(self, labels)

    monkeypatch.setattr(TextTower, "labels", some)
    assert run(*asked)[0] != 0
    assert not out.exists()
    assert run(*asked)[0] == 0
    assert made == [4, 4, 1, 1]


def test_what_is_wrong_is_one_line_and_nothing_is_written(
    run: Run, small_bundle: Path, tower_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, out, work = tmp_path / "clip", tmp_path / "mine", tmp_path / "work"
    folder.mkdir()
    hf_folder("CLIP", folder)
    source = ("--hf-clip", folder)

    def refused(message: str, *arguments: object, code: int = 2, base: Path = small_bundle) -> None:
        done = run("build", *arguments, "--model", base, "--out", out, "--work", work)
        assert message in done[2]
        assert (done[0], done[1]) == (code, "")
        assert message in done[2].splitlines()[-1]
        assert not out.exists()
        assert not list(tmp_path.glob(".*"))

    refused("prompts must be of name, photo", *source, "--prompts", "poem")
    refused("--classes is not for --hf-clip: leave it out", *source, "--classes", "imagenet")
    refused("--prompts is not for --onnx: leave it out", "--onnx", folder / "x.onnx", "--prompts", "name")
    refused("--weights is for --timm, --torchvision and --open-clip", *source, "--weights", folder)
    refused("no classifier to start from: give a model", *source, code=1, base=tower_bundle)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_sync", full)
    refused("cannot be written, No space left on device: free some space", *source, code=1)
    monkeypatch.undo()
    shutil.rmtree(work)
    monkeypatch.setattr(resumable, "atomic_write", full)
    refused("No space left on device", *source, code=1)
    monkeypatch.undo()
    monkeypatch.setattr(towers, "_SHORTER", ())
    monkeypatch.setattr(towers, "EXACT", -1.0)
    refused("image vectors are", *source, code=1)
    monkeypatch.undo()
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"projection_dim": 12', '"projection_dim": 10'))
    refused("weights are of another network", *source)
    (folder / "config.json").write_text(config)
    own = (folder / "tokenizer.json").read_bytes()
    save_tokenizer(folder, 100)
    refused("tokens, the text tower", *source)
    (folder / "tokenizer.json").unlink()
    refused("has no tokenizer.json", *source)
    (folder / "tokenizer.json").write_bytes(own)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused("has pickled weights, which may contain code, and has no", *source)


def test_another_model_of_transformers_is_refused(tmp_path: Path):
    transformers: Any = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="is a vit, not a model of an image tower and a text tower"):
        hf_pair(tmp_path)
    text, vision = {**sizes, "vocab_size": 9, "max_position_embeddings": 4}, {**sizes, "num_patches": 4}
    config = transformers.Siglip2Config(text_config=text, vision_config=vision)
    transformers.Siglip2Model(config).save_pretrained(tmp_path / "naflex")
    with pytest.raises(UsageError, match="is a SigLIP 2 of variable picture size"):
        hf_pair(tmp_path / "naflex")


def open_clip_folder(folder: Path, *, own_tokenizer: bool) -> Any:
    """A small model of open_clip with random weights; with its own BPE, or another tokenizer in the folder."""
    open_clip: Any = pytest.importorskip("open_clip", reason="open_clip_torch is not installed (make bench-peers)")
    rows = 49408 if own_tokenizer else save_tokenizer(folder)
    text = {"context_length": CONTEXT, "vocab_size": rows, "width": 16, "heads": 2, "layers": 2}
    if not own_tokenizer:
        text |= {"hf_tokenizer_name": "somewhere", "tokenizer_kwargs": {"clean": "canonicalize"},
                 "no_causal_mask": True, "pool_type": "last"}  # fmt: skip
    vision = {"image_size": SIDE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8}
    stored = {"model_cfg": {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text, "custom_text": not own_tokenizer},
              "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
                                 "resize_mode": "squash"}}  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(stored))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return model, open_clip.get_tokenizer(f"local-dir:{folder}")


@pytest.mark.parametrize("own_tokenizer", [True, False])
def test_a_folder_of_open_clip(own_tokenizer: bool, run: Run, small_bundle: Path, tmp_path: Path):
    folder, out = tmp_path / "clip", tmp_path / "mine"
    folder.mkdir()
    model, tokenizer = open_clip_folder(folder, own_tokenizer=own_tokenizer)
    done = run("build", "--open-clip", folder, "--model", small_bundle, "--out", out, "--prompts", "name")
    assert done[0] == 0, done[2]
    ready = load(out)
    crops = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    planes = ready.backbone().preprocessing.normalised(crops)
    with torch.no_grad():
        image, text = model.encode_image(torch.from_numpy(planes)), model.encode_text(tokenizer(TEXTS))
    assert cosines(ready.parts.tower.encode(TEXTS), text.numpy()) == pytest.approx(1, abs=1e-5)
    assert cosines(ready.backbone().features(crops), image.numpy()) == pytest.approx(1, abs=1e-5)
    assert ready.parts.bundle.preprocessing().squash


def test_open_clip_refuses(run: Run, tmp_path: Path):
    folder = tmp_path / "clip"
    folder.mkdir()
    open_clip_folder(folder, own_tokenizer=True)
    weights = folder / "open_clip_pytorch_model.bin"
    with pytest.raises(UsageError, match="does not fit open_clip's ViT-B-32"):
        open_clip_pair("ViT-B-32", weights, None)
    with pytest.raises(UsageError, match="takes open_clip's own tokenizer: leave out --tokenizer"):
        open_clip_pair(str(folder), weights, tmp_path)
    with pytest.raises(UsageError, match="has no model 'ViT-Z'"):
        open_clip_pair("ViT-Z", weights, None)
    with pytest.raises(UsageError, match="needs --tokenizer FOLDER, the tokenizer timm/ViT-B-16-SigLIP"):
        pairs._open_clip_tokenizer(None, "ViT-B-16-SigLIP", {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}, None)

    class Code:
        def __reduce__(self) -> Any:
            return print, ("code ran",)

    torch.save({"weight": Code()}, weights)
    with pytest.raises(UsageError, match="contains no weights: give a"):
        open_clip_pair(str(folder), weights, None)
    shutil.rmtree(folder)
