"""Test photos whose true labels are the keywords that people gave them, in XMP sidecars or in the photos."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from devise.errors import UsageError
from devise.evaluation.photos import Listing, named_folders
from devise.evaluation.record import ImageRecord
from devise.model.labeller import Model
from devise.model.parts import ModelParts
from devise.model.word_senses import Meanings
from devise.sidecars import keywords_of_person
from devise.vision.folders import find_pictures
from devise.vision.samples import whole_files
from devise.xmp import SidecarError, require_xmp

__all__ = ["list_tagged_photos"]

_MOST = 1000  # keywords of a photo, and letters of one: people write some 10, of some 10 letters
_NO_PICTURE = "not a picture by its name"
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
        for found in find_pictures([place], lambda _: skipped.update([_NO_PICTURE])):
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
