"""Names of synsets in other languages: wordnets in the package, or a file of the user's own."""

import lzma
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from devise.errors import UsageError
from devise.files import read_file, text_of

__all__ = ["CODES", "PACKAGED", "LanguageNames", "language_names", "plain_name", "read_names"]

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


@dataclass(frozen=True, eq=False)
class LanguageNames:
    """The names of synsets in one language.

    code: "fra", or the file's name. source: what the names were taken from. names: by synset id, the one to show first.
    skipped: lines of ids that WordNet 3.0 lacks among its nouns.
    """

    code: str
    source: str
    names: Mapping[str, tuple[str, ...]]
    skipped: int = 0

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


def language_names(language: str, known: Container[str]) -> LanguageNames:
    """Return the names of a language in the package, by its code ("fr", "fra"), or those in a file.

    known: ids of nouns, of which a file may have names. UsageError for an unknown language or a file that cannot be
    read, see `read_names`.
    """
    code = language.strip().lower()
    code = CODES.get(code, code)
    if code in _packaged():
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
    return _names(code, text, None)


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
