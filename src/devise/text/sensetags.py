"""Tokens for single meanings: in the glosses of WordNet, they get their own word vectors."""

from collections.abc import Sequence

from devise.text.documents import Document

__all__ = ["SENSE_MARK", "sense_tag", "tagged"]

SENSE_MARK = "@"
"""Begins a tag; `tokenize` leaves it out of every word, so that no word of a text is a tag."""


def sense_tag(synset_id: str) -> str:
    """The token of a synset.

    >>> sense_tag("n02128757")
    '@n02128757'
    """
    return SENSE_MARK + synset_id


def tagged(document: Document, tokens: Sequence[str]) -> list[str]:
    """Return a noun's gloss between two tags of its synset, with its hypernyms' tags after the first.

    So a tag stands near the words that define its synset, near all its terms, and near the glosses of its hyponyms.
    Tokens of other documents are returned as they are.

    >>> tagged(Document("ounce", "large cat", synset="n1", above=("n2",)), ["ounce", "large", "cat"])
    ['@n1', '@n2', 'ounce', 'large', 'cat', '@n1']
    """
    if not document.synset:
        return list(tokens)
    own = sense_tag(document.synset)
    return [own, *map(sense_tag, document.above), *tokens, own]
