"""Queries as typed: words and photos joined by + and -, and the nouns of a phrase."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from devise.errors import LabelError, UsageError
from devise.model.labeller import Picture
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings
from devise.model.typed import TypedLabel, is_id, parse_labels
from devise.search.results import Term, Wanted
from devise.vision.folders import EXTENSIONS

__all__ = ["Expression", "nouns_of", "parse_expression", "understood"]

_QUOTED = r"\"[^\"\n]+\"(?=\s|$)|'[^'\n]+'(?=\s|$)"
_TOKEN = re.compile(rf"(?P<quoted>(?:(?<=\s)|^)(?:[\d.]+\s*\*\s*)?(?:{_QUOTED}))|(?:(?<=\s)|^)(?P<sign>[+−-])(?=\s|$)")
_MARKS = "\"'"
_WEIGHTED = re.compile(r"(?P<weight>\d{1,6}(?:\.\d{1,6})?|\.\d{1,6})\s*\*\s*(?P<rest>\S.*)", re.DOTALL)
_NUMBERED = re.compile(r"\s*[+−-]?(?:\d[\w.+-]*|\.\d[\w.]*)\s*\*")  # what looks like a weight
_ATTACHED = re.compile(r"(?<=\s)[+−-](?=[\w.\"'])")
_MOST_WEIGHT = 100.0
_LONGEST = 5  # words of a name

_SMALL_WORDS = (
    "a an the this that these those some any my your his her its our their i me we us you he him she it they them "
    "of in on at by with from to into onto over under above below near beside between behind before after inside "
    "outside next across along through during against around about for as up down out off and or who which while "
    "is are was were be being been has have had there here"
)
_PHOTO_WORDS = "photo photos photograph photographs picture pictures image images pic pics snapshot shot"
_JOINING = frozenset(_SMALL_WORDS.split())

_PHOTO = frozenset(_PHOTO_WORDS.split())
_WITHOUT = frozenset(["without", "no", "not", "except"])
_OBJECT = "object.n.01"
_PASSED = _JOINING | _PHOTO | _WITHOUT


@dataclass(frozen=True, slots=True)
class Expression:
    """A query as typed: either words, of which a photo should show any, or terms, which are joined."""

    words: tuple[TypedLabel, ...] = ()
    terms: tuple[Term, ...] = ()

    @property
    def photo(self) -> Picture | None:
        """Return the photo of a query that is one photo alone."""
        return self.terms[0].photo if len(self.terms) == 1 else None

    def wanted(self, *, like: Picture | None = None, under: str | None = None, **options: Any) -> Wanted:
        """Return the query with other fields of `Wanted`; a photo alone is one to be like."""
        if self.photo is not None and like is None and under is None:
            return Wanted(like=self.photo, **options)
        return Wanted(self.words, terms=self.terms, like=like, under=under, **options)

    def changed(self, change: Callable[[tuple[TypedLabel, ...]], tuple[TypedLabel, ...]]) -> "Expression":
        """Return the query with other labels: as many as its own, in the same order."""
        labels = iter(change((*self.words, *(label for term in self.terms for label in term.words))))
        words = tuple(islice(labels, len(self.words)))
        return Expression(
            words, tuple(replace(term, words=tuple(islice(labels, len(term.words)))) for term in self.terms)
        )


def parse_expression(*texts: str, photos: bool = True) -> Expression:
    """Parse words and photos with + and - between them.

    An operator has a space on both sides, so that "T-shirt" and "C++" are names. A number and * before a term is its
    weight: "2*beach + sunset". A term may list words, any of which count: "lion, tiger + water". A term is a photo if
    it ends as a picture does (pool.jpg), or is the path of a file; a file whose name contains an operator must be alone
    or in quotes. Quotes keep operators in a name. A definition after a colon goes to the end of its text.
    Without an operator, a weight or a photo, the texts list words. A number and * that are not a weight, as in "2*" and
    "1e9*cat", are refused; in quotes they are a name.

    photos: False refuses what ends as a photo does, and looks at no file. UsageError for an operator without a term, a
    query with minus terms only, a weight that is 0 or above 100, and for what `parse_labels` refuses.

    >>> [(term.weight, term.words[0].name) for term in parse_expression("beach - person + 2*sunset").terms]
    [(1.0, 'beach'), (-1.0, 'person'), (2.0, 'sunset')]
    >>> [label.name for label in parse_expression("T-shirt, C++").words]
    ['T-shirt', 'C++']
    """
    tokens = [token for text in texts for token in _tokens(text, photos)]
    for _, text in _operands(tokens):
        if (
            (attached := _ATTACHED.search(text.partition(":")[0]))
            and text[0] not in _MARKS
            and not _is_photo(text, photos)
        ):
            raise UsageError(
                f"{text[attached.start() :]}: + and - need a space on both sides; put a name with such a sign in quotes"
            )
        _check_weight(text, photos)
    if not any(isinstance(token, str) for token in tokens) and not any(
        _is_photo(_bare(text), photos) or _WEIGHTED.fullmatch(text.strip()) for _, text in _operands(tokens)
    ):
        return Expression(words=parse_labels(*texts))
    terms: list[Term] = []
    sign = ""
    for token in tokens:
        if isinstance(token, str):
            if sign:
                raise UsageError(f"{sign} {token} in a query: write one sign and a word or a photo after it")
            sign = token
            continue
        terms.append(_term(token.text, -1.0 if sign == "-" else 1.0, photos))
        sign = ""
    if sign:
        raise UsageError(f"nothing after {sign} in the query: write a word or a photo after it")
    if all(term.weight < 0 for term in terms):
        raise UsageError("a query with - needs something to find: write a word or a photo before it")
    return Expression(terms=tuple(terms))


@dataclass(frozen=True, slots=True)
class _Operand:
    text: str


def _operands(tokens: Sequence["str | _Operand"]) -> Iterator[tuple[int, str]]:
    yield from ((place, token.text) for place, token in enumerate(tokens) if isinstance(token, _Operand))


def _tokens(text: str, files: bool) -> list["str | _Operand"]:
    """Split a text at its operators; a whole path of a photo, and a definition, stay as they are."""
    if files and _is_photo(text.strip(), files) and os.path.isfile(os.path.expanduser(text.strip())):
        return [_Operand(text.strip())]
    found: list[str | _Operand] = []
    begin = 0
    for token in _TOKEN.finditer(text):
        if token["sign"] is None:
            continue
        before = text[begin : token.start()].strip()
        _, colon, definition = before.partition(":")
        if colon and not is_id(definition):
            break
        found += [_Operand(before)] * bool(before)
        found.append("-" if token["sign"] == "−" else token["sign"])
        begin = token.end()
    rest = text[begin:].strip()
    return [*found, _Operand(rest)] if rest or not found else found


def _check_weight(text: str, photos: bool) -> None:
    """Raise UsageError for a number and * that are not a weight before a word or a photo."""
    if _is_photo(_bare(text), photos):
        return
    weighted = _WEIGHTED.fullmatch(text.strip())
    listed = re.split("[,;，；،؛]", (weighted["rest"] if weighted else text).partition(":")[0])
    if wrong := next((part.strip() for part in listed if _NUMBERED.match(part)), None):
        raise UsageError(
            f"{wrong}: a weight is one number above 0 and at most {_MOST_WEIGHT:g} before a term, as in 2*beach; put a "
            "name with * in quotes"
        )


def _term(text: str, sign: float, photos: bool) -> Term:
    weight = 1.0
    if weighted := _WEIGHTED.fullmatch(text):
        weight, text = float(weighted["weight"]), weighted["rest"]
        if not 0 < weight <= _MOST_WEIGHT:
            raise UsageError(f"the weight of {text} must be above 0 and at most {_MOST_WEIGHT:g}, got {weight:g}")
    if not _is_photo(_bare(text), photos):
        return Term(sign * weight, parse_labels(text))
    if not photos:
        raise UsageError(f"{text} is a file: this query takes words alone")
    return Term(sign * weight, photo=Path(os.path.expanduser(_bare(text))))


def _bare(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in _MARKS else text


def _is_photo(text: str, files: bool) -> bool:
    """Return whether a term is a photo: it ends as one does, or is a path with a separator that leads to a file.

    files: False looks at no file, for a query from outside must not learn which files there are.
    """
    ends = os.path.splitext(text)[1].lower() in EXTENSIONS and "\n" not in text
    return ends or (files and ("/" in text or os.sep in text) and os.path.isfile(os.path.expanduser(text)))


def understood(parts: ModelParts, asked: Expression) -> tuple[Expression, tuple[str, ...]]:
    """Replace phrases by their nouns; return the query, and a note on each phrase.

    A phrase is a single word of a query or term that WordNet does not know, with a word such as "on" or "my" in it.
    A text tower reads it as it is.
    LabelError for a phrase without a noun.
    """
    notes: list[str] = []
    if not asked.terms:
        if len(asked.words) != 1 or not _is_phrase(parts, asked.words[0]):
            return asked, ()
        terms = _expanded(parts, Term(1.0, asked.words), notes)
        if len(terms) == 1 and terms[0].weight > 0:
            return Expression(words=terms[0].words), tuple(notes)
    else:
        terms = tuple(
            inner
            for term in asked.terms
            for inner in (
                _expanded(parts, term, notes) if len(term.words) == 1 and _is_phrase(parts, term.words[0]) else [term]
            )
        )
    if all(term.weight < 0 for term in terms):
        raise UsageError("a query that only leaves out needs something to find: write a word or a photo before it")
    return Expression(terms=tuple(terms)), tuple(notes)


def _is_phrase(parts: ModelParts, label: TypedLabel) -> bool:
    words = _words(label.name)
    known = (
        parts.has_tower or label.definition or is_id(label.name) or len(words) < 2 or parts.taxonomy.find(label.name)
    )
    return not known and not _PASSED.isdisjoint(words)


def _words(text: str) -> list[str]:
    return [word for one in text.lower().split() if (word := one.strip(".,;:!?()[]\"'“”"))]


def _expanded(parts: ModelParts, term: Term, notes: list[str]) -> tuple[Term, ...]:
    text = term.words[0].name
    found, passed = nouns_of(parts, text)
    if not found:
        raise LabelError(f"no noun in {text!r}: write the things to find, as in 'dog + sofa'")
    terms = tuple(replace(one, weight=one.weight * term.weight) for one in found)
    shown = " ".join(
        ("- " if one.weight < 0 else "+ " if place else "") + " or ".join(word.name for word in one.words)
        for place, one in enumerate(found)
    )
    notes.append(f"{text}: read as {shown}" + (f"; passed over: {', '.join(passed)}" if passed else ""))
    return terms


def nouns_of(parts: ModelParts, text: str) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Return the things that a phrase names, longest names first, and its words that name nothing to be seen.

    What follows "without", "no" or "not" has a negative weight. Nouns with "or" between them are one term.
    """
    words, meanings = _words(text), Meanings(parts)
    found: list[Term] = []
    passed: list[str] = []
    place, sign, joined, after = 0, 1.0, False, False
    while place < len(words):
        word = words[place]
        if word in _PASSED:
            sign = -1.0 if word in _WITHOUT else sign
            joined |= word == "or"
            after, place = False, place + 1
            continue
        length = next((n for n in range(_LONGEST, 0, -1) if _names(parts, meanings, words[place : place + n], n)), 0)
        name = " ".join(words[place : place + length])
        beside = after or (place + length < len(words) and words[place + length] not in _PASSED)
        if not length or (length == 1 and beside and _is_act(parts, meanings, name)):
            passed.append(word)
            place += 1
            continue
        label = TypedLabel(name)
        if joined and found and (found[-1].weight < 0) == (sign < 0):
            found[-1] = Term(found[-1].weight, (*found[-1].words, label))
        elif all(label not in term.words for term in found):
            found.append(Term(sign, (label,)))
        place, sign, joined, after = place + length, 1.0, False, True
    return tuple(found), tuple(passed)


def _names(parts: ModelParts, meanings: Meanings, words: Sequence[str], count: int) -> bool:
    """Return whether these words are the name of something that a photo can show."""
    if len(words) < count or words[0] in _PASSED or words[-1] in _PASSED:
        return False
    meaning = meanings.of(" ".join(words))
    known = meaning is not None and meaning.chosen.id in parts.space.labels
    return known and meaning is not None and parts.withheld.get(meaning.chosen.id) != "unseen"


def _is_act(parts: ModelParts, meanings: Meanings, name: str) -> bool:
    """Return whether a word is a participle next to a noun ("a dog sleeping"), no thing of its own."""
    meaning, thing = meanings.of(name), parts.taxonomy.id_in(_OBJECT)
    assert meaning is not None
    return name.endswith("ing") and thing not in parts.taxonomy.ancestors(meaning.chosen.id)
