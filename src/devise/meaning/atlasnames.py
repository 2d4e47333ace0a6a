"""Where names stand in a picture, so that they do not cover each other."""

from dataclasses import dataclass

from devise.meaning.atlas import Panel, Point

__all__ = ["PlacedName", "placed_names"]

_SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of a point, on which its name may stand, the best first: right or left, above or below."""

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PlacedName:
    """A name and the side of its point that it stands on: 1 is right and above, -1 left and below."""

    point: Point
    right: int
    above: int


def placed_names(panel: Panel, letter: float, line: float) -> tuple[PlacedName, ...]:
    """A place for each name there is room for, in the order of the points.

    letter, line: width of a letter and height of a line, in units of the plane. A map leaves out what has no room;
    a picture of words shows every name, and keeps names off the points too.
    """
    words = bool(panel.lines)
    taken: list[_Box] = [_dot(point, line / 2) for point in panel.points] if words else []
    placed = []
    for point in panel.points:
        if not point.named:
            continue
        boxes = {side: _box(point, side, len(point.name) * letter, line) for side in _SIDES}
        free = [side for side, box in boxes.items() if not any(_meet(box, other) for other in taken)]
        if free or words:
            side = free[0] if free else _SIDES[0]
            taken.append(boxes[side])
            placed.append(PlacedName(point, *side))
    return tuple(placed)


def _dot(point: Point, size: float) -> _Box:
    return point.x - size / 2, point.y - size / 2, size, size


def _box(point: Point, side: tuple[int, int], width: float, line: float) -> _Box:
    """Left, bottom, width and height."""
    away = line / 3
    left = point.x + away if side[0] > 0 else point.x - away - width
    return left, point.y + away / 2 if side[1] > 0 else point.y - away / 2 - line, width, line


def _meet(one: _Box, other: _Box) -> bool:
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))
