"""Evaluations: records of runs, their measures, and comparisons of two runs."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.evaluation.adapters import NameScorer, with_others
    from devise.evaluation.compare import Comparison, compare_records
    from devise.evaluation.evaluate import EvaluationRequest, evaluate_folders
    from devise.evaluation.measures import hierarchical_precisions, hit_at_k
    from devise.evaluation.record import Record, read_record, write_record

__all__ = [
    "Comparison",
    "EvaluationRequest",
    "NameScorer",
    "Record",
    "compare_records",
    "evaluate_folders",
    "hierarchical_precisions",
    "hit_at_k",
    "read_record",
    "with_others",
    "write_record",
]

_HOMES = {
    "adapters": ("NameScorer", "with_others"),
    "compare": ("Comparison", "compare_records"),
    "evaluate": ("EvaluationRequest", "evaluate_folders"),
    "measures": ("hierarchical_precisions", "hit_at_k"),
    "record": ("Record", "read_record", "write_record"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
