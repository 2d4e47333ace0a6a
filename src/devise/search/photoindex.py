"""Index photos and videos: read new and changed ones, recognise moved ones, remove deleted ones."""

import hashlib
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from time import monotonic

import numpy as np

from devise.arrays import Features
from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import MANIFEST_FILE
from devise.errors import PHOTOS_EXTRA, VIDEO_EXTRA, PhotoIndexError, PictureError, UsageError
from devise.model.labeller import Model
from devise.model.methods import make_scorer
from devise.model.parts import ModelParts
from devise.search.photofacts import PhotoFact
from devise.search.rows import Rows
from devise.search.store import Header, Known, PhotoStore
from devise.search.top_photos import LISTED, TOP_FILE, TopPhotos
from devise.space.evidence import log_sum_exp
from devise.space.scorers import FusedScorer
from devise.vision.decoding import picture_bytes
from devise.vision.folders import Found, find_pictures, is_video
from devise.vision.metadata import read_metadata, sidecar_time
from devise.vision.pipeline import Extracted, one_thread

__all__ = [
    "BEST",
    "KEPT_ABOVE",
    "LISTED_ABOVE",
    "Indexed",
    "PhotoSide",
    "Problem",
    "header_of",
    "index_photos",
    "refresh_kept",
]

BEST = 10
"""Most probable classes kept per photo, as many as ConSE averages."""

LISTED_ABOVE = 200_000
"""Number of photos above which the top photos of each label are kept; fewer are all scored in some milliseconds."""

KEPT_ABOVE = 20_000
"""Number of photos above which all rows are kept in one file; fewer open from their parts in 0.3 s."""

_EARLIER = ("nearest.faiss", "nearest.json")  # what earlier versions kept to search faster
_TOGETHER = 8  # photos that are scored at once; fewer are filled up to so many


def header_of(parts: ModelParts) -> Header:
    """Return the header of an index made by this model; the name includes how it runs (`ModelParts.name`)."""
    sha256 = file_sha256(parts.bundle.path / MANIFEST_FILE)
    if run := parts.name.removeprefix(parts.bundle.manifest.name):
        sha256 = hashlib.sha256(f"{sha256}{run}".encode()).hexdigest()
    return Header(
        parts.name,
        sha256,
        parts.placed.vectors.shape[1],
        min(BEST, len(parts.trained)),
    )


def refresh_kept(
    model: Model, index: Path, photos: int, listed_above: int = LISTED_ABOVE, kept_above: int = KEPT_ABOVE
) -> TopPhotos | None:
    """Update the files that make searches of many photos fast, and remove those that few photos do not need.

    photos: their number.
    listed_above: above so many photos, the top photos of each label are kept (`TopPhotos`), which are returned.
    kept_above: above so many photos, all rows are kept in one file too, which opens faster (`PhotoStore.keep`).
    """
    store = PhotoStore.opened(index, header_of(model.parts))
    for name in _EARLIER if photos > listed_above else (*_EARLIER, TOP_FILE):
        (index / name).unlink(missing_ok=True)
    if photos <= kept_above:
        store.forget_kept()
    if photos <= min(listed_above, kept_above):
        return None
    rows = store.rows()
    if photos > kept_above and not store.keeps():
        store.keep(rows)
    if photos <= listed_above:
        return None
    tops, listed = None, min(LISTED, len(rows))
    with suppress(PhotoIndexError):  # they are made again
        tops = TopPhotos.stored(index, len(model.labels))
    if tops is None or tops.places.shape[1] != listed:
        tops = TopPhotos.of(model.parts, rows, listed)
    elif tops.is_of(rows):
        return tops
    else:
        tops = tops.updated(model.parts, rows)
    tops.write(index)
    return tops


class PhotoSide:
    """Computes rows of an index from features."""

    def __init__(self, parts: ModelParts) -> None:
        scorer = make_scorer(parts, "fused", parts.space)
        assert isinstance(scorer, FusedScorer)
        self._parts = parts
        self._scorer = scorer
        self._temperature = np.float32(parts.setting("fused", "temperature"))
        self._best = min(BEST, len(parts.trained))

    def rows(self, facts: Sequence[PhotoFact], features: Features) -> Rows:
        """Return one row per photo: point, first label, most probable classes, and the logarithm of

            sum over all labels of exp(fused score / temperature),

        by which a score becomes the probability that `devise label` prints.

        A row is bit-identical whatever other photos are in the block: an updated index equals a new one.
        """
        starts = range(0, len(features), _TOGETHER)
        with one_thread():
            blocks = [self._rows(facts[at : at + _TOGETHER], features[at : at + _TOGETHER]) for at in starts]
        return Rows.joined(blocks)

    def _rows(self, facts: Sequence[PhotoFact], features: Features) -> Rows:
        count = len(features)
        # A product of matrices adds up in an order that depends on their size, and in blocks above 8 rows, on 2 of 3
        # photos, on the place in it: the last digits of a row would depend on its neighbours.
        filled = np.concatenate([features, np.repeat(features[:1], _TOGETHER - count, axis=0)])
        evidence = self._parts.classifier.evidence(filled)
        scores = self._scorer.scores(evidence)
        scores /= self._temperature
        labels = scores.argmax(axis=1)
        totals = log_sum_exp(scores, overwrite=True)
        probabilities = evidence.probabilities
        classes = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._best]
        return Rows(
            tuple(facts),
            self._scorer.queries(evidence).astype(np.float16)[:count],
            totals.astype(np.float32)[:count],
            labels.astype(np.int32)[:count],
            classes.astype(np.uint16)[:count],
            np.take_along_axis(probabilities, classes, axis=1)[:count],
        )


_BLOCK = 32  # photos scored at once
_PART_ROWS = 4096  # a part is written when it has so many
_PART_SECONDS = 5.0  # or when its first photo is so old: what a kill can lose
_REUSED_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Problem:
    """A photo that could not be read, with the reason; or a harmless fault of its file."""

    path: str
    reason: str


@dataclass(slots=True)
class Indexed:
    """Outcome of indexing.

    new, changed: went through the network. Known content: moved (the old path is gone), copied (the old path remains),
    touched (same content, new time), described (same file, new metadata). gone: removed from the index.
    stale: old paths of copied photos, in the index still, where no file is any more.
    hidden: photos in the index still, reached through a broken link or a folder that cannot be read.
    skipped: files that are neither pictures nor videos by their names. excluded: files and folders, see
        `find_pictures`.
    photos: in the index now, from all folders.
    """

    new: int = 0
    changed: int = 0
    moved: int = 0
    copied: int = 0
    touched: int = 0
    described: int = 0
    unchanged: int = 0
    gone: int = 0
    hidden: int = 0
    skipped: int = 0
    videos: int = 0
    excluded: int = 0
    photos: int = 0
    stale: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """Number of photos whose entry in the index has changed."""
        return self.new + self.changed + self.moved + self.copied + self.touched + self.described + self.gone


def index_photos(
    model: Model,
    paths: Sequence[Path],
    index: Path,
    *,
    rehash: bool = False,
    emptied: bool = False,
    exclude: Sequence[str] = (),
    frames: int = 0,
    states: Mapping[str, tuple[int, int]] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Indexed:
    """Update the index with these photos and folders; create it if missing.

    Photos below `paths` that are there no more leave the index; photos of other folders stay. A photo with the size
    and time it had is taken for unchanged; rehash: its content is compared too, and the index is read whole, so that
    damage shows. Killed at any moment, all photos that were written until then (every few seconds) are there; the next
    call does the rest.
    emptied: folders that are empty or absent are really so, and so are broken links. exclude: see `find_pictures`; what
    is excluded leaves the index. frames: index videos too, by so many frames; 0 leaves those of the index that still
    exist as they are.
    states: size and time of change, in ns, of absolute paths: a photo that is new or has changed is taken in this state
    only, and is left as it is in the index otherwise. on_progress: called with the number of photos done.
    A photo that cannot be read is a problem and stops nothing.

    PhotoIndexError if the index is damaged, in use or another model's. UsageError if a path does not exist, or if no
    photo is left in a folder that had some: a drive that is not there must not empty an index.
    """
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing and not emptied:
        raise UsageError(f"no such file or folder: {missing[0]}")
    store = PhotoStore.created(index, header_of(model.parts))
    with store.writing():
        if rehash:
            store.check()
        run = _Run(model, store, rehash, on_progress, exclude, frames, states)
        try:
            run.work([path for path in paths if path not in missing])
        finally:
            run.flush()
        run.forget(paths, emptied)
        done = run.done
        del run  # a merge knows all photos too: both would take twice the memory
        store.merge()
    return done


class _Run:
    """One pass over the photos: the plan for each, and the resulting parts."""

    def __init__(
        self,
        model: Model,
        store: PhotoStore,
        rehash: bool,
        on_progress: Callable[[int], None],
        exclude: Sequence[str],
        frames: int,
        states: Mapping[str, tuple[int, int]] | None,
    ) -> None:
        self.done = Indexed()
        self._model = model
        self._store = store
        self._rehash = rehash
        self._exclude = exclude
        self._frames = frames
        self._states = states
        self._on_progress = on_progress
        self._known = store.known()
        self._contents = {known.fact.sha256: known for known in self._known.values()}
        self._side = PhotoSide(model.parts)
        self._waiting: deque[PhotoFact] = deque()  # given to the network
        self._rows: list[Rows] = []
        self._since = monotonic()
        self._reused: list[tuple[PhotoFact, Known]] = []
        self._sources: set[str] = set()  # other paths of contents that were met
        self._met: Counter[bytes] = Counter()  # contents that were known and are met at another path
        self._seen: set[str] = set()
        self._unread: set[str] = set()
        self._dead: set[str] = set()  # links to what is not there

    def work(self, paths: Sequence[Path]) -> None:
        """Read new photos; write parts as they fill."""
        extracted = self._model.features(self._to_read(paths))
        while block := list(islice(extracted, _BLOCK)):
            self._take(block)
            if sum(map(len, self._rows)) >= _PART_ROWS or monotonic() - self._since > _PART_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write finished photos, including those with known content."""
        rows, self._rows = self._rows, []
        reused, self._reused = self._reused, []
        self._since = monotonic()
        rows += [self._again(part, reused) for part in sorted({known.part for _, known in reused})]
        if not rows:
            return
        joined = Rows.joined(rows)
        part = self._store.append(joined)
        for row, fact in enumerate(joined.facts):
            if fact.gone:
                self._known.pop(fact.path, None)
            else:
                self._contents[fact.sha256] = self._known[fact.path] = Known(fact, part, row)

    def forget(self, paths: Sequence[Path], emptied: bool) -> None:
        """Remove photos below `paths` that were not found from the index; those that something hides stay."""
        roots = {os.path.abspath(path) for path in paths}
        hiding = self._unread if emptied else self._unread | self._dead
        lost, hidden = [], Counter[str]()
        for path in self._known:
            if path in self._seen or not _below(path, roots):
                continue
            if (by := _above(path, hiding)) is not None:
                hidden[by] += 1
            elif self._frames or not (is_video(path) and os.path.lexists(path)):
                lost.append(path)
        for root in roots if not emptied else ():
            here = sum(_below(path, {root}) for path in lost)
            if here and not any(_below(path, {root}) for path in self._seen):
                raise UsageError(
                    f"{root}: no photo found, but the index has {here:,} from it: connect the drive again, or "
                    "give --forget if the photos are really gone"
                )
        reported = {problem.path for problem in self.done.problems}
        self.done.problems += [Problem(link, "a broken link") for link in sorted(hidden.keys() - reported)]
        self.done.hidden = hidden.total()
        left = Counter(self._known[path].fact.sha256 for path in lost)
        if lost:
            self._store.append(Rows.gone(lost, self._store.header.dim, self._store.header.best))
            for path in lost:
                del self._known[path]
        self.done.moved = (self._met & left).total()
        self.done.copied = self._met.total() - self.done.moved
        self.done.gone = len(lost) - self.done.moved
        self.done.stale = sorted(path for path in self._sources & self._known.keys() if not os.path.lexists(path))
        self.done.photos = len(self._known)

    def _to_read(self, paths: Sequence[Path]) -> Iterator[bytes | Found]:
        """Yield the bytes of photos that must go through the network; handle all others directly."""
        for found in find_pictures(
            [Path(os.path.abspath(path)) for path in paths],
            on_skip=self._skip,
            exclude=self._exclude,
            on_exclude=self._leave_out,
            frames=self._frames,
            last=self._known.__contains__,
        ):
            path = str(found.path)
            if path in self._seen:
                continue
            if found.problem is not None:
                (self._dead if _is_dead(path) else self._unread).add(path)
                self._waiting.append(PhotoFact(path, 0, 0, b""))
                yield Found(Path(path), found.problem)
                continue
            self._seen.add(path)
            yield from self._read(path, found.frames)

    def _read(self, path: str, frames: int) -> Iterator[bytes | Found]:
        known = self._known.get(path)
        fact = PhotoFact(path, 0, 0, b"")
        try:
            state = os.stat(path)
            fact = PhotoFact(path, state.st_size, state.st_mtime_ns, b"")
            beside = sidecar_time(Path(path))
            same = known is not None and not self._rehash and _same_state(known.fact, fact)
            if known is not None and same and known.fact.rating is not None and known.fact.sidecar_ns == beside:
                self.done.unchanged += 1
                self._on_progress(1)
                return
            if self._states is not None and not same and self._states.get(path) != (fact.size, fact.mtime_ns):
                return
            if not stat.S_ISREG(state.st_mode):  # a pipe would wait for a writer
                raise PictureError("a pipe or a device, not a regular file")
            found = read_metadata(Path(path))
            fact = replace(fact, taken=found.taken, rating=found.rating, sidecar_ns=beside)
            if known is not None and same:
                self._reuse(replace(fact, sha256=known.fact.sha256), known)
                return
            data = b"" if frames else picture_bytes(Path(path))
            sha256 = bytes.fromhex(file_sha256(Path(path))) if frames else hashlib.sha256(data).digest()
        except (PictureError, OSError) as error:
            self._waiting.append(fact)
            yield Found(
                Path(path), str(error) if isinstance(error, PictureError) else f"cannot be read ({error.strerror})"
            )
            return
        fact = replace(fact, sha256=sha256)
        source = self._contents.get(fact.sha256)
        if source is None:
            self._waiting.append(fact)
            yield Found(Path(path), frames=frames) if frames else data
        else:
            self._reuse(fact, source)

    def _reuse(self, fact: PhotoFact, source: Known) -> None:
        """Record a photo whose content is known, without reading it again."""
        if source.fact.path == fact.path and source.fact == fact:
            self.done.unchanged += 1
        else:
            self._reused.append((fact, source))
            before = self._known.get(fact.path)
            if before is None or before.fact.sha256 != fact.sha256:
                self._met[fact.sha256] += 1
                self._sources.add(source.fact.path)
            elif _same_state(before.fact, fact):
                self.done.described += 1
            else:
                self.done.touched += 1
        self._on_progress(1)
        if len(self._reused) >= _REUSED_ROWS:
            self.flush()

    def _again(self, part: int, reused: Iterable[tuple[PhotoFact, Known]]) -> Rows:
        """Return the rows of known content in this part, with their new facts."""
        here = [(fact, known.row) for fact, known in reused if known.part == part]
        places = np.array([row for _, row in here], dtype=np.int64)
        return self._store.read(part).taken(places, tuple(fact for fact, _ in here))

    def _take(self, block: Sequence[Extracted]) -> None:
        facts = [self._waiting.popleft() for _ in block]
        good = [(fact, one.features) for fact, one in zip(facts, block, strict=True) if one.features is not None]
        if good:
            rows = self._side.rows([fact for fact, _ in good], np.stack([features for _, features in good]))
            self._rows.append(rows)
        for fact, one in zip(facts, block, strict=True):
            if one.note:
                self.done.notes.append(Problem(fact.path, one.note))
            if one.problem is not None:
                self._fail(fact.path, one.problem)
            elif fact.path in self._known:
                self.done.changed += 1
            else:
                self.done.new += 1
        self._on_progress(len(block))

    def _fail(self, path: str, reason: str) -> None:
        """Remove a photo that is now damaged from the index; keep one that access problems or a lost package hide."""
        self.done.problems.append(Problem(path, reason))
        if reason.endswith((PHOTOS_EXTRA, VIDEO_EXTRA)):
            return
        if path in self._known and path in self._seen and os.access(path, os.R_OK):
            self._rows.append(Rows.gone([path], self._store.header.dim, self._store.header.best))

    def _skip(self, path: Path) -> None:
        if _is_dead(path):  # perhaps of a folder that had photos
            self._dead.add(str(path))
        video = is_video(path)
        self.done.videos += video
        self.done.skipped += not video

    def _leave_out(self, path: Path) -> None:
        self.done.excluded += 1


def _same_state(one: PhotoFact, other: PhotoFact) -> bool:
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)


def _is_dead(path: str | Path) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _below(path: str, roots: Container[str]) -> bool:
    """Return whether the path or one of its folders is among the roots."""
    return _above(path, roots) is not None


def _above(path: str, roots: Container[str]) -> str | None:
    """Return the path or its innermost folder that is among the roots; None if none is."""
    while path not in roots:
        path, before = os.path.dirname(path), path
        if path == before:
            return None
    return path
