"""What a service may take at most."""

from dataclasses import dataclass, fields

from devise.errors import UsageError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one service; a request beyond one is refused with the reason, never cut short silently.

    megabytes: of one request's body. held_megabytes: of all bodies held at once. megapixels: of one picture.
    labels: typed in one request, and kept in the service, each. queue: pictures that wait for a core.
    seconds: for a body to arrive, and for a picture to be taken up. sets: lists of candidate labels kept ready, about
    50 MB each with the model of the package. block: pictures scored at once.
    """

    megabytes: int = 20
    held_megabytes: int = 256
    megapixels: int = 50
    labels: int = 1000
    queue: int = 64
    seconds: float = 30.0
    sets: int = 6
    block: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise UsageError(f"the limit {field.name} must be above 0, got {getattr(self, field.name)}")
        if self.held_megabytes < self.megabytes:
            raise UsageError(
                f"bodies of {self.megabytes} MB cannot be held in {self.held_megabytes} MB: raise held_megabytes"
            )

    @property
    def body_bytes(self) -> int:
        """Of one request's body, at most."""
        return self.megabytes * 1_000_000
