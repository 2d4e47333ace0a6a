"""`sure` over HTTP: the answer is the model's, and what is no probability is refused."""

import pytest

from devise.model.labeller import Model


@pytest.mark.parametrize("method", ["fused", "softmax"])
def test_the_wide_name_is_the_models(served, model: Model, photo: bytes, method):
    with served.client() as client:
        (one,) = client.label(photo, methods=[method], sure=0.6).answers
        (without,) = client.label(photo, methods=[method]).answers
    assert without.sure is None
    hedge = model.label(photo, method=method, top=5, sure=0.6).hedge
    assert one.sure is not None
    assert hedge is not None
    assert one.sure.threshold == 0.6
    assert (one.sure.name and one.sure.name.id) == (hedge.name and hedge.name.id)
    assert [level.id for level in one.sure.way] == [level.id for level in hedge.way]
    assert [level.share for level in one.sure.way] == pytest.approx([level.share for level in hedge.way], rel=1e-3)
    assert [level.common for level in one.sure.way] == [level.common for level in hedge.way]
    assert [level.id for level in one.sure.narrower][:2] == [level.id for level in hedge.narrower][:2]


@pytest.mark.parametrize("share", ["1.5", "0", "nan", "-1", "much"])
def test_no_probability(served, photo: bytes, share: str):
    with served.http() as http:
        answer = http.post("/v1/label", params={"sure": share}, content=photo)
    assert answer.status_code == 422
    assert "sure" in answer.text
