"""How scores of found photos are shown."""

import pytest

from devise.search.results import shown_score


@pytest.mark.parametrize(
    ("score", "shown"),
    [(1.0, "1.0000"), (0.12345, "0.1235"), (0.0001, "0.0001"), (0.00009999, "< 0.0001"), (1e-9, "< 0.0001"),
     (0.0, "0.0000"), (-0.25, "-0.2500")],
)  # fmt: skip
def test_what_is_above_nothing_is_never_shown_as_nothing(score: float, shown: str) -> None:
    assert shown_score(score) == shown
