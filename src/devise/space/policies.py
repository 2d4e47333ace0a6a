"""From a named policy to its composer of label vectors."""

from collections.abc import Sequence
from dataclasses import replace

from devise.errors import TextError
from devise.space.encoders import Composer
from devise.space.label_vectors import LabelComposer, LabelPolicy
from devise.space.retrofit import RetrofittedComposer
from devise.taxonomy.wordnet import Taxonomy
from devise.text.documents import SENSE_MARK, sense_tag
from devise.text.vectors import WordTable

__all__ = ["composer_for", "untagged"]


def composer_for(words: WordTable, taxonomy: Taxonomy, policy: LabelPolicy) -> Composer:
    """Return the composer of label vectors from these words under the policy.

    TextError if the policy needs sense tags and the words hold none.
    """
    if policy.tags and not any(word.startswith(SENSE_MARK) for word in words.words):
        raise TextError(
            f"the policy {policy.name} needs vectors of sense tags, and these words contain none: train them with "
            "devise text train --sense-tags, and give them as --label-vectors"
        )
    base = LabelComposer(words, taxonomy, replace(policy, retrofit=0.0))
    return RetrofittedComposer(base, taxonomy, policy.retrofit) if policy.retrofit else base


def untagged(words: WordTable, policy: LabelPolicy, synset_ids: Sequence[str]) -> int | None:
    """Count the synsets without a sense tag, which use their definition. None if the policy reads no tags."""
    return sum(sense_tag(one) not in words for one in synset_ids) if policy.tags else None
