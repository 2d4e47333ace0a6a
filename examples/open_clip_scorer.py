"""A CLIP model of open_clip as a row of devise's tables.

    devise also record.json --scorer clip=examples/open_clip_scorer.py:scorer --photos photos/ --out with-clip.json

Needs `pip install open_clip_torch torch torchvision` (devise itself does not). Without OPEN_CLIP_WEIGHTS, a file of
weights for OPEN_CLIP_MODEL, the weights are random: enough to see that everything works, and no more.
"""

import os
from collections.abc import Sequence
from typing import Any

from PIL import Image

__all__ = ["OpenClipScorer", "scorer"]


class OpenClipScorer:
    """Softmax over the cosines of a picture and the names, as CLIP was trained; the names are embedded once."""

    probabilities = True

    def __init__(self, model: Any, transform: Any, tokenizer: Any, template: str = "a photo of a {}.") -> None:
        self._model, self._transform, self._tokenizer, self._template = model.eval(), transform, tokenizer, template
        self._names: tuple[str, ...] = ()
        self._labels: Any = None

    def scores(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> Any:
        """One row a picture, one column a name."""
        import torch

        with torch.inference_mode():
            if tuple(names) != self._names:
                self._names, self._labels = tuple(names), self._embedded(names)
            images = self._model.encode_image(torch.stack([self._transform(one) for one in pictures]), normalize=True)
            return (self._model.logit_scale.exp() * images @ self._labels.T).softmax(dim=-1).float().numpy()

    def _embedded(self, names: Sequence[str]) -> Any:
        import torch

        texts = [self._template.format(name) for name in names]
        blocks = (texts[start : start + 256] for start in range(0, len(texts), 256))
        return torch.cat([self._model.encode_text(self._tokenizer(block), normalize=True) for block in blocks])


def scorer() -> OpenClipScorer:
    """The model that OPEN_CLIP_MODEL names, ViT-B-32 if it names none, with the weights of OPEN_CLIP_WEIGHTS."""
    import open_clip
    import torch

    torch.manual_seed(0)
    name = os.environ.get("OPEN_CLIP_MODEL", "ViT-B-32")
    weights = os.environ.get("OPEN_CLIP_WEIGHTS")
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=weights)
    return OpenClipScorer(model, transform, open_clip.get_tokenizer(name))
