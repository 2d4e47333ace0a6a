import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import UsageError
from devise.taxonomy.wordnet import default_taxonomy
from devise.vision.featurestore import FeatureStore

torch: Any = pytest.importorskip("torch")

from devise.training import table1 as report  # noqa: E402
from devise.training.losses import LOSSES  # noqa: E402
from devise.training.surgery import FeatureRows, block_and_group  # noqa: E402
from devise.training.surgeryjob import LabelledFeatures  # noqa: E402
from devise.training.table1 import RowSpec, Table1, Table1Config, _row, _Searched, make_table1  # noqa: E402

IDS = ("n02123045", "n02123159", "n02391049", "n04398044")  # two cats, a zebra, a teapot


def store(path: Path, features: np.ndarray, rows: np.ndarray | None = None) -> FeatureStore:
    path.mkdir(exist_ok=True)
    features.astype("<f4").tofile(path / "features.f32")
    mapped = np.memmap(path / "features.f32", np.float32, "r", shape=features.shape)
    kept = np.arange(len(features)) if rows is None else rows
    truth = np.zeros(len(features), np.int64)
    return FeatureStore(path, "key", "weights", mapped, kept, truth, ("a",), ("x",) * len(features), 0)


def photos(path: Path, count: int, seed: int, ids: tuple[str, ...] = IDS) -> LabelledFeatures:
    """Classes at the corners of a cube, with noise."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(ids), count)
    features = np.eye(6)[truth] * 4 + rng.standard_normal((count, 6)) * 0.5 + 1
    return LabelledFeatures(FeatureRows(store(path, features)), truth, ids, f"{path.name} {seed}")


def vectors(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((len(IDS), 5)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table1:
    root = tmp_path_factory.mktemp("table1")
    read: list[int] = []

    def test_photos() -> LabelledFeatures:
        read.append(1)
        return photos(root / "test", 80, 1)

    specs = [RowSpec("Softmax", None, None), RowSpec("DeViSE", 5, lambda seed: vectors(0)),
             RowSpec("Random embeddings", 5, vectors)]  # fmt: skip
    losses = ("all-negatives", "softmax-cosine", "softmax-dot")
    config = Table1Config(seeds=2, epochs=20, batch=32, rates=(0.02, 0.1), losses=losses, dot_decays=(0.1,))
    told: list[str] = []
    made = make_table1(
        config, specs, photos(root / "train", 200, 0), test_photos, default_taxonomy(), root, told.append
    )
    assert read == [1]
    assert len(told) == 3 * 2 * 3  # every row tries as much
    return made


@pytest.mark.slow
def test_rows_learn_and_chance_is_chance(table: Table1):
    assert [row.name for row in table.rows] == ["Softmax", "DeViSE", "Random embeddings", "Chance"]
    assert min(row.means["hit@1"] for row in table.rows[:3]) > 0.9
    assert table.rows[3].means["hit@1"] == pytest.approx(1 / 4)
    assert "hit@10" not in table.rows[0].means  # of four classes
    numbers = {"all-negatives": "margin", "softmax-cosine": "temperature", "softmax-dot": "weight_decay"}
    for row in table.rows[1:3]:
        assert row.chosen.keys() == {"rate", "loss", numbers[str(row.chosen["loss"])]}
    assert table.rows[0].chosen.keys() == {"rate", "weight_decay"}
    assert (table.epochs, table.tried) == (20, 6)
    assert (table.train_photos, table.test_photos, table.classes) == (200, 80, 4)


def test_the_spread_over_seeds_by_hand():
    """Of four photos one seed names 1 right and the other 3: the sample's deviation, as there are two seeds of many."""
    row = _row(RowSpec("Softmax", None, None), [{"hit@1": 0.25}, {"hit@1": 0.75}], _Searched({}, 50.0))
    assert row.means == {"hit@1": 0.5}
    assert row.spreads["hit@1"] == pytest.approx((2 * 0.25**2 / (2 - 1)) ** 0.5)
    assert _row(RowSpec("Softmax", None, None), [{"hit@1": 0.25}], _Searched({}, 50.0)).spreads == {"hit@1": 0.0}


@pytest.mark.slow
def test_forms_agree(table: Table1):
    rows = list(csv.reader(report.as_csv(table).splitlines()))
    stored = json.loads(report.as_json(table))
    hit = rows[0].index("hit@1")
    assert float(rows[1][hit]) == pytest.approx(100 * stored["rows"][0]["means"]["hit@1"])
    assert rows[1][rows[0].index("hit@10")] == ""  # of four classes
    assert [row[:3] for row in rows[5:7]] == [["paper", "Softmax", ""], ["paper", "DeViSE", "500"]]
    assert rows[5][hit] == "55.6"
    text, latex = report.as_markdown(table), report.as_latex(table)
    assert "| Softmax | - | 55.6 | 67.4 | 78.5 | 85.0 | .452 | .342 | .313 | .319 |" in text
    assert latex.count(r"\\") == 1 + 4 + 6
    found = stored["ratios"]["DeViSE 5"]["hit@1"]
    assert found == pytest.approx(stored["rows"][1]["means"]["hit@1"] / stored["rows"][0]["means"]["hit@1"])


@pytest.mark.slow
def test_the_table_says_what_was_chosen_and_where_words_beat_chance_vectors(table: Table1):
    text = report.as_markdown(table)
    softmax = table.rows[0]
    assert softmax.held_out is not None
    settings = f"rate {softmax.chosen['rate']}, weight_decay {softmax.chosen['weight_decay']}"
    assert f"- Softmax: {settings} ({softmax.held_out:.1f})" in text
    assert "20 epochs and 6 settings tried for every row" in text
    hps = [measure for measure in report.MEASURES if measure.startswith("hp@")]
    better = {**dict.fromkeys(hps, 0.5), "hp@5": 0.2}
    rows = [
        replace(table.rows[1], means=better, spreads=dict.fromkeys(hps, 0.0)),
        replace(table.rows[2], means=dict.fromkeys(hps, 0.3), spreads=dict.fromkeys(hps, 0.0)),
    ]
    made = report.as_markdown(replace(table, rows=(softmax, *rows)))
    assert "- DeViSE 5 above random embeddings of its length: not on hp@5" in made
    rows[0] = replace(rows[0], means=dict.fromkeys(hps, 0.5))
    made = report.as_markdown(replace(table, rows=(softmax, *rows)))
    assert "- DeViSE 5 above random embeddings of its length: on every hp@k" in made


def test_every_row_tries_as_many_settings():
    config = Table1Config()
    softmax, others = list(config.settings(softmax=True)), list(config.settings(softmax=False))
    assert len(softmax) == len(others) == 21
    assert len({str(one) for one in softmax}) == len({str(one) for one in others}) == 21
    assert {one["loss"] for one in others} == set(LOSSES) - {"l2"}
    one = Table1Config(losses=("first-violator",), rates=(0.1,))
    assert list(one.settings(softmax=True)) == [{"rate": 0.1, "weight_decay": 0.0}]
    assert list(one.settings(softmax=False)) == [{"rate": 0.1, "loss": "first-violator", "margin": 0.1}]
    with pytest.raises(UsageError, match="must not be empty"):
        Table1Config(losses=())


def test_other_classes_in_the_test_photos(tmp_path: Path):
    config = Table1Config(seeds=1, epochs=1, rates=(0.02,))
    ids = (*IDS[:3], "n02084071")
    with pytest.raises(UsageError, match="must have the same classes"):
        make_table1(
            config, [RowSpec("Softmax", None, None)], photos(tmp_path / "train", 40, 0),
            lambda: photos(tmp_path / "test", 20, 1, ids), default_taxonomy(), tmp_path, print,
        )  # fmt: skip
    with pytest.raises(UsageError, match="every row gets the same search"):
        Table1Config(decays=(0.0,))


@pytest.mark.parametrize("held", [1 << 30, 0])
def test_rows_of_a_store_in_memory_and_streamed(tmp_path: Path, held: int):
    features = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32)
    kept = np.flatnonzero(np.arange(500) % 7 != 3)  # every seventh is broken
    rows = FeatureRows(store(tmp_path / "s", features, kept), held)
    assert rows.streamed == (held == 0)
    assert (block_and_group(rows) == (1, 1)) == (held > 0)
    asked = np.random.default_rng(1).permutation(len(kept))[:200]
    assert np.array_equal(rows.take(asked), features[kept][asked])
