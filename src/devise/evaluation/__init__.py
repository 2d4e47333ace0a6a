"""Evaluations: records of runs, their measures, and comparisons of two runs."""

from typing import TYPE_CHECKING

from devise.lazy import lazily

if TYPE_CHECKING:
    from devise.evaluation.adapters import NameScorer, with_others
    from devise.evaluation.compare import Comparison, compare_records
    from devise.evaluation.evaluate import EvaluationRequest, evaluate_folders
    from devise.evaluation.hierarchy import hierarchical_precisions
    from devise.evaluation.measures import hit_at_k
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
    "Comparison": "devise.evaluation.compare",
    "EvaluationRequest": "devise.evaluation.evaluate",
    "NameScorer": "devise.evaluation.adapters",
    "Record": "devise.evaluation.record",
    "compare_records": "devise.evaluation.compare",
    "evaluate_folders": "devise.evaluation.evaluate",
    "hierarchical_precisions": "devise.evaluation.hierarchy",
    "hit_at_k": "devise.evaluation.measures",
    "read_record": "devise.evaluation.record",
    "with_others": "devise.evaluation.adapters",
    "write_record": "devise.evaluation.record",
}

__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
