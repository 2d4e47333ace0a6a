"""CLIP and its kin of open_clip and transformers: two towers, a tokenizer, preprocessing. Nothing is downloaded."""

import gzip
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from devise.arrays import Int64
from devise.errors import UsageError
from devise.space.texttower import read_tokenizer
from devise.vision.efficientnet import read_weights
from devise.vision.foreign import Settings, of_processor
from devise.vision.hfnet import hf_model, hf_processor, json_of, transformers_here
from devise.vision.timmnet import exported

__all__ = ["Pair", "hf_pair", "open_clip_pair"]

OPEN_CLIP_CONFIG, TOKENIZER_FILE = "open_clip_config.json", "tokenizer.json"
_CONTEXT, _VOCABULARY = 77, 49408  # of CLIP, where open_clip's configuration does not say
_FEWEST = 0.9  # of the text tower's rows that a tokenizer of its own uses; some towers are padded to a round number


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """An image tower and a text tower with a common space, as their own library runs them.

    image: pixels [n, 3, side, side] to vectors. text: tokens [n, context] to vectors. words: the module that `text`
    runs in, for `shortened`. tokenizer: a tokenizer.json that pads and truncates to `context`. tokens: the library's
    own. scale: factor of a cosine before the softmax. found: of the preprocessing. by: the library.
    """

    image: nn.Module
    text: nn.Module
    words: nn.Module
    tokenizer: bytes
    tokens: Callable[[Sequence[str]], Int64[np.ndarray, "texts context"]]
    context: int
    scale: float
    found: Settings
    architecture: str
    by: str

    def text_onnx(self, length: int) -> bytes | None:
        """Export the text tower for texts of so many tokens; None if it does not run on fewer than its context."""
        with _shortened(self.words, length):
            sample = torch.zeros(1, length, dtype=torch.int64)
            try:
                self.text(sample)
            except (RuntimeError, ValueError, IndexError):
                return None
            return exported(self.text, sample, "tokens", "vectors")


class _Call(nn.Module):
    """A method of a model as a module of its own, so that torch can export it."""

    def __init__(self, model: nn.Module, call: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self._call = call

    def forward(self, values: Tensor) -> Tensor:
        """Return the vectors; transformers wraps them."""
        made = self._call(values)
        vectors: Tensor = getattr(made, "pooler_output", made)
        return vectors


def open_clip_pair(name: str, weights: Path, tokenizer: Path | None) -> Pair:
    """Return a model of open_clip with the weights in a file.

    name: as open_clip knows it, or a folder with open_clip_config.json, as models on a hub have.
    tokenizer: folder of a tokenizer as transformers saves one; None for models that take open_clip's own.
    UsageError if the name, the weights or the tokenizer do not fit each other, or open_clip is not installed.
    """
    state = read_weights(weights)
    try:
        import open_clip
    except ModuleNotFoundError:
        raise UsageError("this source needs open_clip: pip install open_clip_torch") from None
    folder = Path(name) if Path(name).is_dir() else None
    if folder is None and name not in open_clip.list_models():
        raise UsageError(f"open_clip has no model {name!r}: see open_clip.list_models(), or give a folder")
    stored = {} if folder is None else json_of(folder, OPEN_CLIP_CONFIG)
    config = stored.get("model_cfg") if folder else open_clip.get_model_config(name)
    text = config.get("text_cfg") if isinstance(config, dict) else None
    if not isinstance(text, dict):
        raise UsageError(f"{name}: {OPEN_CLIP_CONFIG} has no model_cfg with a text_cfg: get it again")
    if "hf_model_name" in text:
        raise UsageError(f"{name} has a text tower of transformers, which open_clip would download: not supported")
    if tokenizer is not None and "hf_tokenizer_name" not in text:
        raise UsageError(f"{name} takes open_clip's own tokenizer: leave out --tokenizer")
    model = _open_clip_model(open_clip, name if folder is None else f"local-dir:{folder}", state, weights)
    fitted, own = _open_clip_tokenizer(open_clip, name, text, tokenizer or folder)
    side = model.visual.image_size
    side = side[0] if isinstance(side, tuple | list) else int(side)
    return Pair(
        _Call(model, model.encode_image),
        _Call(model, model.encode_text),
        getattr(model, "text", model),
        fitted,
        lambda texts: np.asarray(own(list(texts))),
        int(text.get("context_length", _CONTEXT)),
        float(model.logit_scale.detach().exp()),
        _published(open_clip, name, side) if folder is None else _settings(stored.get("preprocess_cfg", {}), side),
        f"open_clip:{Path(name).name}",
        "open_clip",
    )


def _open_clip_model(open_clip: Any, asked: str, state: dict[str, Tensor], weights: Path) -> Any:
    logging.disable(logging.WARNING)  # open_clip warns of weights that it does not load itself
    try:
        model = open_clip.create_model(asked, load_weights=False, pretrained_text=False).eval()
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"open_clip cannot make {asked} ({reason[:200]}): check its configuration") from None
    finally:
        logging.disable(logging.NOTSET)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = open_clip.convert_to_custom_text_state_dict(state)
    for key in ("logit_scale", "logit_bias"):  # a number in some versions, a row of one in others
        if key in state and isinstance(getattr(model, key, None), Tensor):
            state[key] = state[key].reshape(getattr(model, key).shape)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{weights} does not fit open_clip's {asked} ({reason[:200]}): give its own weights") from None
    return model


def _open_clip_tokenizer(open_clip: Any, name: str, text: dict[str, Any], folder: Path | None) -> tuple[bytes, Any]:
    """Return the tokenizer.json, and what open_clip makes tokens with."""
    context, settings = int(text.get("context_length", _CONTEXT)), dict(text.get("tokenizer_kwargs", {}))
    rows, clean = int(text.get("vocab_size", _VOCABULARY)), settings.get("clean", "")
    if "hf_tokenizer_name" not in text:
        own = open_clip.SimpleTokenizer(context_length=context, **settings)
        return _fitted(_bpe_of(open_clip), context, "right", 0, clean, rows, "open_clip's own tokenizer"), own
    if folder is None:
        raise UsageError(f"{name} needs --tokenizer FOLDER, the tokenizer {text['hf_tokenizer_name']} in a folder")
    loaded = _loaded(folder)
    own = open_clip.tokenizer.HFTokenizer(str(folder), context_length=context, **settings)
    stored, called = (folder / TOKENIZER_FILE).read_bytes(), str(folder)
    return _fitted(stored, context, loaded.padding_side, loaded.pad_token_id, clean, rows, called), own


def hf_pair(folder: Path) -> Pair:
    """Return a model of two towers in a folder of transformers, such as CLIP, SigLIP or SigLIP 2 of fixed size.

    UsageError if the folder is not such a model, or its tokenizer is not a tokenizer.json.
    """
    model, config = hf_model(folder, "AutoModel", "a model")
    kind = str(config.get("model_type"))
    if not all(hasattr(model, one) for one in ("get_image_features", "get_text_features", "logit_scale")):
        raise UsageError(f"{folder} is a {kind}, not a model of an image tower and a text tower such as CLIP or SigLIP")
    if kind == "siglip2":
        raise UsageError(f"{folder} is a SigLIP 2 of variable picture size (NaFlex): give one of a fixed size")
    text = model.config.text_config
    context, loaded = int(text.max_position_embeddings), _loaded(folder)
    stored, rows = (folder / TOKENIZER_FILE).read_bytes(), int(text.vocab_size)

    def tokens(texts: Sequence[str]) -> Int64[np.ndarray, "texts context"]:
        made = loaded(list(texts), padding="max_length", max_length=context, truncation=True, return_tensors="np")
        return np.asarray(made.input_ids, np.int64)

    def fitted(clean: str) -> bytes:
        return _fitted(stored, context, loaded.padding_side, loaded.pad_token_id, clean, rows, str(folder))

    probes = ["a photo of a Snow-Leopard, which is wild."]
    plain = fitted("")
    same = np.array_equal(_ids(plain, probes), tokens(probes))  # SigLIP's first tokenizer takes punctuation away
    return Pair(
        _Call(model, lambda pixels: model.get_image_features(pixel_values=pixels)),
        _Call(model, lambda ids: model.get_text_features(input_ids=ids)),
        nn.Module(),
        plain if same else fitted("canonicalize"),
        tokens,
        context,
        float(model.logit_scale.detach().exp()),
        of_processor(hf_processor(folder)),
        f"hf:{kind}",
        "transformers",
    )


def _loaded(folder: Path) -> Any:
    """The tokenizer in a folder, by transformers."""
    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(f"{folder} has no {TOKENIZER_FILE}: save its tokenizer with transformers, as a fast one")
    try:
        loaded = transformers_here().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of many classes
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder}: its tokenizer cannot be read ({reason[:200]})") from None
    if loaded.pad_token_id is None:
        raise UsageError(f"{folder}: its tokenizer has no token to pad texts with: it is of another kind of model")
    return loaded


def _ids(tokenizer: bytes, texts: Sequence[str]) -> Int64[np.ndarray, "texts context"]:
    return np.array([one.ids for one in read_tokenizer(tokenizer).encode_batch(list(texts))], np.int64)


def _fitted(stored: bytes, context: int, side: str, pad: int, clean: str, rows: int, called: str) -> bytes:
    """Return a tokenizer.json that pads and truncates to the context, and cleans texts as `clean` of open_clip says.

    rows: tokens that the text tower knows. UsageError if the tokenizer has more, or far fewer.
    """
    from tokenizers import Regex, normalizers

    tokenizer = read_tokenizer(stored)
    size = tokenizer.get_vocab_size()
    if not _FEWEST * rows <= size <= rows:
        raise UsageError(f"{called} has {size:,} tokens, the text tower {rows:,}: give the tokenizer of this model")
    tokenizer.enable_truncation(context)
    tokenizer.enable_padding(direction=side, pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "", length=context)
    if clean == "canonicalize":  # as in big_vision: no punctuation, lower case, single spaces
        steps = [
            normalizers.Replace("_", " "),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([*steps, *own])
    made: str = tokenizer.to_str()
    return made.encode("utf-8")


def _bpe_of(open_clip: Any) -> bytes:
    """Return open_clip's own tokenizer, whose merges are a file of its package, as a tokenizer.json."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    file = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    vocabulary: dict[str, int] = open_clip.SimpleTokenizer().encoder
    first, last = "<start_of_text>", "<end_of_text>"
    count = len(vocabulary) - 512 - 2  # bytes, bytes at the end of a word, and the marks of begin and end
    lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    merges = [(one, other) for one, _, other in (line.partition(" ") for line in lines[1 : count + 1])]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=last))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        (last, vocabulary[last]), (first, vocabulary[first]), trim_offsets=False, add_prefix_space=False
    )
    made: str = tokenizer.to_str()
    return made.encode("utf-8")


def _published(open_clip: Any, name: str, side: int) -> Settings:
    """The preprocessing of the weights that open_clip publishes for a model; nothing where they differ."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    found = [_settings(open_clip.get_pretrained_cfg(name, tag), side) for tag in tags]
    same = bool(found) and all(one == found[0] for one in found)
    return found[0] if same else {"crop": side}


def _settings(config: dict[str, Any], side: int) -> Settings:
    mean, std = (config.get(key) or default for key, default in (("mean", _MEAN), ("std", _STD)))
    mode = config.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        return {"crop": side}
    return {
        "resize": side, "crop": side, "interpolation": config.get("interpolation") or "bicubic",
        "mean": tuple(255 * float(one) for one in mean), "std": tuple(255 * float(one) for one in std),
        "squash": mode == "squash",
    }  # fmt: skip


_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of OpenAI's CLIP


@contextmanager
def _shortened(words: nn.Module, length: int) -> Iterator[None]:
    """Let a text tower of open_clip take fewer tokens meanwhile; those of transformers take any number."""
    place, mask = getattr(words, "positional_embedding", None), getattr(words, "attn_mask", None)
    if place is None:
        yield
        return
    try:
        words.positional_embedding = nn.Parameter(place.detach()[:length], requires_grad=False)
        if mask is not None:
            words.attn_mask = mask[:length, :length]
        yield
    finally:
        words.positional_embedding = place
        if mask is not None:
            words.attn_mask = mask
