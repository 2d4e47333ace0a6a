"""A folder with a CLIP model of random weights, as Hugging Face stores one: what runs where there is no hub.

The sizes are those of ViT-B/32. The words are CLIP's own, as they lie in the package of open_clip.
"""

import json
from pathlib import Path

__all__ = ["random_clip"]

_START, _END = "<|startoftext|>", "<|endoftext|>"


def random_clip(folder: Path) -> Path:
    """Write it, unless it is there; the same weights each time. Needs transformers and open_clip."""
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    vocabulary, merges = _words(folder)
    torch.manual_seed(0)
    CLIPTokenizer(vocabulary, merges, model_max_length=77).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    return folder


def _words(folder: Path) -> tuple[str, str]:
    """The two files of a byte-pair tokenizer, written from open_clip's."""
    from open_clip.tokenizer import SimpleTokenizer

    own = SimpleTokenizer()
    named = {"<start_of_text>": _START, "<end_of_text>": _END}
    places = {named.get(piece, piece): place for piece, place in own.encoder.items()}
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(places), encoding="utf-8")
    pairs = sorted(own.bpe_ranks, key=own.bpe_ranks.__getitem__)
    merges.write_text("#version: 0.2\n" + "".join(f"{' '.join(pair)}\n" for pair in pairs), encoding="utf-8")
    return str(vocabulary), str(merges)
