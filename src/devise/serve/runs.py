"""Cache of prepared candidate sets: a bounded number, leased to the requests that use them."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from devise.errors import UsageError
from devise.model.candidates import OWN_CANDIDATES, Candidates, choose_candidates
from devise.model.labeller import LabelRequest, LabelRun, Model
from devise.model.methods import Method
from devise.model.rejection import Reject
from devise.model.typed import TypedLabel
from devise.serve.problems import busy

__all__ = ["CandidateSet", "Runs", "SetKey"]

_RUNS = 12  # kept for one candidate set


class SetKey(NamedTuple):
    """Options that choose the candidates, see `choose_candidates`, and the language of their names."""

    candidates: str = "all"
    under: str | None = None
    typed: tuple[TypedLabel, ...] = ()
    language: str | None = None


@dataclass(eq=False)
class CandidateSet:
    """Candidates, and the runs over them; `users` requests need it now."""

    model: Model
    key: SetKey
    chosen: Candidates
    users: int = 0
    _runs: "OrderedDict[LabelRequest, LabelRun]" = field(default_factory=OrderedDict)

    def run(
        self,
        method: Method,
        top: int,
        explain: bool,
        sure: float | None = None,
        reject: Reject | None = None,
        regions: bool = False,
    ) -> LabelRun:
        """Prepare a run of at most `top` guesses. UsageError if the method can rank no label."""
        labels = self.chosen.space.labels
        ranked = int(labels.seen.sum()) if method == "softmax" else len(labels)
        key = self.key
        wanted = min(top, ranked) or top
        request = LabelRequest(
            wanted, method, key.candidates, key.under, key.typed, reject, explain, sure, regions=regions
        )
        run = self._runs.pop(request, None) or LabelRun(self.model, request, self.chosen)
        self._runs[request] = run
        if len(self._runs) > _RUNS:
            self._runs.popitem(last=False)
        return run


class Runs:
    """Candidate sets, least recently used dropped first. Belongs to one event loop; a thread makes the sets.

    models: of the languages. most: sets at once, in use or cached; further requests wait, at most `seconds`.
    """

    def __init__(self, models: Callable[[str | None], Model], most: int, seconds: float) -> None:
        self._models = models
        self._most = most
        self._seconds = seconds
        self._sets: OrderedDict[SetKey, asyncio.Future[CandidateSet]] = OrderedDict()
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="devise-candidates")
        self._freed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._sets)

    @asynccontextmanager
    async def lease(self, key: SetKey) -> AsyncIterator[CandidateSet]:
        """Lease a set while it is used. The errors of `choose_candidates`; ServiceError 429 if all stay in use."""
        found = await self._taken(key)
        try:
            yield found
        finally:
            found.users -= 1
            async with self._freed:
                self._freed.notify_all()

    async def typed(self, label: TypedLabel, language: str | None = None) -> Candidates:
        """Return one typed label alone, to see how it is read. ServiceError 429 if that takes longer than `seconds`."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._made(SetKey("typed", None, (label,), language))
        except TimeoutError:
            raise busy("lists of labels of other requests take long: try again", 2) from None

    def close(self) -> None:
        """End the thread."""
        self._maker.shutdown(wait=True, cancel_futures=True)

    async def _taken(self, key: SetKey) -> CandidateSet:
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    if key in self._sets:
                        future = self._sets[key]
                    elif self._room():
                        future = self._sets[key] = asyncio.ensure_future(self._make(key))
                    else:
                        async with self._freed:
                            await self._freed.wait()
                        continue
                    found = await asyncio.shield(future)
                    if self._sets.get(key) is future:
                        self._sets.move_to_end(key)
                        found.users += 1
                        return found
        except TimeoutError:
            raise busy("too many different lists of labels are in use: try again", 2) from None

    def _room(self) -> bool:
        """Return whether one more set may be made, after dropping the oldest unused one."""
        if len(self._sets) < self._most:
            return True
        for key, future in self._sets.items():
            if future.done() and not future.result().users:
                del self._sets[key]
                return True
        return False

    async def _make(self, key: SetKey) -> CandidateSet:
        try:
            return CandidateSet(self._models(key.language), key, await self._made(key))
        except BaseException:
            del self._sets[key]
            async with self._freed:
                self._freed.notify_all()
            raise

    async def _made(self, key: SetKey) -> Candidates:
        if key.candidates not in OWN_CANDIDATES:
            raise UsageError(f"candidates must be one of {', '.join(OWN_CANDIDATES)}, got {key.candidates!r}")

        def make() -> Candidates:
            return choose_candidates(self._models(key.language).parts, key.candidates, under=key.under, typed=key.typed)

        return await asyncio.get_running_loop().run_in_executor(self._maker, make)
