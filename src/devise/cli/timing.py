"""What a photo costs: the times of one run of `devise label`."""

from collections.abc import Iterator, Sequence
from time import perf_counter

from devise.errors import counted
from devise.vision.pipeline import Extracted, cores

__all__ = ["Timing"]


class Timing:
    """Adds up where the time of a run goes, from the moment it is made."""

    def __init__(self) -> None:
        self._begun = perf_counter()
        self._start: float | None = None
        self._photos = 0
        self._decoding = self._network = self._waiting = self._scores = 0.0

    def started(self) -> None:
        """End the start: what follows is the work for photos."""
        self._start = perf_counter() - self._begun

    def add(self, block: Sequence[Extracted], waiting: float, scores: float) -> None:
        """Count a block. waiting, scores: seconds until its features were there, and of scoring it."""
        self._photos += len(block)
        self._decoding += sum(one.decoding for one in block)
        self._network += sum(one.network for one in block)
        self._waiting += waiting
        self._scores += scores

    def lines(self) -> Iterator[str]:
        """Yield the times for people; what is neither start, waiting nor scores was output."""
        whole, start = perf_counter() - self._begun, self._start or 0.0
        each = 1e3 / max(1, self._photos)
        output = max(0.0, whole - start - self._waiting - self._scores)
        yield (
            f"timing: {counted(self._photos, 'photo')} in {whole:.1f} s, of which the start took {start:.1f} s: "
            f"{self._photos / max(whole - start, 1e-9):.1f} photos a second after it"
        )
        yield (
            f"timing: per photo, decoding {each * self._decoding:.1f} ms and network {each * self._network:.1f} ms in "
            f"each of {cores() + 1} threads; scores {each * self._scores:.1f} ms and output {each * output:.1f} ms "
            "in another"
        )
