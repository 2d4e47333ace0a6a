"""Names of synsets in other languages: wordnets in the package, or a file of the user's own."""

import lzma
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache, cached_property
from pathlib import Path

from devise.errors import UsageError
from devise.files import read_file, text_of

__all__ = ["CODES", "PACKAGED", "LanguageNames", "code_of", "language_names", "plain_name", "read_names"]

PACKAGED = Path(__file__).with_name("languages")
"""Folder of the wordnets in the package, one file per language: ids and names, best name first; see NOTICE."""

_CODES = (
    "ar:arb bg:bul ca:cat zh:cmn da:dan el:ell eu:eus fa:fas fr:fra gl:glg he:heb hr:hrv id:ind is:isl it:ita "
    "lt:lit ms:zsm no:nob nb:nob nl:nld pl:pol pt:por sk:slk sl:slv sq:als sv:swe"
)
CODES: Mapping[str, str] = dict(pair.split(":") for pair in _CODES.split())
"""Two-letter codes of languages, and the three-letter ones that the Open Multilingual Wordnet uses."""

_LINE = re.compile(r"(?:n(?P<id>\d{8})|(?P<offset>\d{8})-n)\t(?:(?:[a-z]+:)?(?P<kind>\w+)\t)?(?P<name>[^\t]*?\S)\s*")
_OTHER = re.compile(r"(?:[avrs]\d{8}|\d{8}-[avrs])\t.*")  # no noun
_MOST_BYTES = 64 * 2**20
_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "fra": (("aux", "al"), ("s", ""), ("x", "")),
    "cat": (("es", "a"), ("os", ""), ("s", "")),
    "glg": (("es", ""), ("s", "")),
    "por": (("ões", "ão"), ("ães", "ão"), ("is", "l"), ("es", ""), ("s", "")),
    "ita": (("i", "o"), ("i", "e"), ("e", "a")),
    "nld": (("en", ""), ("s", "")),
}
"""Endings of plurals, and what their singulars have in their place."""

_VOWELS = frozenset("aeiouyæœøαεηιουωаеиоуъюяыэ")
_FRAGMENT = 20  # names that have a word inside, from which on it only joins others: "de" in "ver de terre"
_SHORT_WORDS = 0.002  # of a language's nouns with one name; Danish has 0.011 with at most two letters, French 0.0007
_LIKE = 0.5  # of a name that stands for an abbreviation, to an English one


@dataclass(frozen=True, eq=False, slots=True)
class _Words:
    """What the names of a language show of its words, in lower case.

    alone: names that are the only one of a synset. inside, first: how many names have a word inside, or first. starts:
    the first two letters of all long words. has_short: whether words of one or two letters are common.
    """

    alone: frozenset[str]
    inside: Counter[str]
    first: Counter[str]
    starts: frozenset[str]
    has_short: bool


@dataclass(frozen=True, eq=False)
class LanguageNames:
    """The names of synsets in one language.

    code: "fra", or the file's name. source: what the names were taken from. names: by synset id, best name first.
    skipped: lines of ids that WordNet 3.0 lacks among its nouns. by_program: the order was made by a program, and
    `shown` improves it.
    """

    code: str
    source: str
    names: Mapping[str, tuple[str, ...]]
    skipped: int = 0
    by_program: bool = False

    def shown(self, synset_id: str, english: Sequence[str]) -> tuple[str, ...]:
        """Return the names of a synset, the one to show first; empty if it has none.

        Others come before an abbreviation, a word that only joins others, and letters that are not a word. Instead of
        an abbreviation comes the name most like an English one. english: the synset's names in English.

        >>> language_names("fr", ()).shown("n04493381", ["tub", "vat"])[:2]  # bathtub, not value-added tax
        ('cuve', 'tva')
        """
        names = self.names.get(synset_id, ())
        if not self.by_program or len(names) < 2:
            return names
        first = names[0]
        if _is_abbreviation(first, names, english):
            copies = {plain_name(one) for one in english if " " in one} | {plain_name(first)}
            long = [one for one in names if plain_name(one) not in copies and self._is_word(one)]
            likeness, best = max(((_likeness(one, english), one) for one in long), default=(0.0, first))
            chosen = best if likeness >= _LIKE else first.upper()
        else:
            chosen = first if self._is_word(first) else next(filter(self._is_word, names), first)
        return (chosen, *(one for one in names if one != chosen))

    def _is_word(self, name: str) -> bool:
        """Return whether a name is a word, as far as the other names of the language show it."""
        plain, words = name.lower(), self._words
        if not name.isalpha() or plain == name.upper() or plain in words.alone:
            return True
        if words.inside[plain] >= _FRAGMENT and words.inside[plain] > words.first[plain]:
            return False
        if len(plain) <= 2:
            return words.has_short or words.first[plain] > 2
        start = plain_name(plain)[:2]
        return len(plain) > 4 or start in words.starts or not _VOWELS.isdisjoint(start)

    @cached_property
    def _words(self) -> "_Words":
        listed = [name.lower() for names in self.names.values() for name in names]
        parts = [name.split(" ") for name in listed if " " in name]
        alone = {names[0] for names in self.names.values() if len(names) == 1}
        return _Words(
            alone=frozenset(alone),
            inside=Counter(part for words in parts for part in words[1:-1]),
            first=Counter(words[0] for words in parts),
            starts=frozenset(plain_name(name)[:2] for name in listed if name.isalpha() and len(name) > 4),
            has_short=sum(len(name) <= 2 for name in alone if name.islower()) > _SHORT_WORDS * len(alone),
        )

    def find(self, word: str) -> tuple[str, ...]:
        """Return the ids of the synsets with this name, whatever its case and accents, else with its singular.

        >>> language_names("fr", ()).find("Léopards des neiges")
        ('n02128757',)
        """
        plain = plain_name(word)
        if found := self._by_name.get(plain):
            return found
        singulars = (self._by_name.get(one) for one in _singulars(plain, self.code))
        return next((found for found in singulars if found), ())

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {}
        for synset_id, names in self.names.items():
            for name in names:
                found.setdefault(plain_name(name), {})[synset_id] = None
        return {one: tuple(listed) for one, listed in found.items()}


def code_of(language: str) -> str | None:
    """Return the three-letter code of a language in the package; None for any other text, such as a file.

    >>> code_of("fr"), code_of("Fra "), code_of("names.tsv")
    ('fra', 'fra', None)
    """
    code = language.strip().lower()
    code = CODES.get(code, code)
    return code if code in _packaged() else None


def language_names(language: str, known: Container[str]) -> LanguageNames:
    """Return the names of a language in the package, by its code ("fr", "fra"), or those in a file.

    known: ids of nouns, of which a file may have names. UsageError for an unknown language or a file that cannot be
    read, see `read_names`.
    """
    if (code := code_of(language)) is not None:
        return _of_package(code)
    path = Path(language)
    if not path.is_file():
        short = {three: two for two, three in CODES.items()}
        listed = ", ".join(sorted(short.get(one, one) for one in _packaged()))
        raise UsageError(
            f"no language {language!r}: give one of {listed}, or a file with a synset id, a tab and a name per line"
        )
    return read_names(path, known)


def read_names(path: Path, known: Container[str]) -> LanguageNames:
    """Read names from a text file (also .xz): a synset id (n02129165 or 02129165-n), a tab, a name per line.

    The .tab files of the Open Multilingual Wordnet are read too, of whose lines the lemmas count. The first line may be
    a header after `#`. Names of one synset keep their order. UsageError for another line, with its number, and for a
    file without a name.
    """
    name = f"the names in {path}"
    try:
        data = read_file(path, _MOST_BYTES)
        text = text_of(_unpacked(data), name, UsageError)
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise UsageError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return _names(path.name, text, known)


@cache
def _of_package(code: str) -> LanguageNames:
    text = lzma.decompress((PACKAGED / f"{code}.tsv.xz").read_bytes()).decode()
    return replace(_names(code, text, None), by_program=True)


@cache
def _packaged() -> tuple[str, ...]:
    return tuple(sorted(file.name.removesuffix(".tsv.xz") for file in PACKAGED.glob("*.tsv.xz")))


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(b"\xfd7zXZ"):
        return data
    unpacker = lzma.LZMADecompressor()
    text = unpacker.decompress(data, _MOST_BYTES)
    if not unpacker.eof:
        raise EOFError(f"it is cut short, or has more than {_MOST_BYTES:,} bytes of text")
    return text


def _names(code: str, text: str, known: Container[str] | None) -> LanguageNames:
    """Return the names in a text. known: ids of nouns; None for a text that has no others."""
    header = text.partition("\n")[0]
    source = header.removeprefix("#").strip().split("\t")[0] if header.startswith("#") else code
    names: dict[str, dict[str, None]] = {}
    skipped = 0
    for synset_id, name in _lines(text, code):
        if known is None or synset_id in known:
            names.setdefault(synset_id, {})[name] = None
        else:
            skipped += 1
    if not names:
        raise UsageError(f"{code} has no name of a noun of WordNet 3.0: write a synset id, a tab and a name per line")
    return LanguageNames(code, source, {one: tuple(listed) for one, listed in names.items()}, skipped)


def _lines(text: str, code: str) -> Iterator[tuple[str, str]]:
    """Yield ids and names; UsageError for a line that is not a name, a comment or of another part of speech."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#") or _OTHER.fullmatch(line):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise UsageError(
                f"line {number} of {code} is {line[:60]!r}: write a synset id such as n02129165, a tab and a name"
            )
        if found["kind"] in (None, "lemma"):
            yield f"n{found['id'] or found['offset']}", " ".join(found["name"].replace("_", " ").split())


def plain_name(text: str) -> str:
    """Return a name without case, accents, vowel signs of Arabic and Hebrew, and what joins its words."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(mark for mark in apart if not unicodedata.combining(mark) and mark != "ـ")
    return " ".join(filter(None, re.split(r"[\s_'’-]+", bare)))


def _is_abbreviation(name: str, names: Sequence[str], english: Sequence[str]) -> bool:
    """Return whether a name is capitals alone, or small letters of which another name is the capitals.

    What English writes as a word ("fax") is a word.
    """
    small = name.islower() and name.upper() in names
    if not 2 <= len(name) <= 6 or not (small or name.isupper()):
        return False
    return not any(plain_name(one) == plain_name(name) and not one.isupper() for one in english)


def _likeness(name: str, english: Sequence[str]) -> float:
    """Return how much a name is spelled like one of the English names, 0 to 1."""
    return max(SequenceMatcher(None, plain_name(name), plain_name(one)).ratio() for one in english)


def _singulars(plain: str, code: str) -> Iterator[str]:
    """Yield the name with its first word, then with all its words in the singular, each by every ending that fits."""
    words = plain.split(" ")
    for plural, singular in _ENDINGS.get(code, ()):
        for changed in (1, len(words)):
            if words[0].endswith(plural) and len(words[0]) > len(plural) + 1:
                yield " ".join(
                    word.removesuffix(plural) + singular if place < changed and word.endswith(plural) else word
                    for place, word in enumerate(words)
                )
