"""The zero-shot tables in the layout of Frome et al. 2013 (tables 2 and 3), with the paper's own rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devise.errors import UsageError, counted
from devise.evaluation.evaluate import EvaluationRequest, record_gathered
from devise.evaluation.measures import harmonic_mean
from devise.evaluation.photos import Listing, gather, list_photos
from devise.evaluation.record import Record
from devise.evaluation.tables import CHANCE, EvaluationResult, EvaluationRow, rate_record
from devise.evaluation.testsets import ProtocolFiles
from devise.model.labeller import Model
from devise.taxonomy.wordnet import Taxonomy

__all__ = [
    "GROUPS",
    "KS",
    "SETS",
    "GeneralisedRow",
    "ZeroShotRow",
    "ZeroShotTables",
    "generalised_cells",
    "generalised_rows",
    "groups_of",
    "reproduce_zero_shot",
    "zero_shot_cells",
    "zero_shot_rows",
]

KS = (1, 5, 20)
"""The k of the tables."""

SETS = {
    "3-hops": "3-hop",
    "imagenet-all": "ImageNet 21k",
    "3-hops+1K": "3-hop + 1K",
    "imagenet-all+1K": "ImageNet 21k + 1K",
}
"""What the tables call a protocol."""

GROUPS = ("unseen", "related", "trained")
"""Kinds of test classes: neither above nor below a trained one; above or below one; trained themselves."""

_NAMES = {"fused": "Fused", "devise": "DeViSE", "conse": "ConSE", "softmax": "Softmax", "random": "Random"}

_Triple = tuple[float | None, float | None, float | None]

# Frome et al. 2013, tables 2 and 3: hit@1, 5, 20 and hp@1, 5, 20 in percent. The ratio is the paper's headline.
_PAPER: dict[str, dict[str, tuple[_Triple, _Triple, float | None]]] = {
    "3-hops": {
        "DeViSE": ((1.7, 5.3, 12.5), (1.7, 19.1, 23.6), None),
        "Softmax": ((0.0, 0.0, 0.0), (0.0, 15.7, 13.0), None),
    },
    "imagenet-all": {
        "DeViSE": ((0.8, 2.5, 6.0), (0.8, 7.2, 9.6), 168.0),
        "Softmax": ((0.0, 0.0, 0.0), (0.0, 7.1, 6.5), None),
    },
    "3-hops+1K": {"DeViSE": ((0.5, 3.4, 9.7), (0.5, 19.2, 21.4), None)},
    "imagenet-all+1K": {"DeViSE": ((0.3, 1.9, 5.3), (0.3, 8.3, 10.1), None)},
}


@dataclass(frozen=True, slots=True)
class ZeroShotRow:
    """One row: hits and hierarchical precisions at `KS` in percent, and how many times chance the hits are.

    group: of the photos, "" for the paper's rows, which are of other photos.
    """

    data: str
    group: str
    model: str
    photos: int | None
    classes: int | None
    candidates: int | None
    hits: _Triple
    precisions: _Triple
    times_chance: _Triple
    paper: bool = False


@dataclass(frozen=True, slots=True)
class GeneralisedRow:
    """Trained labels among the candidates: hits at `KS` in percent on photos of trained and of unseen classes."""

    data: str
    model: str
    seen: _Triple
    unseen: _Triple
    harmonic: _Triple


def groups_of(classes: Sequence[str], trained: Sequence[str], taxonomy: Taxonomy) -> dict[str, str]:
    """The kind of each class, see `GROUPS`."""
    known = frozenset(trained)
    above = frozenset().union(*(taxonomy.ancestors(one) for one in trained))
    found = {}
    for one in classes:
        related = one in above or bool(taxonomy.ancestors(one) & known)
        found[one] = "trained" if one in known else "related" if related else "unseen"
    return found


def zero_shot_rows(protocol: str, record: Record, taxonomy: Taxonomy) -> tuple[ZeroShotRow, ...]:
    """Make the rows of one set: per kind of untrained class, one per scorer and chance; then the paper's.

    protocol: one of `SETS`.
    """
    rows = []
    for group, result in _by_group(record, taxonomy).items():
        if group != "trained":
            chance = _hits(result.rows[-1])
            rows += [_row(SETS[protocol], group, result, row, chance) for row in result.rows]
    for model, (hits, precisions, ratio) in _PAPER[protocol].items():
        times = (ratio, None, None)
        name = f"{model} (paper)"
        rows.append(ZeroShotRow(SETS[protocol], "", name, None, None, None, hits, precisions, times, paper=True))
    return tuple(rows)


def generalised_rows(protocol: str, record: Record, taxonomy: Taxonomy) -> tuple[GeneralisedRow, ...]:
    """Seen, unseen and their harmonic mean; none unless there are photos of trained and of unseen classes."""
    results = _by_group(record, taxonomy)
    if not {"trained", "unseen"} <= set(results):
        return ()
    rows = []
    for seen, unseen in zip(results["trained"].rows, results["unseen"].rows, strict=True):
        pairs = list(zip(_hits(seen), _hits(unseen), strict=True))
        harmonic = [None if None in pair else harmonic_mean(*(value or 0.0 for value in pair)) for pair in pairs]
        rows.append(GeneralisedRow(SETS[protocol], _named(seen.scorer), _hits(seen), _hits(unseen), _triple(harmonic)))
    return tuple(rows)


def zero_shot_cells(rows: Sequence[ZeroShotRow]) -> tuple[tuple[str, ...], ...]:
    """Format as text, header first: hits and precisions in percent."""
    heads = ("data set", "photos of", "model", *(f"hit@{k}" for k in KS), *(f"hp@{k}" for k in KS))
    body = [
        (
            row.data,
            _photos(row),
            row.model,
            *map(_percent, (*row.hits, *row.precisions)),
            *map(_times, row.times_chance),
        )
        for row in rows
    ]
    return ((*heads, *(f"x chance @{k}" for k in KS)), *body)


def generalised_cells(rows: Sequence[GeneralisedRow]) -> tuple[tuple[str, ...], ...]:
    """Format as text, header first: hits in percent."""
    heads = [f"{side} hit@{k}" for side in ("trained", "unseen", "harmonic") for k in KS]
    body = [(row.data, row.model, *map(_percent, (*row.seen, *row.unseen, *row.harmonic))) for row in rows]
    return (("data set", "model", *heads), *body)


def _by_group(record: Record, taxonomy: Taxonomy) -> Mapping[str, EvaluationResult]:
    kinds = groups_of(sorted(set(record.truth_ids)), record.trained, taxonomy)
    of_images = np.array([kinds[truth] for truth in record.truth_ids])
    places = {group: np.flatnonzero(of_images == group).tolist() for group in GROUPS}
    rates = rate_record(record, taxonomy)
    return {group: rates.table(images) for group, images in places.items() if images}


def _row(data: str, group: str, result: EvaluationResult, row: EvaluationRow, chance: _Triple) -> ZeroShotRow:
    hits = _hits(row)
    # hp@1 is hit@1, as every test class of a protocol is a candidate.
    precisions = [hits[0], *(_in_percent(row.per_image[f"hp@{k}"]) for k in KS[1:])]
    pairs = zip(hits, chance, strict=True)
    times = [None if row.scorer == CHANCE or one is None or not other else one / other for one, other in pairs]
    counts = (result.images, result.classes, result.candidates)
    return ZeroShotRow(data, group, _named(row.scorer), *counts, hits, _triple(precisions), _triple(times))


def _hits(row: EvaluationRow) -> _Triple:
    return _triple([_in_percent(row.per_image[f"hit@{k}"]) for k in KS])


def _triple(values: Sequence[float | None]) -> _Triple:
    one, two, three = values
    return one, two, three


def _in_percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _named(scorer: str) -> str:
    return _NAMES.get(scorer, scorer.capitalize() if scorer == CHANCE else scorer)


def _photos(row: ZeroShotRow) -> str:
    return "ImageNet" if row.paper else f"{row.classes} {row.group} classes ({row.photos})"


def _percent(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value == 0 or value >= 0.1 else f"{value:.3f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


@dataclass(frozen=True, slots=True)
class ZeroShotTables:
    """The tables and the notes needed to read them.

    zero_shot: unseen candidates; with_trained: the trained labels are candidates too; generalised: with photos of
    trained classes, both sides. skipped: what was left out, by protocol and reason. caption: which photos they are.
    """

    zero_shot: tuple[ZeroShotRow, ...]
    with_trained: tuple[ZeroShotRow, ...]
    generalised: tuple[GeneralisedRow, ...]
    skipped: dict[str, dict[str, int]]
    problems: tuple[str, ...]
    caption: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON; no times, no paths."""
        return {name: value for name, value in asdict(self).items() if name != "problems"}


def reproduce_zero_shot(
    model: Model,
    folders: Sequence[Path],
    splits: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> ZeroShotTables:
    """The paper's sets 3-hop and ImageNet 21k, each with unseen candidates and with the trained labels added.

    splits: as in `ProtocolFiles`. UsageError if there are no photos of classes that were not trained.
    """
    listing = list_photos(model, folders)
    kinds = groups_of(listing.classes, model.parts.trained_ids, model.parts.taxonomy)
    if set(kinds.values()) == {"trained"}:
        raise UsageError("zero-shot tables need photos of classes that were not trained on, got only trained ones")
    photos = gather(model, listing, on_progress)
    rows: dict[bool, list[ZeroShotRow]] = {False: [], True: []}
    both: list[GeneralisedRow] = []
    skipped = {}
    for protocol in SETS:
        request = EvaluationRequest(protocol=protocol, files=ProtocolFiles(splits))
        record = record_gathered(model, photos, request)
        rows[protocol.endswith("+1K")] += zero_shot_rows(protocol, record, model.parts.taxonomy)
        if protocol.endswith("+1K"):
            both += generalised_rows(protocol, record, model.parts.taxonomy)
        skipped[protocol] = dict(record.facts["skipped"])
    caption = _caption(photos.listing, model.parts.taxonomy.graph_hash)
    return ZeroShotTables(tuple(rows[False]), tuple(rows[True]), tuple(both), skipped, photos.problems, caption)


def _caption(photos: Listing, graph: str) -> str:
    return (
        f"Photos: {len(photos.images):,} of {counted(len(photos.classes), 'class')} in "
        f"{', '.join(photos.folders)}, not "
        "ImageNet's test photos; rows marked (paper) are Frome et al. 2013 on ImageNet and do not compare with the "
        "others. All values except the ratios to chance are in percent. Related classes are above or below a trained "
        f"one in WordNet, unseen ones are not. Is-a graph {graph[:12]}."
    )
