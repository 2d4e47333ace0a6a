"""Test photos for an evaluation: the features of each readable photo, with name and true class."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import Features
from devise.errors import UsageError, counted
from devise.evaluation.folders import TestPhotos, find_test_photos
from devise.evaluation.record import ImageRecord
from devise.files import real_path
from devise.model.labeller import Model

__all__ = ["Gathered", "Listing", "gather", "list_photos"]

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
    given = list({real_path(folder): folder for folder in reversed(folders)}.items())[::-1]
    names = [place.name for place, _ in given]
    heads = [name if names.count(name) == 1 else f"{number}-{name}" for number, name in enumerate(names, 1)]
    found = [find_test_photos(folder, model.parts.taxonomy) for _, folder in given]
    pairs = [(path, truth) for photos in found for path, truth in photos.pairs]
    if not pairs:
        raise UsageError(
            f"no photo in class folders named by synset (n02084071) in {', '.join(map(str, folders))}: check the path"
        )
    images = tuple(
        ImageRecord(_name(path.relative_to(folder), head if len(given) > 1 else None), truth)
        for photos, (_, folder), head in zip(found, given, heads, strict=True)
        for path, truth in photos.pairs
    )
    return Listing(images, tuple(path for path, _ in pairs), tuple(heads), _skipped(found))


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
