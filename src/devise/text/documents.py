"""Document: one piece of text and its title."""

from dataclasses import dataclass

__all__ = ["Document"]


@dataclass(frozen=True, slots=True)
class Document:
    """An article, a definition or a line.

    title: its name; "" if it has none.
    text: may be empty.
    defines: whether the text is a dictionary's definition of the title, so that the title belongs to it as
        a word.
    damaged: places in it that were not UTF-8; each holds U+FFFD now.
    synset: id of the noun synset that the text is the gloss of; "" if it is none. above: ids of its hypernyms.
    """

    title: str
    text: str
    defines: bool = False
    damaged: int = 0
    synset: str = ""
    above: tuple[str, ...] = ()
