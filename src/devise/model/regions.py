"""Names of the parts of a photo: one region per thing, however many parts show it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from devise.model.answers import Hedge, Region
from devise.vision.pipeline import Box

__all__ = ["merged", "sure_regions"]


def sure_regions(
    boxes: Sequence[Box], hedges: Sequence[Hedge | None], related: Callable[[str, str], bool]
) -> tuple[Region, ...]:
    """Return the regions of parts. hedges: one per box; None is a part that shows none of the candidates."""
    found = []
    for box, hedge in zip(boxes, hedges, strict=True):
        if hedge is None or hedge.name is None or not hedge.name.bits:  # what all candidates are says nothing
            continue
        until = [level.id for level in hedge.way].index(hedge.name.id)
        found.append(Region(box, hedge.name, hedge.way[: until + 1]))
    return merged(found, related)


def merged(found: Sequence[Region], related: Callable[[str, str], bool]) -> tuple[Region, ...]:
    """Merge regions that overlap and name the same thing; the most probable name stays, around all their boxes.

    related: whether two ids are the same, or one is above the other. No two of the merged regions overlap and are
    related. Most probable first; of equally probable names the more informative one.
    """
    kept: list[Region] = []
    for one in sorted(found, key=_rank):
        kept = _joined(kept, one, related)
    return tuple(sorted(kept, key=_rank))


def _joined(kept: list[Region], one: Region, related: Callable[[str, str], bool]) -> list[Region]:
    """Add a region, or let the first that it belongs to grow; one that grew may reach a further one."""
    for other in kept:
        if other.box.overlaps(one.box) and related(other.name.id, one.name.id):
            first, second = sorted((other, one), key=_rank)
            grown = replace(first, box=first.box.around(second.box))
            return _joined([region for region in kept if region is not other], grown, related)
    return [*kept, one]


def _rank(region: Region) -> tuple[float, float, str, int, int, int, int]:
    box, name = region.box, region.name
    return -name.share, -name.bits, name.id, box.y, box.x, box.width, box.height
