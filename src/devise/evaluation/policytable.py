"""Label policies side by side: the same words, the same classes, the same photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devise.errors import UsageError
from devise.evaluation.audit import LabelSpaceAudit, LabelSpaceConfig, measured, wide_space
from devise.evaluation.evaluate import EvaluationRequest, record_gathered
from devise.evaluation.photos import Gathered, gather, list_photos
from devise.evaluation.tables import EvaluationResult, evaluate_record
from devise.model.labeller import Model
from devise.model.other_space import MODEL_WORDS, open_composers, with_label_space
from devise.model.parts import ModelParts
from devise.text.vectorfiles import OnBad

__all__ = ["PolicyComparison", "PolicyRow", "compare_policies"]

_Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False, slots=True)
class PolicyRow:
    """One policy. space: its name, its words, and the number of labels without a tag if it reads tags.

    trained, wide: as in `Audit`. photos: None if there were none.
    """

    policy: str
    space: str
    trained: LabelSpaceAudit
    wide: LabelSpaceAudit
    photos: EvaluationResult | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parts = {name: getattr(self, name) for name in ("trained", "wide", "photos")}
        plain = {name: None if part is None else part.to_dict() for name, part in parts.items()}
        return {"policy": self.policy, "space": self.space, **plain}


@dataclass(frozen=True, eq=False, slots=True)
class PolicyComparison:
    """The policies in the requested order.

    wide_list: what the wide list is, in words. skipped: files that are not test photos, by reason. problems: photos
    that could not be read.
    """

    rows: tuple[PolicyRow, ...]
    wide_list: str
    skipped: Mapping[str, int]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [row.to_dict() for row in self.rows]
        return {"wide_list": self.wide_list, "skipped": dict(self.skipped), "policies": rows}


def compare_policies(
    parts: ModelParts,
    policies: Sequence[str] | None = None,
    vectors: str | None = None,
    *,
    classes: str | None = None,
    folders: Sequence[Path] = (),
    config: LabelSpaceConfig | None = None,
    on_bad: OnBad = "error",
    say: Callable[[str], None] = lambda note: None,
    on_progress: _Progress = lambda what, done, total: None,
) -> PolicyComparison:
    """The measures of `audit_label_space` and, with photos, of `evaluate_folders` for each policy.

    policies, vectors, on_bad, say: as `open_composers` has them; None takes the model's words. classes: a list of ids,
    joined to the trained ones for the measures without photos, and the candidates for photos; None takes all labels of
    the model, and for photos those that were not trained. The photos are read once; surgery is the closed form for
    every policy.
    UsageError for an unknown policy, or a duplicate.
    """
    if policies is not None and (len(set(policies)) != len(policies) or not policies):
        raise UsageError(f"policies must be unique, got {', '.join(policies) or 'none'}")
    composers = open_composers(parts, vectors or MODEL_WORDS, policies, on_bad=on_bad, say=say)
    photos = _photos(parts, folders, on_progress) if folders else None
    rows, listed = [], ""
    for policy, other in composers.items():
        there = with_label_space(parts, other)
        space, listed = wide_space(there, classes)
        small = there.space.subset(there.trained)
        settings = config or LabelSpaceConfig()

        def progress_of(what: str, policy: str = policy) -> Callable[[int, int], None]:
            return lambda done, total: on_progress(f"{policy}: {what}", done, total)

        trained = measured(there, small, settings, progress_of("trained classes"))
        wide = measured(there, space, settings, progress_of("all classes"))
        rows.append(PolicyRow(policy, there.label_policy, trained, wide, _judged(there, photos, classes)))
    skipped = {} if photos is None else photos.listing.skipped
    return PolicyComparison(tuple(rows), listed, skipped, () if photos is None else photos.problems)


def _photos(parts: ModelParts, folders: Sequence[Path], on_progress: _Progress) -> Gathered:
    model = Model(parts)
    return gather(model, list_photos(model, folders), lambda done, total: on_progress("photos", done, total))


def _judged(parts: ModelParts, photos: Gathered | None, classes: str | None) -> EvaluationResult | None:
    if photos is None:
        return None
    request = EvaluationRequest("unseen" if classes is None else classes)
    return evaluate_record(record_gathered(Model(parts), photos, request), parts.taxonomy)
