"""Test photos in class folders, one folder per class named by its synset id, and their features."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import Features
from devise.errors import UsageError, counted
from devise.evaluation.record import ImageRecord
from devise.files import real_path, text_name
from devise.model.labeller import Model
from devise.vision.folders import find_pictures

__all__ = [
    "Gathered",
    "Listing",
    "Skipped",
    "TestPhotos",
    "find_test_photos",
    "gather",
    "list_photos",
    "named_folders",
]

_SYNSET_ID = re.compile(r"n\d{8}", re.ASCII)
_OTHER_NAME = "the folder's name is not a synset id"
_UNKNOWN_ID = "the synset id is not in the taxonomy"
_NO_PICTURE = "no picture in the class folder"
_OF_FOLDERS = (_OTHER_NAME, _UNKNOWN_ID, _NO_PICTURE)
_NAMED = 5  # folders in a list that a person reads


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was skipped.

    pictures: how many pictures were left out with it; 0 for a file that is no picture.
    """

    path: Path
    reason: str
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class TestPhotos:
    """The photos of a folder with their classes, sorted by class and then in `find_pictures` order.

    pairs: the path of a photo and the synset id of its class.
    skipped: all that was left out, each with its reason.
    """

    pairs: tuple[tuple[Path, str], ...]
    skipped: tuple[Skipped, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The photos."""
        return tuple(path for path, _ in self.pairs)

    @property
    def truth_ids(self) -> tuple[str, ...]:
        """The true synset of each photo."""
        return tuple(class_id for _, class_id in self.pairs)

    @property
    def skipped_counts(self) -> dict[str, int]:
        """Count skipped files and folders by reason, in alphabetical order; the first few folders are named."""
        counts = Counter(one.reason for one in self.skipped)
        return {_with_names(reason, self.skipped): count for reason, count in sorted(counts.items())}


def _with_names(reason: str, skipped: Sequence[Skipped]) -> str:
    if reason not in _OF_FOLDERS:
        return reason
    names = [text_name(one.path.name) for one in skipped if one.reason == reason]
    return f"{reason} ({', '.join(names[:_NAMED])}{', ...' * (len(names) > _NAMED)})"


def find_test_photos(folder: Path, known: Container[str]) -> TestPhotos:
    """Find pictures in subfolders of `folder` that are named by a known synset id, recursively.

    known: the synset ids there are, such as a taxonomy.

    Other folders, folders without a picture, files that are no pictures by their name and links that lead
    nowhere are returned as skipped. Hidden files and folders are passed over. Pictures are not opened.
    Raises UsageError if there is no such folder, it cannot be read, or no photo is in it.
    """
    pairs: list[tuple[Path, str]] = []
    skipped: list[Skipped] = []
    for path in _listing(folder):
        if not path.is_dir():
            skipped.append(Skipped(path, "not in a class folder"))
            continue
        pictures, others = _contents(path)
        if not _SYNSET_ID.fullmatch(path.name):
            skipped.append(Skipped(path, _OTHER_NAME, len(pictures)))
        elif path.name not in known:
            skipped.append(Skipped(path, _UNKNOWN_ID, len(pictures)))
        elif not pictures:
            skipped += [*others, Skipped(path, _NO_PICTURE)]
        else:
            skipped += others
            pairs += [(picture, path.name) for picture in pictures]
    found = TestPhotos(tuple(pairs), tuple(skipped))
    if not pairs:
        why = "".join(f"; {count} skipped: {reason}" for reason, count in found.skipped_counts.items())
        raise UsageError(f"no test photos in {folder}: expected folders named by synset id, like n02084071{why}")
    return found


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"no folder of test photos at {folder}: {error.strerror}") from None


def _contents(folder: Path) -> tuple[list[Path], list[Skipped]]:
    """List the pictures and everything else."""
    others: list[Path] = []
    found = list(find_pictures([folder], on_skip=others.append))
    skipped = [Skipped(path, "not a picture by its name") for path in others]
    skipped += [Skipped(one.path, one.problem) for one in found if one.problem is not None]
    return [one.path for one in found if one.problem is None], sorted(skipped, key=lambda one: one.path)


Progress = Callable[[int, int], None]
"""Called with photos done and photos in all."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of some folders. folders: their names. skipped: the number of skipped files by reason."""

    images: tuple[ImageRecord, ...]
    paths: tuple[Path, ...]
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
            paths=tuple(self.paths[place] for place in kept),
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


def list_photos(model: Model, folders: Sequence[Path]) -> Listing:
    """List the photos in class folders named by synset; duplicate folders count once. UsageError if there are none.

    An image is named by its path under its folder; with several folders the folder's name comes first, behind a
    number where two are called the same.
    """
    given = named_folders(folders)
    found = [find_test_photos(folder, model.parts.taxonomy) for folder, _ in given]
    pairs = [(path, truth) for photos in found for path, truth in photos.pairs]
    if not pairs:
        raise UsageError(
            f"no photo in class folders named by synset (n02084071) in {', '.join(map(str, folders))}: check the path"
        )
    images = tuple(
        ImageRecord(_name(path.relative_to(folder), head if len(given) > 1 else None), truth)
        for photos, (folder, head) in zip(found, given, strict=True)
        for path, truth in photos.pairs
    )
    return Listing(images, tuple(path for path, _ in pairs), tuple(head for _, head in given), _skipped(found))


def named_folders(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return each folder once, with a name of its own: a number is put before one that two have."""
    given = list({real_path(folder): folder for folder in reversed(folders)}.items())[::-1]
    names = [place.name for place, _ in given]
    heads = [name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names, 1)]
    return [(folder, head) for (_, folder), head in zip(given, heads, strict=True)]


def gather(model: Model, listing: Listing, on_progress: Progress | None = None) -> Gathered:
    """Run the network on the photos. UsageError if none can be read."""
    rows, kept, problems, notes = [], [], [], []
    for place, one in enumerate(model.features(listing.paths)):
        if one.features is None:
            problems.append(f"{listing.paths[place]}: {one.problem}")
        else:
            rows.append(one.features)
            kept.append(place)
            if one.note:
                notes.append(f"{listing.paths[place]}: {one.note}")
        if on_progress is not None:
            on_progress(place + 1, len(listing.paths))
    if not kept:
        raise UsageError(
            f"none of {counted(len(listing.paths), 'photo')} could be read; the first error: {problems[0]}"
        )
    readable = replace(
        listing,
        images=tuple(listing.images[place] for place in kept),
        paths=tuple(listing.paths[place] for place in kept),
        skipped=_counted(listing.skipped, "a photo that cannot be read", len(problems)),
    )
    return Gathered(readable, np.stack(rows), tuple(problems), tuple(notes))


def _name(path: Path, head: str | None) -> str:
    """With "/" on every system."""
    return path.as_posix() if head is None else f"{head}/{path.as_posix()}"


def _skipped(photos: Sequence[TestPhotos]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for found in photos:
        counts.update(found.skipped_counts)
    return dict(sorted(counts.items()))


def _counted(skipped: dict[str, int], reason: str, count: int) -> dict[str, int]:
    return dict(sorted((skipped | {reason: count}).items())) if count else skipped
