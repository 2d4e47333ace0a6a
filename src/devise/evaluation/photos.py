"""Test photos in class folders or shards, one folder per class named by its synset id, and their features."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from devise.arrays import Features
from devise.bundle.parts import BACKBONE, FAST
from devise.errors import TrainingError, UsageError, counted
from devise.evaluation.record import ImageRecord
from devise.files import real_path, text_name
from devise.model.labeller import Model
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings
from devise.sidecars import keywords_of_person
from devise.version import __version__
from devise.vision.featurestore import feature_store, make_room
from devise.vision.folders import find_pictures
from devise.vision.limits import PictureLimits
from devise.vision.samples import Samples, list_samples, whole_files
from devise.xmp import SidecarError, require_xmp

__all__ = ["Gathered", "Listing", "class_photos", "gather", "list_photos", "list_tagged_photos", "named_folders"]

_SYNSET_ID = re.compile(r"n\d{8}", re.ASCII)
_OTHER_NAME = "the folder's name is not a synset id"
_UNKNOWN_ID = "the synset id is not in the taxonomy"
_NO_PICTURE = "no picture in the class folder"
_STRAY = "not in a class folder"
_NOT_A_PICTURE = "not a picture by its name"
_MOST_KEPT = 2 << 30  # bytes of features in the cache before a new store: some 400,000 photos
_NAMED = 5  # folders in a list that a person reads

Progress = Callable[[int, int], None]
"""Called with photos done and photos in all."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of some folders and shards.

    images: one for each of the samples. folders: names of the places. skipped: the number of skipped files by reason.
    """

    images: tuple[ImageRecord, ...]
    samples: Samples
    folders: tuple[str, ...]
    skipped: dict[str, int]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the photos, in the order of the photos."""
        return tuple(dict.fromkeys(image.truth for image in self.images))

    def of_classes(self, classes: Collection[str], reason: str) -> "Listing":
        """Keep the photos of these classes; count the others under the reason. UsageError if none is left."""
        kept = [place for place, image in enumerate(self.images) if image.truth in classes]
        if not kept:
            raise UsageError(
                f"none of {counted(len(self.images), 'photo')} in {', '.join(self.folders)} is left: all are {reason}"
            )
        return replace(
            self,
            images=tuple(self.images[place] for place in kept),
            samples=self.samples.subset(kept),
            skipped=_counted(self.skipped, reason, len(self.images) - len(kept)),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Gathered:
    """Features of the readable photos, one row per photo.

    problems: what was wrong with the others, with paths. notes: what was wrong with the files of these.
    """

    listing: Listing
    features: Features
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def of_classes(self, classes: Collection[str], reason: str) -> "Gathered":
        """As `Listing.of_classes`."""
        rows = [row for row, image in enumerate(self.listing.images) if image.truth in classes]
        listing = self.listing.of_classes(classes, reason)
        return replace(self, listing=listing, features=self.features[rows])


def class_photos(places: Sequence[Path], known: Container[str]) -> tuple[Samples, dict[str, int]]:
    """List the photos in class folders named by a known synset id, in folders and `.tar` shards.

    Return them, and the number of skipped files and folders by reason; the first few folders are named. Hidden files
    and folders are passed over. Photos are not opened. A photo is named by its path under its place; with several
    places the place's name comes first, after a number if two have the same name.

    known: the synset ids there are, such as a taxonomy. UsageError if no photo is left, or as `list_samples`.
    """
    given = named_folders(places)
    found = list_samples([place for place, _ in given], [head for _, head in given] if len(given) > 1 else ())
    why: dict[str, list[str]] = {_OTHER_NAME: [], _UNKNOWN_ID: [], _NO_PICTURE: []}
    for name in sorted({*found.class_names, *found.empty}):
        if not _SYNSET_ID.fullmatch(name):
            why[_OTHER_NAME].append(name)
        elif name not in known:
            why[_UNKNOWN_ID].append(name)
        elif name not in found.class_names:
            why[_NO_PICTURE].append(name)
    left = {*why[_OTHER_NAME], *why[_UNKNOWN_ID]}
    is_kept = np.array([name not in left for name in found.class_names], dtype=bool)
    rows = np.flatnonzero(is_kept[found.truth]) if len(found) else found.truth
    skipped = {_with_names(reason, names): len(names) for reason, names in why.items()}
    skipped |= {_NOT_A_PICTURE: found.skipped, _STRAY: found.stray}
    skipped = {reason: count for reason, count in sorted(skipped.items()) if count}
    if not len(rows):
        reasons = "".join(f"; {count} skipped: {reason}" for reason, count in skipped.items())
        first = f"; {found.broken[0]}" if found.broken else ""
        raise UsageError(
            f"no test photos in {', '.join(map(str, places))}: expected folders named by synset id, like n02084071"
            f"{reasons}{first}"
        )
    return found.subset(rows), skipped


def _with_names(reason: str, folders: Sequence[str]) -> str:
    names = [text_name(one) for one in folders[:_NAMED]]
    return f"{reason} ({', '.join(names)}{', ...' * (len(folders) > _NAMED)})"


def list_photos(model: Model, places: Sequence[Path]) -> Listing:
    """List the photos as `class_photos` does; duplicate places count once."""
    samples, skipped = class_photos(places, model.parts.taxonomy)
    classes = [samples.class_names[row] for row in samples.truth.tolist()]
    images = tuple(map(ImageRecord, samples.names, classes))
    return Listing(images, samples, tuple(head for _, head in named_folders(places)), skipped)


def named_folders(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return each folder once, with a name of its own: a number is put before one that two have."""
    given = list({real_path(folder): folder for folder in reversed(folders)}.items())[::-1]
    names = [place.name for place, _ in given]
    heads = [name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names, 1)]
    return [(folder, head) for (_, folder), head in zip(given, heads, strict=True)]


def gather(model: Model, listing: Listing, on_progress: Progress | None = None, keep: Path | None = None) -> Gathered:
    """Run the network on the photos. UsageError if none can be read.

    keep: a folder in which the features are kept, so that the next run on the same photos reads them, and one that was
    stopped resumes. A folder that cannot be written to is a line in the notes, not an error.
    """
    features: dict[int, np.ndarray] | None = None
    problems: list[str] = []
    notes: list[str] = []
    if keep is not None and type(model) is Model:  # an ensemble decodes each photo once for all its networks
        try:
            features = _kept(model, listing.samples, keep, on_progress, problems, notes)
        except (OSError, TrainingError) as error:
            problems.clear()
            notes = [f"features are not kept for the next run: {error}"]
    if features is None:
        features = _made(model, listing.samples, on_progress, problems, notes)
    if not features:
        raise UsageError(
            f"none of {counted(len(listing.images), 'photo')} could be read; the first error: {problems[0]}"
        )
    readable = replace(
        listing,
        images=tuple(listing.images[row] for row in features),
        samples=listing.samples.subset(list(features)),
        skipped=_counted(listing.skipped, "a photo that cannot be read", len(problems)),
    )
    return Gathered(readable, np.stack(list(features.values())), tuple(problems), tuple(notes))


def _made(
    model: Model, samples: Samples, on_progress: Progress | None, problems: list[str], notes: list[str]
) -> dict[int, np.ndarray]:
    """Return the features of each readable sample; add to problems and notes."""
    problems += samples.broken
    features = {}
    for row, one in enumerate(model.features(samples.sources(range(len(samples))))):
        if one.features is None:
            problems.append(f"{samples.place(row)}: {one.problem}")
        else:
            features[row] = one.features
            if one.note:
                notes.append(f"{samples.place(row)}: {one.note}")
        if on_progress is not None:
            on_progress(row + 1, len(samples))
    return features


def _kept(
    model: Model, samples: Samples, folder: Path, on_progress: Progress | None, problems: list[str], notes: list[str]
) -> dict[int, np.ndarray]:
    """Return the same from the store in the folder, made if it is absent: of these files, network and version."""
    bundle, fast = model.parts.bundle, model.parts.fast
    network = bundle.part_bytes(BACKBONE) + (bundle.part_bytes(FAST) if fast else b"")
    place = model.parts.place
    changed = " ".join(str(path.stat().st_mtime_ns) for path in samples.files)
    make_room(folder, _MOST_KEPT)
    store = feature_store(
        folder,
        samples,
        model.backbone(),
        network,
        on_progress=on_progress,
        on_problem=problems.append,
        most_broken=1.0,
        more=(changed, __version__, place.device, place.precision, str(PictureLimits.usual())),
    )
    notes += store.notes
    return dict(zip(store.rows.tolist(), np.array(store.features)[store.rows], strict=True))


def _counted(skipped: dict[str, int], reason: str, count: int) -> dict[str, int]:
    return dict(sorted((skipped | {reason: count}).items())) if count else skipped


_MOST = 1000  # keywords of a photo, and letters of one: people write some 10, of some 10 letters
_NO_KEYWORD = "a photo without a keyword"
_NO_LABEL = "a photo whose keywords are no label of the model"
_SEVERAL = "a photo whose keywords name several things"
_TOO_MANY = f"a photo with over {_MOST:,} keywords"


def list_tagged_photos(model: Model, places: Sequence[Path]) -> tuple[Listing, tuple[str, ...]]:
    """List the photos of files and folders with a keyword of a person as true label; return sidecar problems too.

    A keyword is matched to WordNet as a typed label is, and a path ("animal|crane") names its last member, in the sense
    that its other members allow. It counts if it is a label of the model that is not withheld. Of wider and narrower
    keywords ("animal", "bird", "heron") the narrowest counts. A photo whose keywords name several things is left out,
    because all measures compare with one true label. What is left out is counted.
    UsageError if no photo is left, or the library for XMP is missing.
    """
    require_xmp()
    things_in = _Things(model.parts)
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    pairs: list[tuple[Path, ImageRecord]] = []
    folders = named_folders(places)
    for place, head in folders:
        for found in find_pictures([place], lambda _: skipped.update([_NOT_A_PICTURE])):
            if found.problem is not None:
                skipped[found.problem] += 1
                continue
            try:
                keywords = keywords_of_person(found.path)
            except SidecarError as error:
                problems.append(str(error))
                continue
            things = things_in(keywords[:_MOST])
            if len(things) == 1 and len(keywords) <= _MOST:
                inside = found.path.relative_to(place) if place.is_dir() else Path(found.path.name)
                name = inside.as_posix() if len(folders) == 1 else f"{head}/{inside.as_posix()}"
                pairs.append((found.path, ImageRecord(name, things[0])))
            elif len(keywords) > _MOST:
                skipped[_TOO_MANY] += 1
            else:
                skipped[_SEVERAL if things else _NO_LABEL if keywords else _NO_KEYWORD] += 1
    if not pairs:
        why = "".join(f"; {count} left out: {reason}" for reason, count in sorted(skipped.items()))
        why += f"; the first error: {problems[0]}" if problems else ""
        raise UsageError(f"no photo with one true keyword in {', '.join(map(str, places))}{why}")
    if problems:
        skipped["a photo whose keywords cannot be read"] = len(problems)
    heads = tuple(head for _, head in folders)
    images = tuple(image for _, image in pairs)
    samples = whole_files(
        [path for path, _ in pairs], [image.id for image in images], [image.truth for image in images]
    )
    listing = Listing(images, samples, heads, dict(sorted(skipped.items())))
    return listing, tuple(problems)


class _Things:
    """Finds what keywords name: labels of the model."""

    def __init__(self, parts: ModelParts) -> None:
        self._taxonomy = parts.taxonomy
        self._meanings = Meanings(parts)
        self._labels = (frozenset(parts.space.labels.ids) | frozenset(parts.trained_ids)) - frozenset(parts.withheld)
        self._senses = cache(self._senses_of)

    def __call__(self, keywords: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """Return the synsets named, without those above another one."""
        above = {name for path in keywords for name in path[:-1]}
        named = [self._named(path) for path in keywords if len(path) > 1 or path[0] not in above]
        ids = dict.fromkeys(one for one in named if one is not None)
        wider = {wide for one in ids for wide in self._taxonomy.ancestors(one)}
        return tuple(one for one in ids if one not in wider)

    def _named(self, path: tuple[str, ...]) -> str | None:
        senses = self._senses(path[-1])
        if len(senses) > 1 and len(path) > 1:
            wider = {sense for name in path[:-1] for sense in self._senses(name)}
            senses = tuple(one for one in senses if self._taxonomy.ancestors(one) & wider) or senses
        return senses[0] if senses and senses[0] in self._labels else None

    def _senses_of(self, name: str) -> tuple[str, ...]:
        """Return the senses of a name, most probable first."""
        meaning = self._meanings.of(name) if len(name) <= _MOST else None
        return () if meaning is None else tuple(sense.id for sense in meaning.senses)
