"""Documents: a piece of text with its title, and tags of the meaning it defines, which get their own word vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "SENSE_MARK",
    "Document",
    "sense_tag",
    "tagged",
]


@dataclass(frozen=True, slots=True)
class Document:
    """An article, a definition or a line.

    title: its name; "" if it has none.
    text: may be empty.
    defines: whether the text is a dictionary's definition of the title, so that the title belongs to it as
        a word.
    synset: id of the noun synset that the text is the gloss of; "" if it is none. above: ids of its hypernyms.
    """

    title: str
    text: str
    defines: bool = False
    synset: str = ""
    above: tuple[str, ...] = ()


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

    So a tag is near the words that define its synset, near all its terms, and near the glosses of its hyponyms.
    Tokens of other documents are returned as they are.

    >>> tagged(Document("ounce", "large cat", synset="n1", above=("n2",)), ["ounce", "large", "cat"])
    ['@n1', '@n2', 'ounce', 'large', 'cat', '@n1']
    """
    if not document.synset:
        return list(tokens)
    own = sense_tag(document.synset)
    return [own, *map(sense_tag, document.above), *tokens, own]
