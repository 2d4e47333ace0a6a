"""Hugging Face's zero-shot image classification pipeline as a row of devise's tables.

    devise also record.json --scorer hf=examples/hf_pipeline_scorer.py:scorer --photos photos/ --out with-hf.json

Needs `pip install transformers torch torchvision` (devise itself does not). HF_MODEL is the folder or name of a model
such as CLIP or SigLIP. The pipeline embeds all names again for every call: with thousands of candidates prefer the
example with open_clip.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["PipelineScorer", "scorer"]


class PipelineScorer:
    """Puts the pipeline's answers, which come best first, back into the order of the names."""

    probabilities = True

    def __init__(self, pipeline: Callable[..., Any], template: str = "This is a photo of {}.") -> None:
        self._pipeline, self._template = pipeline, template

    def scores(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> Any:
        """One row a picture, one column a name."""
        place = {name: column for column, name in enumerate(names)}
        results = self._pipeline(list(pictures), candidate_labels=list(names), hypothesis_template=self._template)
        scores = np.zeros((len(pictures), len(names)), dtype=np.float32)
        for row, answers in enumerate(results):
            for answer in answers:
                scores[row, place[answer["label"]]] = answer["score"]
        return scores


def scorer() -> PipelineScorer:
    """The pipeline of the model that HF_MODEL names."""
    from transformers import pipeline

    return PipelineScorer(pipeline("zero-shot-image-classification", model=os.environ["HF_MODEL"]))
