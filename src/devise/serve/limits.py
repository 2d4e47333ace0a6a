"""Limits of a service."""

from dataclasses import dataclass, fields

from devise.errors import UsageError
from devise.vision.limits import PictureLimits

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one service; a request beyond one is refused with the reason, never truncated.

    megabytes: of one request's picture.
    held_megabytes: of all bodies in memory at once.
    megapixels: of one picture, which may take 10 bytes of memory for each.
    labels: typed in one request, and kept in the service, each.
    queue: pictures that wait for a core.
    seconds: for a body to arrive, and for a picture to be taken up.
    decode_seconds: of the processor, for one picture.
    sets: lists of candidate labels kept ready, about 50 MB each with the model of the package.
    block: pictures scored at once.
    """

    megabytes: int = 20
    held_megabytes: int = 256
    megapixels: int = 50
    labels: int = 1000
    queue: int = 64
    seconds: float = 30.0
    decode_seconds: float = 10.0
    sets: int = 6
    block: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise UsageError(f"the limit {field.name} must be above 0, got {getattr(self, field.name)}")
        if self.held_megabytes < self.megabytes:
            raise UsageError(
                f"bodies of {self.megabytes} MB do not fit in {self.held_megabytes} MB: raise held_megabytes"
            )

    @property
    def body_bytes(self) -> int:
        """Return the most bytes of one request's picture."""
        return self.megabytes * 1_000_000

    @property
    def picture(self) -> PictureLimits:
        """Return limits of one picture; an indexed photo may have ten times the bytes of a body."""
        pixels = self.megapixels * 1_000_000
        return PictureLimits(pixels, pixels, 10 * self.body_bytes)
