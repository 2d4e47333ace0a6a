"""Runs the zero-shot protocols of the paper on some photos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devise.errors import UsageError, counted
from devise.evaluation.evaluate import EvaluationRequest, record_gathered
from devise.evaluation.gathered import Listing, gather, list_photos
from devise.evaluation.testsets import ProtocolFiles
from devise.evaluation.zeroshot import (
    SETS,
    GeneralisedRow,
    ZeroShotRow,
    generalised_rows,
    groups_of,
    zero_shot_rows,
)
from devise.model.labeller import Model

__all__ = ["ZeroShotTables", "reproduce_zero_shot"]


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
        return {
            "caption": self.caption,
            "zero_shot": [row.to_dict() for row in self.zero_shot],
            "with_trained": [row.to_dict() for row in self.with_trained],
            "generalised": [row.to_dict() for row in self.generalised],
            "skipped": self.skipped,
        }


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
