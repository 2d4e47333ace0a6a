"""The paper's Table 1 on stored features: softmax, DeViSE, random embeddings; the same photos, budget and search.

Every row tries the same number of settings on a split of the training photos; with the best of them it is trained on
all training photos, once a seed; then, and only then, the test photos are read.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import torch

from devise.arrays import LabelVectors, Scores, Truth
from devise.errors import UsageError
from devise.evaluation.tables import CHANCE, EvaluationSettings, RankedIds, rate_rankings
from devise.ranking import TIE_RULE, top_k
from devise.taxonomy.wordnet import Taxonomy
from devise.training.batches import Sampler
from devise.training.config import resolve
from devise.training.engine import train
from devise.training.featurerows import block_and_group
from devise.training.losses import LossName
from devise.training.surgery import SurgeryConfig, SurgeryHead, SurgeryTask, held_out
from devise.training.surgeryjob import LabelledFeatures, random_start

__all__ = ["MEASURES", "RowSpec", "Settings", "Table1", "Table1Config", "TableRow", "make_table1"]

MEASURES = EvaluationSettings(hit_ks=(1, 2, 5, 10), hp_ks=(2, 5, 10, 20)).measures
"""The columns."""

Settings = Mapping[str, float | str]
"""What a row is trained with, as keys of `SurgeryConfig`."""

_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Table1Config:
    """seeds: runs a row, from seed 0 on. epochs, batch: of every row. holdout: share of the training photos that the
    settings are chosen by. rates: tried by every row, each with all of the row's trials. losses: tried by DeViSE and
    the random embeddings, softmax-dot with every one of `dot_decays` as weight decay, softmax-cosine with every one of
    `temperatures`, the others with every one of `margins`. decays: weight decays that the softmax tries, the first of
    them, as many as the others have trials.
    """

    seeds: int = 3
    epochs: int = 12
    batch: int = 512
    losses: tuple[LossName, ...] = ("softmax-dot", "softmax-cosine", "all-negatives", "hardest", "first-violator")
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    decays: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0, 0.01, 10.0)
    dot_decays: tuple[float, ...] = (0.3, 1.0, 3.0)
    temperatures: tuple[float, ...] = (0.05,)
    margins: tuple[float, ...] = (0.1,)
    holdout: float = 0.1

    def __post_init__(self) -> None:
        if self.seeds < 1 or not 0 < self.holdout < 1:
            raise UsageError(f"seeds must be 1 or more and holdout between 0 and 1, got {self.seeds}, {self.holdout}")
        count = len(self.trials)
        if not count or not self.rates:
            raise UsageError("losses, their decays, temperatures or margins, and rates must not be empty")
        if len(self.decays) < count:
            raise UsageError(
                f"every row gets the same search: {count} trials of the losses need {count} decays, "
                f"got {len(self.decays)}: set decays"
            )

    @property
    def trials(self) -> tuple[Settings, ...]:
        """What DeViSE and the random embeddings try at every rate."""
        numbers = {
            "softmax-dot": ("weight_decay", self.dot_decays),
            "softmax-cosine": ("temperature", self.temperatures),
        }
        return tuple(
            {"loss": loss, key: value}
            for loss in self.losses
            for key, values in [numbers.get(loss, ("margin", self.margins))]
            for value in values
        )

    def settings(self, softmax: bool) -> Iterator[Settings]:
        """All that a row tries."""
        decays: tuple[Settings, ...] = tuple({"weight_decay": decay} for decay in self.decays[: len(self.trials)])
        for rate, trial in product(self.rates, decays if softmax else self.trials):
            yield {"rate": rate, **trial}


@dataclass(frozen=True, eq=False, slots=True)
class RowSpec:
    """A row that is trained. vectors: by seed, of the classes; None is the softmax."""

    name: str
    dim: int | None
    vectors: Callable[[int], LabelVectors] | None

    @property
    def key(self) -> str:
        """Its name and length, as in a file's name."""
        return f"{self.name} {self.dim or ''}".strip().lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class TableRow:
    """Mean and standard deviation (0 of one run) over the seeds, by measure, in [0, 1]; the settings chosen.

    held_out: mean of hit@1 and hit@5 in per cent that they were chosen by.
    """

    name: str
    dim: int | None
    means: Mapping[str, float]
    spreads: Mapping[str, float]
    chosen: Settings = field(default_factory=dict)
    held_out: float | None = None


@dataclass(frozen=True, slots=True)
class Table1:
    """The rows in the paper's order, chance last. epochs, tried: of every row, the same for all."""

    rows: tuple[TableRow, ...]
    train_photos: int
    test_photos: int
    classes: int
    seeds: int
    graph: str
    epochs: int
    tried: int
    notes: tuple[str, ...] = ()


def make_table1(
    config: Table1Config,
    specs: Sequence[RowSpec],
    train_photos: LabelledFeatures,
    read_test: Callable[[], LabelledFeatures],
    taxonomy: Taxonomy,
    work: Path,
    say: Callable[[str], None],
) -> Table1:
    """Make all rows. read_test: called once, after all choices and training. A stopped run resumes."""
    heads: dict[str, list[SurgeryHead]] = {}
    chosen: dict[str, _Searched] = {}
    for spec in specs:
        job = _Job(spec, config, train_photos, work / spec.key)
        found = chosen[spec.key] = job.searched(say)
        heads[spec.key] = [job.fitted(found.settings, seed, 0.0)[0] for seed in range(config.seeds)]
    test = read_test()
    if test.ids != train_photos.ids:
        raise UsageError("training and test photos must have the same classes: correct the folders or the review file")
    rows: list[TableRow] = []
    chance, graph = dict[str, float](), ""
    for spec in specs:
        measured = [_measured(head, test, taxonomy) for head in heads[spec.key]]
        chance, graph = measured[0][1:]
        rows.append(_row(spec, [one[0] for one in measured], chosen[spec.key]))
    rows.append(TableRow("Chance", None, chance, dict.fromkeys(chance, 0.0)))
    counts = (len(train_photos.truth), len(test.truth), len(test.ids), config.seeds)
    return Table1(tuple(rows), *counts, graph, config.epochs, len(config.rates) * len(config.trials))


@dataclass(frozen=True, eq=False, slots=True)
class _Searched:
    """The settings with the best mean of hit@1 and hit@5 on the photos held out, and that in per cent."""

    settings: Settings
    hits: float


@dataclass(frozen=True, eq=False, slots=True)
class _Job:
    """The trainings of one row."""

    spec: RowSpec
    config: Table1Config
    photos: LabelledFeatures
    work: Path

    def searched(self, say: Callable[[str], None]) -> _Searched:
        if not held_out(self.photos.truth, self.config.holdout, 0).any():
            raise UsageError(
                f"settings are chosen on held-out photos, and {self.config.holdout:g} of each class's photos is less "
                "than half a photo: raise holdout or add photos"
            )
        best: _Searched | None = None
        for settings in self.config.settings(softmax=self.spec.vectors is None):
            hits = self.fitted(settings, 0, self.config.holdout)[1]
            say(f"{self.spec.key}, {_named(settings)}: hit@1 and hit@5 {hits:.2f} in the mean on photos held out")
            if best is None or hits > best.hits:
                best = _Searched(settings, hits)
        assert best is not None
        return best

    def fitted(self, settings: Settings, seed: int, holdout: float) -> tuple[SurgeryHead, float]:
        """The trained head, and its mean of hit@1 and hit@5 in per cent on the photos held out, 0 where none are."""
        config, photos = self.config, self.photos
        work = self.work / f"{'try' if holdout else f'seed-{seed}'}-{_named(settings)}"
        budget = {"epochs": config.epochs, "batch": config.batch, "patience": 0, "seed": seed}
        if self.spec.vectors is None:
            head, settings = _softmax_head(photos), {"loss": "softmax-dot", **settings}
        else:
            vectors = self.spec.vectors(seed)
            head = SurgeryHead(random_start(vectors.shape[1], photos.rows, seed), vectors, tuned=False)
        job = resolve(SurgeryConfig, None, budget | dict(settings))
        held = held_out(photos.truth, holdout, 0)
        split = (np.flatnonzero(~held), np.flatnonzero(held))
        digest = hashlib.sha256(head.surgery().tobytes() + head.label_vectors().tobytes()).hexdigest()
        key = f"{photos.key} {self.spec.key} {seed} {holdout} {digest}"
        task = SurgeryTask(photos.rows, photos.truth, split, head, job, key)
        block, group = block_and_group(photos.rows)
        sampler = Sampler(len(task), job.batch, seed, block=block, group=group)
        outcome = train(task, job, work, sampler=sampler)
        return head, float(np.mean(list(outcome.measures.values()))) if outcome.measures else 0.0


def _named(settings: Settings) -> str:
    return "-".join(map(str, settings.values()))


def _softmax_head(photos: LabelledFeatures) -> SurgeryHead:
    """A linear softmax as a head: each label has an axis of its own, and there is an offset. It begins at zero."""
    axes = np.eye(len(photos.ids), dtype=np.float32)
    return SurgeryHead(np.zeros((len(axes), photos.rows.dim), np.float32), axes, tuned=False, biased=True)


def _measured(
    head: SurgeryHead, test: LabelledFeatures, taxonomy: Taxonomy
) -> tuple[dict[str, float], dict[str, float], str]:
    """The head's measures, chance's, and the graph they were made with."""
    scores = np.concatenate(
        [
            _scores(head, test.rows.take(np.arange(start, min(start + _BLOCK, len(test.truth)))))
            for start in range(0, len(test.truth), _BLOCK)
        ]
    )
    ranked = RankedIds(test.ids, top_k(scores, min(20, len(test.ids))).positions)
    truth_ids = [test.ids[row] for row in _listed(test.truth)]
    settings = EvaluationSettings(hit_ks=(1, 2, 5, 10), hp_ks=(2, 5, 10, 20), ties=TIE_RULE)
    result = rate_rankings({"row": ranked}, truth_ids, test.ids, test.ids, taxonomy, settings=settings).table()
    rows = {row.scorer: row.per_image for row in result.rows}
    return _known(rows["row"]), _known(rows[CHANCE]), result.settings.graph


def _scores(head: SurgeryHead, features: np.ndarray) -> Scores:
    """t . Mv, which ranks labels as their cosines do, since all t are of length 1; the logits of a softmax."""
    with torch.no_grad():
        places, vectors = head.cpu().eval()(torch.from_numpy(features))
    scores: Scores = (places @ vectors.T).numpy()
    return scores


def _row(spec: RowSpec, found: Sequence[Mapping[str, float]], chosen: _Searched) -> TableRow:
    means = {measure: float(np.mean([one[measure] for one in found])) for measure in found[0]}
    spreads = {
        measure: float(np.std([one[measure] for one in found], ddof=1)) if len(found) > 1 else 0.0
        for measure in found[0]
    }
    return TableRow(spec.name, spec.dim, means, spreads, chosen.settings, chosen.hits)


def _known(means: Mapping[str, float | None]) -> dict[str, float]:
    return {measure: value for measure, value in means.items() if value is not None}


def _listed(truth: Truth) -> list[int]:
    return [int(row) for row in truth]
