"""Other models as rows: the record gets what they said, ranked by the same rules."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import DeviseError, PictureError, UsageError
from devise.evaluation.adapters import label_names, load_adapter, with_others
from devise.evaluation.record import ImageRecord, Record, read_record, write_record
from devise.evaluation.tables import EvaluationSettings
from devise.pages.report.measured import finder, measured_of
from devise.taxonomy.wordnet import default_taxonomy

BIRD, MACHINE, ZEBRA, TABBY, HARP = "n02012849", "n03126707", "n02391049", "n02123045", "n03495258"
CANDIDATES = (BIRD, MACHINE, ZEBRA, TABBY)
EXAMPLES = Path(__file__).parents[2] / "examples"


class Fake:
    """Scores a name by a table: the red of a picture is its row."""

    probabilities = True

    def __init__(self, table: list[list[float]]) -> None:
        self.table = table
        self.asked: list[tuple[int, tuple[str, ...]]] = []

    def scores(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> Any:
        self.asked.append((len(pictures), tuple(names)))
        return [self.table[one.getpixel((0, 0))[0]] for one in pictures]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def record() -> Record:
    truths = (BIRD, MACHINE, HARP)
    images = tuple(ImageRecord(f"{number}.png", truth) for number, truth in enumerate(truths))
    rules = asdict(EvaluationSettings((1, 2), (2,), graph=default_taxonomy().graph_hash))
    return Record(rules, CANDIDATES, (TABBY,), images, {})


def added(record: Record, photos: Path, **others: Any) -> Record:
    return with_others(record, others, default_taxonomy(), finder([photos]))


def test_by_hand(record: Record, photos: Path):
    fake = Fake([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 1.0, 0.0]])
    row = added(record, photos, fake=fake).scorers["fake"]
    assert row.top.tolist() == [[3, 2, 1, 0], [0, 1, 2, 3], [2, 0, 1, 3]]
    assert row.rank.tolist() == [4, 2, 0], "last; second of equals; not among the candidates"
    assert row.confidence is not None
    assert row.confidence.tolist() == pytest.approx([0.4, 0.25, 1.0])
    assert row.trained is not None
    assert row.other is not None
    assert (row.trained.labels.tolist(), row.other.labels.tolist()) == ([3, 3, 3], [2, 0, 2])
    assert fake.asked == [(3, ("crane (wading bird)", "crane (lifting device)", "zebra", "tabby"))]


def test_its_row_stands_in_the_tables_and_in_the_file(record: Record, photos: Path):
    made = added(record, photos, clip=Fake([[4, 3, 2, 1]] * 3), other=Fake([[1, 2, 3, 4]] * 3))
    write_record(made, photos / "new.json")
    table = measured_of(read_record(photos / "new.json"), default_taxonomy()).tables[0]
    rows = {name: tuple(cell.text for cell in cells[:2]) for name, cells in table.rows}
    assert rows["clip"] == ("33.3", "66.7")
    assert rows["other"] == ("0.0", "0.0")
    assert list(rows) == ["clip", "other", "chance"]


def test_many_photos_come_in_blocks_with_the_same_names(photos: Path, record: Record):
    for number in range(40):
        Image.new("RGB", (8, 8), (0, 0, 0)).save(photos / f"many-{number}.png")
    images = tuple(ImageRecord(f"many-{number}.png", ZEBRA) for number in range(40))
    fake = Fake([[1, 2, 3, 4]])
    steps: list[int] = []
    many = Record(record.settings, CANDIDATES, (TABBY,), images, {})
    row = with_others(many, {"a": fake}, default_taxonomy(), finder([photos]), on_photo=steps.append).scorers["a"]
    assert len(row.top) == sum(count for count, _ in fake.asked) == sum(steps) == 40
    assert len({names for _, names in fake.asked}) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([[1.0, 2.0]] * 3, r"shape \(3, 2\), expected \(3, 4\)"),
        ([[1.0, float("nan"), 2.0, 3.0]] * 3, "is NaN"),
    ],
)
def test_scores_that_are_none(record: Record, photos: Path, table: list[list[float]], said: str):
    with pytest.raises(DeviseError, match=said):
        added(record, photos, fake=Fake(table))


def test_a_lost_or_broken_photo_and_a_taken_name(record: Record, photos: Path):
    one = added(record, photos, fake=Fake([[1, 2, 3, 4]] * 3))
    with pytest.raises(UsageError, match="a scorer 'fake' in the record"):
        added(one, photos, fake=Fake([[1, 2, 3, 4]] * 3))
    with pytest.raises(UsageError, match="'chance'"):
        added(record, photos, chance=Fake([[1, 2, 3, 4]] * 3))
    (photos / "1.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"1\.png"):
        added(record, photos, fake=Fake([[1, 2, 3, 4]] * 3))
    (photos / "1.png").unlink()
    with pytest.raises(PictureError, match=r"1\.png is not in the folders"):
        added(record, photos, fake=Fake([[1, 2, 3, 4]] * 3))


def test_no_two_names_of_wordnet_are_alike():
    taxonomy = default_taxonomy()
    ids = taxonomy.physical_nouns()[::7]
    names = label_names(taxonomy, ids)
    assert len(set(names)) == len(names) == len(ids)
    assert all(name.startswith(taxonomy.synset(one).name) for name, one in zip(names, ids, strict=True))


def test_an_adapter_is_found_by_file_and_by_module(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class Mine:\n    def scores(self, pictures, names):\n        return []\n\n\n"
        "def make():\n    return Mine()\n\n\nready = Mine()\nnothing = 3\n\n\ndef empty():\n    return 3\n"
    )
    for attribute in ("Mine", "make", "ready"):
        assert load_adapter(f"{file}:{attribute}").scores([], []) == []
    for spec, said in (
        ("mine", "is module:attribute"),
        (f"{file}:none", "has no none"),
        (f"{file}:empty", "no method scores"),
        ("no_such_module:x", "no module no_such_module"),
        (f"{tmp_path}/none.py:x", "no file"),
    ):
        with pytest.raises(UsageError, match=said):
            load_adapter(spec)


def test_the_hugging_face_example_puts_answers_back_in_order(record: Record, photos: Path):
    example = load_module("hf_pipeline_scorer")
    asked: list[dict[str, Any]] = []

    def pipeline(images: list[Image.Image], **options: Any) -> list[list[dict[str, Any]]]:
        asked.append(options)
        labels = options["candidate_labels"]
        answers = [{"label": name, "score": (place + 1) / 10} for place, name in enumerate(labels)]
        return [sorted(answers, key=lambda one: -one["score"]) for _ in images]

    row = added(record, photos, hf=example.PipelineScorer(pipeline)).scorers["hf"]
    assert row.top.tolist() == [[3, 2, 1, 0]] * 3
    assert row.scores[0].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert asked[0]["hypothesis_template"] == "This is a photo of {}."


def test_the_open_clip_example_embeds_names_once(record: Record, photos: Path):
    torch = pytest.importorskip("torch")
    example = load_module("open_clip_scorer")

    class Clip:
        """A fake with the methods of open_clip's model: texts and pictures along the axis of their number."""

        logit_scale = torch.tensor(1.0)
        texts = 0

        def eval(self) -> "Clip":
            return self

        def encode_text(self, tokens: Any, normalize: bool) -> Any:
            assert normalize
            self.texts += len(tokens)
            return torch.eye(4)[tokens]

        def encode_image(self, images: Any, normalize: bool) -> Any:
            assert normalize
            return torch.eye(4)[images]

    model, seen = Clip(), []

    def tokenizer(texts: list[str]) -> Any:
        seen.extend(texts)
        return torch.arange(len(texts))

    def transform(picture: Image.Image) -> Any:
        return torch.tensor(picture.getpixel((0, 0))[0])

    scorer = example.OpenClipScorer(model, transform, tokenizer)
    row = added(record, photos, clip=scorer).scorers["clip"]
    assert row.top[:, 0].tolist() == [0, 1, 2]
    assert seen[0] == "a photo of a crane (wading bird)."
    assert scorer.scores([Image.new("RGB", (1, 1))], label_names(default_taxonomy(), CANDIDATES)).shape == (1, 4)
    assert model.texts == 4
    e = float(np.e)
    assert row.confidence is not None
    assert row.confidence[0] == pytest.approx(np.exp(e) / (np.exp(e) + 3), rel=1e-5)


def load_module(name: str) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
