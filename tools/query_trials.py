"""Compares ways to join the parts of a query ("beach + person - dog"); prints tables in Markdown.

python -m tools.query_trials --help

Photos of two things are made of two photos side by side. They are searched among the photos of an index of class
folders, with the names of the two classes: both, or one without the other. A wide name without one of its kinds is
asked of the class folders themselves.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from devise.errors import DeviseError
from devise.files import atomic_write
from devise.model.candidates import choose_candidates
from devise.model.labeller import Model, load
from devise.model.methods import photo_space
from devise.model.typed import TypedLabel
from devise.search.photoindex import index_photos
from devise.search.query import PhotoSearch, open_search
from devise.search.results import Wanted
from devise.search.search_quality import Retrieval, class_of, retrieval
from devise.space.labelspace import LabelSpace
from devise.tabletext import markdown_table
from devise.taxonomy.everyday import kinds
from tools import parser

PAIRS = 24
EACH = 5
_HEIGHT = 240
_SCALES = (5.0, 10.0, 20.0, 40.0)
_FEWEST = 3  # classes below a wide name


def main() -> None:
    """Print the tables; DeviseError is one line and exit code 1."""
    given = parser("query_trials", __doc__)
    given.add_argument("index", type=Path, help="index of class folders, which is copied")
    given.add_argument("--work", type=Path, required=True, help="folder for the photos of two things and their index")
    options = given.parse_args()
    try:
        run(options.index, options.work)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


@dataclass(frozen=True, eq=False)
class Asked:
    """A query: its words, what it is without, the place of a photo to be like; the right photos."""

    plus: tuple[str, ...]
    minus: tuple[str, ...]
    right: np.ndarray
    photo: int | None = None


def run(index: Path, work: Path) -> None:
    """Make the photos of two things, index them, ask, print."""
    model = load()
    plain = open_search(model, index)
    pairs = pairs_of(model, plain)
    made = work / "pairs"
    for one, other in pairs:
        make_pair(plain, model, one, other, made)
    if not (work / "index").exists():
        shutil.copytree(index, work / "index")
    index_photos(model, [made], work / "index")
    search = open_search(model, work / "index")
    shown = [truth_of(Path(fact.path), model) for fact in search.rows.facts]
    both = list(both_of(shown, pairs))
    without = [*without_of(shown, pairs)]
    kinds_without = list(kinds_without_of(model, shown))
    like = list(like_of(search, shown, pairs))
    for title, queries in (
        ("A + B", both),
        ("A - B", without),
        ("wide name - kind", kinds_without),
        ("photo + B", like),
    ):
        rows = [["joined by", "queries", "mean average precision", "precision@5", "precision@10"]]
        for name, score in designs(model, search, queries[0]):
            found = [measured(score(one), one) for one in queries]
            means = np.mean([(one.average_precision, one.precision_at_5, one.precision_at_10) for one in found], axis=0)
            rows.append([name, str(len(queries)), *(f"{value:.3f}" for value in means)])
        print(f"\n{title}\n\n{markdown_table(rows, left=1)}")


def measured(scores: np.ndarray, asked: Asked) -> Retrieval:
    """Measure, without the photo that was given."""
    keep = np.arange(len(scores)) != (-1 if asked.photo is None else asked.photo)
    return retrieval(scores[keep].astype(np.float32), asked.right[keep])


def designs(model: Model, search: PhotoSearch, like: Asked) -> Iterator[tuple[str, Callable[[Asked], np.ndarray]]]:
    """Yield the ways that fit queries like this one."""
    logs = Logs(model, search)
    vectors = Vectors(model, search)
    if like.photo is not None:
        for scale in _SCALES:
            yield f"probability, exp({scale:g} (cosine - 1))", partial(logs.near, scale)
        yield "joined vectors", vectors.scores
        yield "photo alone", logs.cosine
        return
    yield "probabilities of A alone", lambda one: logs.of(one.plus[0])
    if like.minus:
        yield "A, times 1 - B", lambda one: logs.plus(one) + logs.no(one)
        yield "A without B's kinds", logs.outside
        yield "A without B's kinds, times 1 - B", lambda one: logs.outside(one) + logs.no(one)
        yield "A over what B has gained", lambda one: logs.plus(one) - np.maximum(0, logs.gain(one.minus[0]))
        yield (
            "A without B's kinds, over what B has gained",
            lambda one: logs.outside(one) - np.maximum(0, logs.gain(one.minus[0])),
        )
        yield "A over B", lambda one: logs.plus(one) - logs.of(one.minus[0])
    else:
        yield "product of probabilities", logs.plus
        yield "lowest probability", lambda one: np.min([logs.of(word) for word in one.plus], axis=0)
        yield "lowest gain", lambda one: np.min([logs.gain(word) for word in one.plus], axis=0)
    yield "joined vectors", vectors.scores


class Logs:
    """Logarithms of probabilities of words, per photo."""

    def __init__(self, model: Model, search: PhotoSearch) -> None:
        self._model = model
        self._search = search
        self._kept: dict[str, np.ndarray] = {}

    def of(self, word: str) -> np.ndarray:
        """Of a word and its kinds."""
        if word not in self._kept:
            self._kept[word] = self._search.scores(Wanted((typed_word(self._model, word),)))
        return self._kept[word]

    def plus(self, asked: Asked) -> np.ndarray:
        """Product of all words."""
        return np.asarray(np.sum([self.of(word) for word in asked.plus], axis=0))

    def no(self, asked: Asked) -> np.ndarray:
        """Product of one minus each."""
        return np.asarray(np.sum([np.log1p(-np.exp(np.minimum(self.of(word), -1e-6))) for word in asked.minus], axis=0))

    def outside(self, asked: Asked) -> np.ndarray:
        """The words' labels that are not those of the others."""
        left = self._space(asked.plus[0])
        gone = set(self._space(asked.minus[0]).labels.ids)
        space = left.subset([place for place, one in enumerate(left.labels.ids) if one not in gone])
        return np.asarray(self._search._log_shares(photo_space(self._model.parts, space), None, lambda: None))

    def gain(self, word: str) -> np.ndarray:
        """By how much a word is more probable than in the mean photo."""
        return np.asarray(self.of(word) - np.log(np.exp(self.of(word)).mean()))

    def cosine(self, asked: Asked) -> np.ndarray:
        """Of each photo with the given one."""
        vectors = self._search.rows.vectors.astype(np.float32)
        return np.asarray(vectors @ vectors[asked.photo])

    def near(self, scale: float, asked: Asked) -> np.ndarray:
        """Product of all words and exp(scale (cosine - 1))."""
        return np.asarray(self.plus(asked) + scale * (self.cosine(asked) - 1))

    def _space(self, word: str) -> LabelSpace:
        chosen = choose_candidates(self._model.parts, "typed", typed=(typed_word(self._model, word),))
        return chosen.space if chosen.kinds is None else chosen.kinds.space


class Vectors:
    """Cosines with a sum of vectors."""

    def __init__(self, model: Model, search: PhotoSearch) -> None:
        self._model = model
        self._vectors = search.rows.vectors.astype(np.float32)

    def scores(self, asked: Asked) -> np.ndarray:
        """Of each photo with the words' vectors, added and subtracted."""
        total = np.sum([self._of(word) for word in asked.plus], axis=0) if asked.plus else 0
        for word in asked.minus:
            total = total - self._of(word)
        if asked.photo is not None:
            total = total + self._vectors[asked.photo]
        return np.asarray(self._vectors @ (total / np.linalg.norm(total)))

    def _of(self, word: str) -> np.ndarray:
        chosen = choose_candidates(self._model.parts, "typed", typed=(typed_word(self._model, word),), exact=True)
        vector: np.ndarray = photo_space(self._model.parts, chosen.space).vectors[0]
        return np.asarray(vector / np.linalg.norm(vector))


def pairs_of(model: Model, search: PhotoSearch) -> list[tuple[str, str]]:
    """Return pairs of classes, each class at most once, neither of them a kind of the other."""
    classes = sorted({one for fact in search.rows.facts if (one := class_of(Path(fact.path), model.parts.taxonomy))})
    order = np.random.default_rng(0).permutation(len(classes))[: 2 * PAIRS].tolist()
    chosen = [classes[place] for place in order]
    return list(zip(chosen[::2], chosen[1::2], strict=True))


def make_pair(search: PhotoSearch, model: Model, one: str, other: str, folder: Path) -> None:
    """Write photos with one class on the left and the other on the right."""
    (folder / f"{one}+{other}").mkdir(parents=True, exist_ok=True)
    sides = []
    for synset in (one, other):
        paths = [fact.path for fact in search.rows.facts if class_of(Path(fact.path), model.parts.taxonomy) == synset]
        sides.append(paths[-EACH:])
    for number, pair in enumerate(zip(*sides, strict=True)):
        target = folder / f"{one}+{other}" / f"{number}.jpg"
        if target.exists():
            continue
        photos = [Image.open(path).convert("RGB") for path in pair]
        sized = [photo.resize((max(1, photo.width * _HEIGHT // photo.height), _HEIGHT)) for photo in photos]
        whole = Image.new("RGB", (sum(photo.width for photo in sized), _HEIGHT))
        whole.paste(sized[0], (0, 0))
        whole.paste(sized[1], (sized[0].width, 0))
        with atomic_write(target, "wb") as file:
            whole.save(file, "JPEG", quality=90)


def truth_of(path: Path, model: Model) -> frozenset[str]:
    """Return the classes that a photo shows."""
    if "+" in path.parent.name:
        return frozenset(path.parent.name.split("+"))
    found = class_of(path, model.parts.taxonomy)
    return frozenset() if found is None else frozenset([found])


def typed_word(model: Model, synset: str) -> TypedLabel:
    """Return the name of a class with its sense: it means its kinds too."""
    return TypedLabel(model.parts.taxonomy.synset(synset).name, synset)


def both_of(shown: Sequence[frozenset[str]], pairs: Sequence[tuple[str, str]]) -> Iterator[Asked]:
    """Yield A + B of each pair."""
    for one, other in pairs:
        yield Asked((one, other), (), np.array([{one, other} <= photo for photo in shown]))


def without_of(shown: Sequence[frozenset[str]], pairs: Sequence[tuple[str, str]]) -> Iterator[Asked]:
    """Yield A - B and B - A of each pair."""
    for pair in pairs:
        for one, other in (pair, pair[::-1]):
            yield Asked((one,), (other,), np.array([one in photo and other not in photo for photo in shown]))


def kinds_without_of(model: Model, shown: Sequence[frozenset[str]]) -> Iterator[Asked]:
    """Yield the nearest wide name of each class that has enough classes, without this class."""
    taxonomy = model.parts.taxonomy
    classes = sorted(set().union(*shown))
    for one in classes:
        for above in reversed(taxonomy.hypernym_paths(one)[0][:-1]):
            others = kinds(taxonomy, above) & set(classes) - kinds(taxonomy, one)
            if len(others) >= _FEWEST:
                right = np.array([bool(photo & others) and one not in photo for photo in shown])
                yield Asked((above,), (one,), right)
                break


def like_of(search: PhotoSearch, shown: Sequence[frozenset[str]], pairs: Sequence[tuple[str, str]]) -> Iterator[Asked]:
    """Yield a photo of A and the word B."""
    for pair in pairs:
        for one, other in (pair, pair[::-1]):
            photo = next(place for place, photo in enumerate(shown) if photo == {one})
            yield Asked((other,), (), np.array([{one, other} <= photo for photo in shown]), photo)


if __name__ == "__main__":
    main()
