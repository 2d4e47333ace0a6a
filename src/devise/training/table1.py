"""The paper's Table 1 on stored features: softmax, DeViSE, random embeddings; the same photos, budget and search.

Every row tries the same number of settings on a split of the training photos; with the best of them it is trained on
all training photos, once a seed; then, and only then, the test photos are read.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from devise.arrays import LabelVectors, Scores
from devise.bundle.bundle import Bundle, open_bundle
from devise.errors import UsageError, counted
from devise.evaluation.tables import CHANCE, EvaluationSettings, RankedIds, rate_rankings
from devise.labels import Label, LabelSet
from devise.ranking import TIE_RULE, top_k
from devise.space.label_vectors import LabelPolicy
from devise.space.scorers import random_space
from devise.tabletext import csv_text, markdown_table
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.classes import map_classes
from devise.training.config import resolve
from devise.training.engine import train
from devise.training.losses import LossName
from devise.training.surgery import SurgeryConfig, SurgeryHead, SurgeryTask, held_out
from devise.training.surgeryjob import LabelledFeatures, SurgeryInputs, labelled_features, make_store, random_start
from devise.training.targetspace import bundle_space, read_words, words_space
from devise.vision.samples import find_samples

__all__ = [
    "MEASURES",
    "PAPER",
    "RowSpec",
    "Settings",
    "Table1",
    "Table1Config",
    "Table1Inputs",
    "TableRow",
    "as_csv",
    "as_json",
    "as_latex",
    "as_markdown",
    "make_table1",
    "ratios",
    "run_table1",
]

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
        digest = hashlib.sha256(head.surgery().tobytes() + head.label_vectors().tobytes()).hexdigest()
        key = f"{photos.key} {self.spec.key} {seed} {holdout} {digest}"
        task = SurgeryTask(photos.rows, photos.truth, held, head, job, key)
        outcome = train(task, job, work, sampler=task.sampler())
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
    truth_ids = [test.ids[row] for row in test.truth.tolist()]
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


_PAPER_DIMS = (500, 1000)


@dataclass(frozen=True, slots=True)
class Table1Inputs:
    """model: the bundle whose backbone makes the features. train, test: folders and shards. vectors: word vectors,
    rows of the table each; without any, the model's own. work: keeps runs. stores: keeps features.
    """

    model: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    work: Path
    stores: Path
    vectors: tuple[Path, ...] = ()
    classes: Path | None = None


def run_table1(
    config: Table1Config,
    inputs: Table1Inputs,
    *,
    on_photos: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = print,
) -> Table1:
    """Make the table; the test photos' features are read after all choices."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("Table 1 runs in one process: start it without torchrun")
    base, taxonomy = open_bundle(inputs.model), default_taxonomy()
    _check_classes(inputs, taxonomy, say)

    def read(photos: tuple[Path, ...]) -> LabelledFeatures:
        asked = SurgeryInputs(inputs.model, inputs.work, inputs.stores, photos)
        return labelled_features(make_store(base, asked, on_photos, say), taxonomy, inputs.classes, say)

    photos = read(inputs.train)
    specs, notes = _specs(base, inputs, photos.ids, taxonomy)
    table = make_table1(config, specs, photos, lambda: read(inputs.test), taxonomy, inputs.work / "runs", say)
    return replace(table, notes=(*notes, f"features of {base.manifest.backbone.architecture} ({base.manifest.name})"))


def _check_classes(inputs: Table1Inputs, taxonomy: Taxonomy, say: Callable[[str], None]) -> None:
    """Raise UsageError before training if training and test photos have different classes.

    No photo is decoded for it.
    """
    train, test = find_samples(inputs.train), find_samples(inputs.test)
    trained, tested = (
        set(map_classes(one.class_names, taxonomy, inputs.classes).kept.values()) for one in (train, test)
    )
    if other := sorted(trained ^ tested):
        where = "training" if other[0] in trained else "test"
        raise UsageError(
            f"training and test photos must have the same classes, and {len(other)} are on one side only "
            f"({other[0]}: {where}): correct the folders or the review file"
        )
    if train.fingerprint() == test.fingerprint():
        say("training and test photos are the same: what follows says nothing of other photos")


def _specs(
    base: Bundle, inputs: Table1Inputs, ids: Sequence[str], taxonomy: Taxonomy
) -> tuple[list[RowSpec], list[str]]:
    trained = tuple(base.labels.ids[place] for place in base.trained.tolist())
    own = bundle_space(base, taxonomy, ids, trained)
    policy = LabelPolicy.from_dict(dict(base.manifest.label_policy.parameters))
    spaces = [words_space(own, read_words(path), taxonomy, policy) for path in inputs.vectors] or [own]
    devise = [RowSpec("DeViSE", space.dim, _fixed(space.rows(ids))) for space in spaces]
    dims = sorted({*_PAPER_DIMS, *(space.dim for space in spaces)})
    random = [RowSpec("Random embeddings", dim, _random(ids, dim)) for dim in dims]
    rows = [*devise, *random]
    if len({(row.name, row.dim) for row in rows}) < len(rows):
        raise UsageError(f"--vectors must differ in length, got {', '.join(str(space.dim) for space in spaces)}")
    notes = [f"label vectors: {policy.name}"]
    if not inputs.vectors:
        notes.append(f"no --vectors were given, so DeViSE has the model's own word vectors of length {own.dim}")
    return [RowSpec("Softmax", None, None), *rows], notes


def _fixed(vectors: LabelVectors) -> Callable[[int], LabelVectors]:
    return lambda seed: vectors


def _random(ids: Sequence[str], dim: int) -> Callable[[int], LabelVectors]:
    labels = LabelSet(Label(label_id, label_id) for label_id in ids)

    def drawn(seed: int) -> LabelVectors:
        return random_space(labels, dim, np.random.default_rng((seed, dim))).vectors

    return drawn


PAPER: tuple[tuple[str, int | None, tuple[float, ...]], ...] = (
    ("Softmax", None, (55.6, 67.4, 78.5, 85.0, 0.452, 0.342, 0.313, 0.319)),
    ("DeViSE", 500, (53.2, 65.2, 76.7, 83.3, 0.447, 0.352, 0.331, 0.341)),
    ("DeViSE", 1000, (54.9, 66.9, 78.4, 85.0, 0.454, 0.351, 0.325, 0.331)),
    ("Random embeddings", 500, (52.4, 63.9, 74.8, 80.6, 0.428, 0.315, 0.271, 0.248)),
    ("Random embeddings", 1000, (50.5, 62.2, 74.2, 81.5, 0.418, 0.318, 0.290, 0.292)),
    ("Chance", None, (0.1, 0.2, 0.5, 1.0, 0.007, 0.013, 0.022, 0.042)),
)
"""Frome et al. 2013, table 1: ILSVRC-2012, 1000 classes; hit@k in per cent."""

_RATIOS = ("hit@1", "hit@10", "hp@20")


def as_markdown(table: Table1) -> str:
    """Two tables, ours with spreads and the paper's, and what was measured how."""
    head = ("model", "dim", *MEASURES)
    ours = [(row.name, str(row.dim or "-"), *(_cell(row, measure) for measure in MEASURES)) for row in table.rows]
    paper = [(name, str(dim or "-"), *map(_number, MEASURES, values)) for name, dim, values in PAPER]
    lines = [markdown_table([head, *ours]), _caption(table), "", "The paper's own rows (ImageNet, 1000 classes):", ""]
    lines += [markdown_table([head, *paper]), "Ratios to the softmax:", "", *_ratio_lines(table)]
    lines += ["", "Chosen on the photos held out (mean of hit@1 and hit@5 there):", "", *_chosen_lines(table)]
    return "\n".join(lines) + "\n"


def as_latex(table: Table1) -> str:
    """A tabular with both parts."""
    lines = [rf"\begin{{tabular}}{{lr{'r' * len(MEASURES)}}}", r"\hline"]
    lines += [f"Model & dim & {' & '.join(MEASURES)} \\\\", r"\hline"]
    for row in table.rows:
        cells = [_cell(row, measure).replace(" ± ", r" $\pm$ ") for measure in MEASURES]
        lines.append(f"{row.name} & {row.dim or '--'} & {' & '.join(cells)} \\\\")
    lines.append(r"\hline")
    for name, dim, values in PAPER:
        cells = list(map(_number, MEASURES, values))
        lines.append(f"{name} (paper) & {dim or '--'} & {' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"


def as_csv(table: Table1) -> str:
    """Format one row per model; hit@k in per cent as in the paper, a spread after each mean."""
    rows: list[list[object]] = [["source", "model", "dim", *(name for m in MEASURES for name in (m, f"{m} spread"))]]
    for row in table.rows:
        values = [value for m in MEASURES for value in (_values(row, m) if m in row.means else ("", ""))]
        rows.append(["here", row.name, row.dim or "", *values])
    for name, dim, figures in PAPER:
        rows.append(["paper", name, dim or "", *(value for figure in figures for value in (figure, ""))])
    return csv_text(rows)


def as_json(table: Table1) -> str:
    """Everything; measures in [0, 1]."""
    facts = asdict(table)
    rows = [{"model": row.pop("name"), **row} for row in facts.pop("rows")]
    return json.dumps({**facts, "rows": rows, "ratios": ratios(table)}, indent=1, sort_keys=True) + "\n"


def ratios(table: Table1) -> dict[str, dict[str, float]]:
    """Return hit@1, hit@10 and hp@20 relative to the softmax, for every row except softmax and chance."""
    softmax = next(row for row in table.rows if row.name == "Softmax")
    return {
        f"{row.name} {row.dim}": {
            measure: row.means[measure] / softmax.means[measure]
            for measure in _RATIOS
            if softmax.means.get(measure) and measure in row.means
        }
        for row in table.rows
        if row.dim is not None
    }


def _ratio_lines(table: Table1) -> Iterator[str]:
    for name, found in ratios(table).items():
        yield f"- {name}: " + ", ".join(f"{measure} {value:.3f}" for measure, value in found.items())
    yield from _against_random(table)


def _chosen_lines(table: Table1) -> Iterator[str]:
    for row in table.rows:
        if row.chosen and row.held_out is not None:
            settings = ", ".join(f"{key} {value}" for key, value in row.chosen.items())
            yield f"- {_row_name(row)}: {settings} ({row.held_out:.1f})"


def _against_random(table: Table1) -> Iterator[str]:
    """Compare word vectors with random ones of the same length, by hierarchical precision."""
    random = {row.dim: row.means for row in table.rows if row.name.startswith("Random")}
    for row in table.rows:
        if not row.name.startswith("DeViSE") or row.dim not in random:
            continue
        measures = [measure for measure in MEASURES if measure.startswith("hp@") and measure in row.means]
        below = [measure for measure in measures if row.means[measure] <= random[row.dim][measure]]
        found = f"not on {', '.join(below)}" if below else "on every hp@k"
        yield f"- {_row_name(row)} above random embeddings of its length: {found}"


def _row_name(row: TableRow) -> str:
    return f"{row.name} {row.dim or ''}".strip()


def _caption(table: Table1) -> str:
    facts = (
        f"{table.train_photos:,} training and {counted(table.test_photos, 'test photo')} of "
        f"{counted(table.classes, 'class')}",
        f"mean ± standard deviation over {table.seeds} seeds",
        f"{counted(table.epochs, 'epoch')} and {counted(table.tried, 'setting')} tried for every row",
        "hit@k in percent, hp@k from 0 to 1, correct sets among these classes",
        f"is-a graph {table.graph[:12]}",
        *table.notes,
    )
    return "; ".join(facts) + "."


def _cell(row: TableRow, measure: str) -> str:
    if measure not in row.means:
        return "-"
    mean, spread = _values(row, measure)
    return _number(measure, mean) if row.name == "Chance" else f"{_number(measure, mean)} ± {_number(measure, spread)}"


def _values(row: TableRow, measure: str) -> tuple[float, float]:
    scale = 100 if measure.startswith("hit@") else 1
    return scale * row.means[measure], scale * row.spreads[measure]


def _number(measure: str, value: float) -> str:
    return f"{value:.1f}" if measure.startswith("hit@") else f"{value:.3f}".removeprefix("0")
