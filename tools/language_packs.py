"""Make the names of synsets in other languages that the package carries, from the Open Multilingual Wordnet's.

FOLDER has one CODE.tsv.xz per language: a header, then a synset id, a tab and a name per line. Kept are the nouns below
"physical entity". The name to show comes first: of several the most frequent (package wordfreq), but no Latin one
where there is another, no capital where English has none, none that names something above the synset or much else too,
rather one word than several, and rather one that looks like the English name. Chinese needs jieba too; of Albanian,
Basque and Galician wordfreq knows nothing, so that only the other rules count there. Languages whose licence is not a
free one for data are left out (`fas`: "free to use").
"""

import lzma
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path

from devise.files import atomic_write
from devise.model.parts import ModelParts
from devise.tabletext import markdown_table
from devise.taxonomy.languages import CODES, PACKAGED, language_names, plain_name
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from tools import parser

_LEFT_OUT = frozenset({"fas"})
_COGNATE = 0.6  # a lower ratio of SequenceMatcher is chance
_LATIN, _CAPITAL, _ABOVE, _WORDS, _SHARED, _ALIKE = 6.0, 2.0, 2.0, 3.0, 1.0, 4.0  # in units of log10 of a frequency


def packed(text: str, taxonomy: Taxonomy, frequency: Callable[[str], float]) -> str:
    """Return the lines to keep, best name of a synset first. frequency: log10 of a name's uses per 10^9 words."""
    header, *lines = text.splitlines()
    kept = {*taxonomy.physical_nouns()}
    names: dict[str, dict[str, None]] = defaultdict(dict)
    owners: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        synset_id, name = line.split("\t")[:2]
        name = " ".join(name.replace("_", " ").split())
        if name and name not in names[synset_id]:
            names[synset_id][name] = None
            owners[name.casefold()].add(synset_id)

    def worth(synset_id: str, name: str) -> float:
        english, same = taxonomy.terms(synset_id), owners[name.casefold()]
        latin = {one.casefold() for one in english if " " in one and one[0].isupper()}
        return (
            frequency(name)
            + _ALIKE * _likeness(name, english)
            - _SHARED * math.log2(len(same))
            - _LATIN * (name.casefold() in latin)
            - _CAPITAL * (name[0].isupper() and not english[0][0].isupper())
            - _ABOVE * (len(same) > 1 and not same.isdisjoint(taxonomy.ancestors(synset_id)))
            - _WORDS * (" " in name or "-" in name)
        )

    body = [
        f"{synset_id}\t{name}"
        for synset_id in sorted(names.keys() & kept)
        for name in (
            sorted(names[synset_id], key=partial(worth, synset_id), reverse=True)
            if len(names[synset_id]) > 1
            else names[synset_id]
        )
    ]
    return "\n".join((header, *body)) + "\n"


def coverage() -> str:
    """Return a table of the languages in the package: how many labels of the default model they name."""
    parts = ModelParts.open()
    two: dict[str, str] = {three: code for code, three in CODES.items()}
    rows = []
    for file in sorted(PACKAGED.glob("*.tsv.xz"), key=lambda one: two[one.name[:3]]):
        found = language_names(file.name[:3], parts.taxonomy)
        licence = lzma.decompress(file.read_bytes()).decode().partition("\n")[0].split("\t")[-1].strip()
        known = [sum(one in found.names for one in ids) for ids in (parts.space.labels.ids, parts.trained_ids)]
        rows.append((two[found.code], found.source, *(f"{one:,}" for one in known), licence))
    return markdown_table([("--lang", "wordnet", "labels", "trained", "licence"), *rows], left=2)


def _likeness(name: str, english: Sequence[str]) -> float:
    """Return how much a name is spelled like one of the English terms, 0 to 1; 0 where it is not much."""
    plain = plain_name(name)
    ratio = max(SequenceMatcher(None, plain, plain_name(one)).ratio() for one in english)
    return ratio if ratio > _COGNATE else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one file per language into the package and print its bytes, or print a table of what is there."""
    given = parser("language_packs", __doc__)
    given.add_argument("folder", type=Path, nargs="?", help="folder of CODE.tsv.xz files; without it, print a table")
    folder: Path | None = given.parse_args(arguments).folder
    if folder is None:
        print(coverage())
        return
    from wordfreq import available_languages, zipf_frequency  # a source of the build only

    known = available_languages()
    counted = {three: two for two, three in CODES.items() if two in known} | {"hrv": "sh"}  # Serbo-Croatian
    taxonomy = default_taxonomy()
    for file in sorted(folder.glob("*.tsv.xz")):
        code = file.name.removesuffix(".tsv.xz")
        if code in _LEFT_OUT:
            continue

        def frequency(name: str, language: str | None = counted.get(code)) -> float:
            return float(zipf_frequency(name, language)) if language else 0.0

        text = packed(lzma.decompress(file.read_bytes()).decode(), taxonomy, frequency)
        data = lzma.compress(text.encode(), preset=9)
        with atomic_write(PACKAGED / file.name, "wb") as target:
            target.write(data)
        print(f"{code}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
