"""Agreement of word vectors with people: similarity of word pairs, and analogies."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Float64, Int64
from devise.errors import TextError
from devise.ranking import spearman
from devise.text.phrases import term_key
from devise.text.streams import decoded, numbered_lines
from devise.text.vectors import WordTable

__all__ = [
    "Analogy",
    "AnalogyResult",
    "PairsResult",
    "WordPair",
    "judge_analogies",
    "judge_pairs",
    "read_analogies",
    "read_pairs",
]

_AT_ONCE = 512
_NUMERIC = re.compile(r"[-+]?\.?\d.*")
_COLUMN = re.compile(r"(?:word|term|w)_?\d", re.IGNORECASE)  # as the head of a table names it
_SPEECH = re.compile(r"[A-Z]{1,4}|noun|verb|adj|adv")  # parts of speech, as SimLex has them


@dataclass(frozen=True, slots=True)
class WordPair:
    """Two words and their similarity according to people; higher is more similar, on any scale."""

    one: str
    other: str
    score: float


@dataclass(frozen=True, slots=True)
class Analogy:
    """`one` is to `other` as `third` is to `answer`. section: what kind of relation it is."""

    one: str
    other: str
    third: str
    answer: str
    section: str


@dataclass(frozen=True, slots=True)
class PairsResult:
    """spearman: over the covered pairs, in [-1, 1]; None if fewer than two, or if all have one score or cosine."""

    pairs: int
    covered: int
    spearman: float | None

    @property
    def coverage(self) -> float:
        """Share of the pairs of which both words have a vector, in [0, 1]."""
        return self.covered / self.pairs if self.pairs else 0.0


@dataclass(frozen=True, slots=True)
class AnalogyResult:
    """The number of analogies, of those with vectors for all four words, and of right answers."""

    section: str
    analogies: int
    covered: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """Right ones among the covered, in [0, 1]; None if none is covered."""
        return self.right / self.covered if self.covered else None

    @property
    def coverage(self) -> float:
        """Share that is covered, in [0, 1]."""
        return self.covered / self.analogies if self.analogies else 0.0


def read_pairs(path: Path) -> tuple[WordPair, ...]:
    """Read one pair per line: two words and a number, as WordSim, SimLex, MEN and others have them.

    Tabs, blanks, or in a `.csv` commas or semicolons separate the columns. The words are in the first two columns, or
    after a number of the line; the score comes next, or after a part of speech, or before them if they are the last.
    Further columns, blank lines, lines that begin with `#` and a first line that names the columns are passed over.
    TextError names a line that is not so, or a file without pairs.
    """
    pairs = []
    lines = list(_lines(path))
    if lines and re.fullmatch(r"sep=.", lines[0][1]):  # Excel's
        del lines[0]
    for place, (number, line) in enumerate(lines):
        fields = _fields(line, path)
        found = _pair(fields)
        if found is None and place == 0 and len(fields) >= 3 and not any(map(_NUMERIC.fullmatch, fields)):
            continue
        if found is None:
            raise TextError(f"{path} line {number}: expected two words and a number, got {line[:60]!r}")
        if not np.isfinite(found.score):
            raise TextError(f"{path} line {number}: expected a finite number, got {line[:60]!r}")
        pairs.append(found)
    if not pairs:
        raise TextError(f"{path} contains no pairs: expected two words and a number per line")
    return tuple(pairs)


def read_analogies(path: Path) -> tuple[Analogy, ...]:
    """Read four words per line; a line `: name` starts a section (the format of questions-words.txt).

    Columns are separated as in `read_pairs`. Blank lines, lines that begin with `#` and a first line such as "word1
    word2 word3 word4" pass. TextError names a line that is not so, or a file without analogies.
    """
    analogies = []
    section = ""
    for place, (number, line) in enumerate(_lines(path)):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = _fields(line, path)
        if place == 0 and len(words) == 4 and all(map(_COLUMN.fullmatch, words)):
            continue
        if len(words) != 4:
            raise TextError(f"{path} line {number}: expected four words, got {line[:60]!r}")
        analogies.append(Analogy(words[0], words[1], words[2], words[3], section))
    if not analogies:
        raise TextError(f"{path} contains no analogies: expected four words per line")
    return tuple(analogies)


def judge_pairs(table: WordTable, pairs: Sequence[WordPair]) -> PairsResult:
    """Spearman's correlation of the cosines with people's scores, over the pairs whose words both have a vector.

    A word is looked up as it is, then as `term_key` writes it.
    """
    found = [(_row(table, pair.one), _row(table, pair.other), pair.score) for pair in pairs]
    covered = [(one, other, score) for one, other, score in found if one is not None and other is not None]
    if not covered:
        return PairsResult(len(pairs), 0, None)
    one, other = _unit(table, [row for row, _, _ in covered]), _unit(table, [row for _, row, _ in covered])
    cosines = np.einsum("pd,pd->p", one, other)
    scores = np.array([score for _, _, score in covered], dtype=np.float64)
    return PairsResult(len(pairs), len(covered), spearman(cosines, scores))


def judge_analogies(
    table: WordTable, analogies: Sequence[Analogy], *, most_words: int | None = None
) -> tuple[AnalogyResult, ...]:
    """The share answered right, by section and, last, in all (section "all").

    The answer is the word whose unit vector is nearest to other - one + third, each of unit length, and that is none
    of these three (Mikolov et al. 2013, "3CosAdd"). Words are looked up as `judge_pairs` does. most_words: only the
    first so many words of the table take part, as in published tables; None = all.
    """
    size = len(table) if most_words is None else min(most_words, len(table))
    unit = table.unit()[:size]
    rows = [[_row(table, word) for word in (a.one, a.other, a.third, a.answer)] for a in analogies]
    known = [[size if row is None else row for row in four] for four in rows]
    covered = [place for place, four in enumerate(known) if max(four) < size]
    right = np.zeros(len(analogies), dtype=bool)
    for start in range(0, len(covered), _AT_ONCE):
        places = covered[start : start + _AT_ONCE]
        four: Int64[np.ndarray, "batch 4"] = np.array([known[place] for place in places], dtype=np.int64)
        scores = (unit[four[:, 1]] - unit[four[:, 0]] + unit[four[:, 2]]) @ unit.T
        np.put_along_axis(scores, four[:, :3], -np.inf, axis=1)
        right[places] = scores.argmax(axis=1) == four[:, 3]
    is_covered = np.zeros(len(analogies), dtype=bool)
    is_covered[covered] = True
    of_section = np.array([analogy.section for analogy in analogies], dtype=object)
    sections = list(dict.fromkeys(of_section.tolist()))
    masks = [(name, of_section == name) for name in sections] + [("all", np.ones(len(analogies), dtype=bool))]
    return tuple(
        AnalogyResult(name, int(mask.sum()), int((mask & is_covered).sum()), int((mask & right).sum()))
        for name, mask in masks
    )


def _row(table: WordTable, word: str) -> int | None:
    place = table.position(word)
    return table.position(term_key(word)) if place is None else place


def _unit(table: WordTable, rows: Sequence[int]) -> Float64[np.ndarray, "n dim"]:
    vectors = table.vectors[list(rows)].astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float64[np.ndarray, "n dim"] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


def _fields(line: str, path: Path) -> list[str]:
    """Split a line into columns."""
    if "\t" in line:
        return [field.strip() for field in line.split("\t")]
    if path.suffix.lower() != ".csv":
        return line.split()
    mark = ";" if ";" in line else ","
    return [field.strip() for field in next(csv.reader([line], delimiter=mark, skipinitialspace=True))]


def _pair(fields: Sequence[str]) -> WordPair | None:
    """Return the two words and the score among the columns; None if there are none."""
    numbers = [_number(field) for field in fields]
    start = 1 if len(fields) > 3 and numbers[0] is not None and numbers[1] is None is numbers[2] else 0
    place = start + 3 if len(fields) > start + 3 and _SPEECH.fullmatch(fields[start + 2]) else start + 2
    score = numbers[place] if len(fields) > place else None
    if score is not None and all(fields[start : start + 2]):
        return WordPair(fields[start], fields[start + 1], score)
    if len(fields) == 3 and numbers[0] is not None and numbers[1] is None is numbers[2]:
        return WordPair(fields[1], fields[2], numbers[0])
    return None


def _number(text: str) -> float | None:
    """Parse a number, with a decimal comma too."""
    try:
        return float(re.sub(r"^(\d+),(\d+)$", r"\1.\2", text))
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    if not path.is_file():
        raise TextError(f"{path} is not a file: give the path of a file")
    for number, raw in numbered_lines(path, TextError):
        line = decoded(raw, path, number, TextError).strip()
        if line and not line.startswith("#"):
            yield number, line
