"""What a photo costs: the times of one run of `devise label`."""

from collections.abc import Iterator, Sequence
from time import perf_counter, process_time, thread_time

from devise.errors import counted
from devise.vision.pipeline import Extracted

__all__ = ["Timing"]


class Timing:
    """Adds up where the core time of a run goes; made, fed and asked by the thread that scores and writes."""

    def __init__(self) -> None:
        self._begun = self._started = perf_counter()
        self._process = self._thread = 0.0
        self._photos = 0
        self._decoding = self._scores = 0.0

    def started(self) -> None:
        """End the start: what follows is the work for photos."""
        self._started, self._process, self._thread = perf_counter(), process_time(), thread_time()

    def add(self, block: Sequence[Extracted], scores: float) -> None:
        """Count a block. scores: core seconds of scoring it."""
        self._photos += len(block)
        self._decoding += sum(one.decoding for one in block)
        self._scores += scores

    def lines(self) -> Iterator[str]:
        """Yield the times for people. The four add up to the core time of the process.

        Output is what else this thread did; the network is what else the others did, with handing photos over.
        """
        now, whole, own = perf_counter(), process_time() - self._process, thread_time() - self._thread
        each = 1e3 / max(1, self._photos)
        costs = {
            "decoding": self._decoding,
            "network": max(0.0, whole - own - self._decoding),
            "scores": self._scores,
            "output": max(0.0, own - self._scores),
        }
        yield (
            f"timing: {counted(self._photos, 'photo')} in {now - self._begun:.1f} s, of which the start took "
            f"{self._started - self._begun:.1f} s: {self._photos / max(now - self._started, 1e-9):.1f} photos a second "
            "after it"
        )
        listed = ", ".join(f"{name} {each * seconds:.2f} ms" for name, seconds in costs.items())
        yield f"timing: a photo takes {each * whole:.2f} ms of core time: {listed}"
