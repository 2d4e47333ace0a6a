"""Where labels stand on the map of the service."""

import math
from pathlib import Path

import numpy as np
import pytest

from devise.model.labeller import Model
from devise.serve import labelmap
from devise.serve.labelmap import BRANCHES, Plane

LAID = {"n02084071": (-1000, 0), "n02121620": (-800, 100), "n02958343": (1000, 500)}  # dog, cat, car


def laid_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    (tmp_path / "places.tsv").write_text(text)
    monkeypatch.setattr(labelmap, "PLACES", tmp_path / "places.tsv")


def test_a_vector_stands_among_its_nearest_labels(monkeypatch, tmp_path: Path, model: Model):
    laid_out(monkeypatch, tmp_path, "".join(f"{one}\t{x}\t{y}\n" for one, (x, y) in LAID.items()))
    vectors = model.parts.placed.vectors
    anchors = vectors[[model.labels.position(one) for one in LAID]]
    asked = vectors[[model.labels.position(one) for one in ("n02084071", "n02924116")]]  # dog, bus
    plane = Plane(model.parts)
    for vector, place in zip(asked, plane.places(asked), strict=True):
        weights = [math.exp(20 * float(vector @ anchor)) for anchor in anchors]
        for axis in (0, 1):
            wanted = sum(w * LAID[one][axis] for w, one in zip(weights, LAID, strict=True)) / sum(weights)
            assert place[axis] == pytest.approx(wanted, abs=0.1)
    assert plane.places(asked)[1, 0] > 900  # a bus is by the car
    assert plane.places(asked[:0]).shape == (0, 2)


def test_a_model_of_other_labels_is_shown_by_its_branches(monkeypatch, tmp_path: Path, model: Model):
    laid_out(monkeypatch, tmp_path, "n02084071\t-1000\t0\nn00000001\t1\t1\nn00000002\t2\t2\n")
    places = Plane(model.parts).places(model.parts.placed.vectors)
    np.testing.assert_allclose(np.abs(places).max(axis=0), [1000, 1000], rtol=1e-5)
    assert np.ptp(places[:, 0]) == pytest.approx(2000, rel=1e-5)


def test_the_labels_laid_out_are_the_default_models_and_keep_branches_apart(model: Model):
    ids, xs, ys = zip(*(line.split("\t") for line in labelmap.PLACES.read_text().splitlines()), strict=True)
    assert len(set(ids)) == len(ids)
    assert all(one in model.labels for one in ids)
    trained = {label.id for label in model.labels if label.seen}
    assert trained <= set(ids)
    points = np.array([xs, ys], dtype=float).T
    assert np.abs(points).max(axis=0).tolist() == [1000, 1000]
    branch = Plane(model.parts).branch[[model.labels.position(one) for one in ids]]
    distances = np.square(points[:, None] - points[None]).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    same = branch[distances.argmin(axis=1)] == branch
    assert same.mean() > 0.75  # 0.52 by the branches' directions
    assert len(np.unique(branch)) == len(BRANCHES) + 1
