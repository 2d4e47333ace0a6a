"""Test photos in class folders: one folder per class, named by its synset id."""

import re
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from devise.errors import UsageError
from devise.files import text_name
from devise.vision.folders import find_pictures

__all__ = ["Skipped", "TestPhotos", "find_test_photos"]

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
