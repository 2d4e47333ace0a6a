import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from devise.errors import LabelError, TaxonomyError, UsageError
from devise.evaluation.evaluate import Evaluation, EvaluationRequest, evaluate_folders
from devise.evaluation.measures import harmonic_mean
from devise.model.labeller import LabelRequest, Model
from devise.model.methods import ROWS
from devise.taxonomy.wordnet import Taxonomy

HIT, HP = (1, 2, 5, 10, 20), (2, 5, 10, 20)
MEASURES = [*(f"hit@{k}" for k in HIT), *(f"hp@{k}" for k in HP)]
TABBY, ZEBRA, KIANG, HORSE = "n02123045", "n02391049", "n02390738", "n02374451"
TRUTH = [TABBY] * 3 + [HORSE] * 2 + [KIANG] * 2 + [ZEBRA]  # as the folders go


@pytest.fixture
def everything(small: Model, photo_folders: Path) -> Evaluation:
    return evaluate_folders(small, [photo_folders], "all")


def row(result: dict[str, Any], scorer: str) -> dict[str, Any]:
    return next(row for row in result["rows"] if row["scorer"] == scorer)


def test_every_key_of_the_json_form(everything: Evaluation):
    stored = json.loads(json.dumps(everything.to_dict()))
    assert set(stored) == {
        "images", "classes", "candidates", "trained", "absent_images", "absent_classes",
        "settings", "rows", "skipped", "coverage", "generalised",
        "protocol", "measures", "class_means", "reliability", "hedging", "bootstrap",
    }  # fmt: skip
    assert {key: stored[key] for key in ("images", "classes", "candidates", "trained")} == {
        "images": 8, "classes": 4, "candidates": 9, "trained": 4,
    }  # fmt: skip
    assert (stored["absent_images"], stored["absent_classes"]) == (2, 1)  # the horses
    assert [one["scorer"] for one in stored["rows"]] == [
        name for name in ROWS if name not in ("kernel", "branch")
    ]  # the small model has no kernel
    for one in stored["rows"]:
        assert list(one) == ["scorer", *MEASURES, "per_class", "labels", "unranked"]
        assert list(one["per_class"]) == MEASURES
        for measure in MEASURES:
            possible = int(measure.split("@")[1]) <= min(9, one["labels"])
            assert (one[measure] is not None) == possible
            assert one[measure] is None or 0 <= one[measure] <= 1
    assert set(stored["generalised"]) == {"seen", "unseen", "harmonic"}
    assert set(stored["settings"]) == {
        "hit_ks", "hp_ks", "ties", "valid_labels", "absent_truth", "label_policy", "graph",
    }  # fmt: skip
    assert "sense-aware" in stored["settings"]["label_policy"]
    assert stored["coverage"] == {"gloss": 1, "none": 1, "parts": 1, "term": 6}


def test_what_was_left_out_is_counted(everything: Evaluation, photo_folders: Path):
    assert everything.skipped == {
        "a photo that cannot be read": 1,
        "not a picture by its name": 1,
        "not in a class folder": 1,
        "the folder's name is not a synset id (cats)": 1,
        "the synset id is not in the taxonomy (n99999999)": 1,
    }
    assert len(everything.problems) == 1
    assert everything.problems[0].startswith(f"{photo_folders / TABBY / 'broken.png'}: ")


def test_no_path_and_no_time_in_the_json_form(everything: Evaluation, photo_folders: Path):
    assert str(photo_folders.parent) not in json.dumps(everything.to_dict())


def test_two_runs_give_the_same_text(small: Model, photo_folders: Path):
    first, second = (
        json.dumps(evaluate_folders(small, [photo_folders], "all").to_dict(), sort_keys=True) for _ in range(2)
    )
    assert first == second


def test_it_measures_the_answers_of_the_labeller(small: Model, photo_folders: Path, everything: Evaluation):
    """Hit@k from what `label` says of each photo, and hp@k with one correct set at a time."""
    photos = sorted(path for path in photo_folders.glob("n0*/*.png") if path.name != "broken.png")
    taxonomy, own = small.parts.taxonomy, small.labels.ids
    assert [path.parent.name for path in photos] == TRUTH
    for method in ("fused", "devise", "conse", "softmax"):
        top = 4 if method == "softmax" else 9
        run = small.run(LabelRequest(top=top, method=method))  # type: ignore[arg-type]
        answers = [[g.label.id for g in answer.guesses] for answer in run.answers(photos)]
        found = row(everything.to_dict(), method)
        for k in HIT:
            if k <= top:
                hits = [truth in guesses[:k] for truth, guesses in zip(TRUTH, answers, strict=True)]
                assert found[f"hit@{k}"] == pytest.approx(np.mean(hits))
                by_class = [np.mean([h for h, t in zip(hits, TRUTH, strict=True) if t == c]) for c in set(TRUTH)]
                assert found["per_class"][f"hit@{k}"] == pytest.approx(np.mean(by_class))
        for k in HP:
            if k <= top:
                shares = [
                    len(set(guesses[:k]) & taxonomy.correct_set(truth, k, own)) / k
                    for truth, guesses in zip(TRUTH, answers, strict=True)
                ]
                assert found[f"hp@{k}"] == pytest.approx(np.mean(shares))


def chance(taxonomy: Taxonomy, candidates: list[str], valid: set[str], truth: list[str]) -> dict[str, float | None]:
    """In closed form: a label of n stands among the first k with probability k / n."""
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    for k in HIT:
        if k <= len(candidates):
            found[f"hit@{k}"] = float(np.mean([one in candidates for one in truth])) * k / len(candidates)
    for k in HP:
        if k <= len(candidates):
            sets = [taxonomy.correct_set(one, k, valid) & set(candidates) for one in truth]
            found[f"hp@{k}"] = float(np.mean([len(one) / len(candidates) for one in sets]))
    return found


@pytest.mark.parametrize("candidates", ["all", "seen", "unseen", "test-classes"])
def test_chance_in_closed_form(small: Model, photo_folders: Path, candidates: str):
    labels = {
        "all": list(small.labels.ids),
        "seen": [label.id for label in small.labels if label.seen],
        "unseen": [label.id for label in small.labels if not label.seen],
        "test-classes": sorted(set(TRUTH)),
    }[candidates]
    result = evaluate_folders(small, [photo_folders], candidates).to_dict()
    assert result["candidates"] == len(labels)
    valid = {*labels, *small.parts.trained_ids}
    found = row(result, "chance")
    wanted = chance(small.parts.taxonomy, labels, valid, TRUTH)
    assert {measure: found[measure] for measure in MEASURES} == pytest.approx(wanted)


def test_softmax_over_labels_it_was_not_trained_on_hits_nothing(small: Model, photo_folders: Path):
    result = evaluate_folders(small, [photo_folders], "unseen").to_dict()
    softmax = row(result, "softmax")
    assert (softmax["labels"], softmax["unranked"]) == (4, 5)
    # Photos of trained classes are hit, as the softmax ranks these; those of the kiang cannot be.
    of_kiang = result["generalised"]["unseen"]
    assert row(of_kiang, "softmax")["hit@1"] == row(of_kiang, "softmax")["hit@2"] == 0


def test_generalised_splits_by_what_was_trained(everything: Evaluation):
    stored = everything.to_dict()["generalised"]
    assert (stored["seen"]["images"], stored["unseen"]["images"]) == (4, 4)
    assert (stored["seen"]["candidates"], stored["unseen"]["candidates"]) == (9, 9)
    whole = everything.to_dict()
    for scorer in (one["scorer"] for one in whole["rows"]):
        both, seen, unseen = (row(result, scorer) for result in (whole, stored["seen"], stored["unseen"]))
        for measure in MEASURES:
            if both[measure] is not None:
                assert both[measure] == pytest.approx((4 * seen[measure] + 4 * unseen[measure]) / 8)


def test_harmonic_means_by_hand(everything: Evaluation):
    stored = everything.to_dict()["generalised"]
    assert [one["scorer"] for one in stored["harmonic"]] == [one["scorer"] for one in stored["seen"]["rows"]]
    for harmonic in stored["harmonic"]:
        seen, unseen = row(stored["seen"], harmonic["scorer"]), row(stored["unseen"], harmonic["scorer"])
        assert list(harmonic) == ["scorer", *MEASURES]
        for measure in MEASURES:
            a, b = seen[measure], unseen[measure]
            if a is None or b is None:
                assert harmonic[measure] is None
            elif a == 0 or b == 0:
                assert harmonic[measure] == 0
            else:
                assert harmonic[measure] == pytest.approx(1 / ((1 / a + 1 / b) / 2))
    assert harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)


def test_one_kind_of_classes_gives_no_split(small: Model, photo_folders: Path, tmp_path: Path):
    (tmp_path / "seen").mkdir()
    (photo_folders / ZEBRA).rename(tmp_path / "seen" / ZEBRA)
    found = evaluate_folders(small, [tmp_path / "seen"], "all")
    assert found.generalised is None
    assert "generalised" not in found.to_dict()


def test_several_folders_are_one_evaluation(small: Model, photo_folders: Path, tmp_path: Path, everything: Evaluation):
    (tmp_path / "more").mkdir()
    (photo_folders / HORSE).rename(tmp_path / "more" / HORSE)
    (photo_folders / ZEBRA).rename(tmp_path / "more" / ZEBRA)
    (tmp_path / "more" / "note.txt").write_text("x")
    found = evaluate_folders(small, [photo_folders, tmp_path / "more"], "all")
    assert found.result.rows == everything.result.rows
    assert found.skipped == everything.skipped | {"not in a class folder": 2}


def test_test_classes_make_vectors_for_classes_the_model_lacks(small: Model, photo_folders: Path):
    found = evaluate_folders(small, [photo_folders], "test-classes")
    assert (found.result.candidates, found.result.absent_images) == (4, 0)
    assert found.coverage == {"gloss": 1, "term": 3}


def test_a_list_of_candidates_and_what_stood_twice_in_it(small: Model, photo_folders: Path, tmp_path: Path):
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps({"some": [KIANG, HORSE, KIANG, KIANG, TABBY]}))
    found = evaluate_folders(small, [photo_folders], f"{lists}#some")
    assert found.result.candidates == 3
    assert found.skipped["a duplicate candidate in its file"] == 2
    lines = tmp_path / "lines.txt"
    lines.write_text(f"{KIANG}\n{HORSE} # a horse\n\n{TABBY}\n")
    again = evaluate_folders(small, [photo_folders], str(lines))
    assert again.result.rows == found.result.rows
    assert "a duplicate candidate in its file" not in again.skipped


def test_candidates_that_are_wrong(small: Model, photo_folders: Path, tmp_path: Path):
    unknown = tmp_path / "unknown.txt"
    unknown.write_text(f"{KIANG}\nn99999999\n")
    with pytest.raises(TaxonomyError, match="n99999999"):
        evaluate_folders(small, [photo_folders], str(unknown))
    names = tmp_path / "names.txt"
    names.write_text("kiang\n")
    with pytest.raises(LabelError, match="line 1: expected a synset id"):
        evaluate_folders(small, [photo_folders], str(names))
    with pytest.raises(UsageError, match="check the path of the candidate labels"):
        evaluate_folders(small, [photo_folders], "everything")


def test_folders_without_a_photo(small: Model, tmp_path: Path):
    with pytest.raises(UsageError, match="no test photos"):
        evaluate_folders(small, [])
    with pytest.raises(UsageError, match="absent does not exist"):
        evaluate_folders(small, [tmp_path / "absent"])
    (tmp_path / TABBY).mkdir()
    (tmp_path / TABBY / "a.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"none of 1 photo could be read; the first error: .*a\.jpg: empty"):
        evaluate_folders(small, [tmp_path])


def test_progress_goes_from_one_to_all(small: Model, photo_folders: Path):
    seen: list[tuple[int, int]] = []
    evaluate_folders(small, [photo_folders], "all", on_progress=lambda done, of: seen.append((done, of)))
    assert seen == [(done, 9) for done in range(1, 10)]  # the broken one too


def test_many_photos_in_blocks_are_as_few_at_once(
    small: Model, tmp_path: Path, plain: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(1)
    for class_id in (TABBY, KIANG):
        (tmp_path / class_id).mkdir()
        for number in range(20):
            colour = tuple(rng.integers(0, 256, 3).tolist())
            Image.fromarray(plain(colour)).save(tmp_path / class_id / f"{number:02}.png")
    whole = evaluate_folders(small, [tmp_path], "all").to_dict()
    monkeypatch.setattr("devise.evaluation.evaluate._BLOCK", 3)
    parted = evaluate_folders(small, [tmp_path], "all").to_dict()
    assert {key: parted[key] for key in ("rows", "generalised")} == {key: whole[key] for key in ("rows", "generalised")}
    for scorer, found in parted["measures"].items():  # a block's size changes the last digit of a confidence
        for measure, one in found.items():
            assert one["value"] == pytest.approx(whole["measures"][scorer][measure]["value"], abs=1e-6)
    assert 0 < row(whole, "fused")["hit@2"] < 1


def test_the_packaged_on_photos_of_trained_classes(packaged: Model, shared: Path):
    folder = shared / "data" / "photos" / "ilsvrc-one-per-class"
    found = sorted(path for path in folder.iterdir() if path.is_dir())[::100]
    assert len(found) == 10
    features = [next(iter(sorted(path.iterdir()))) for path in found]
    run = packaged.run(LabelRequest(top=5, method="softmax", candidates="seen"))
    answers = list(run.answers(features))
    hits = [path.name in {g.label.id for g in answer.guesses} for path, answer in zip(found, answers, strict=True)]
    assert sum(hits) >= 8  # top-5 of these photos is above 95 %


def test_a_transductive_row_is_what_the_labeller_says_in_context(small: Model, photo_folders: Path):
    found = evaluate_folders(small, [photo_folders], request=EvaluationRequest("all", context=True))
    stored = json.loads(json.dumps(found.to_dict()))
    assert [one["scorer"] for one in stored["rows"]][-2:] == ["context", "chance"]
    assert stored["transductive"] == {"context": "fused, each photo helped by the 7 nearest others of this run"}
    photos = sorted(path for path in photo_folders.glob("n0*/*.png") if path.name != "broken.png")
    answers = [[g.label.id for g in one.guesses] for one in small.label_many(photos, top=9, context=True)]
    for k in (1, 2, 5):
        hits = [truth in guesses[:k] for truth, guesses in zip(TRUTH, answers, strict=True)]
        assert row(stored, "context")[f"hit@{k}"] == pytest.approx(np.mean(hits))
    first = [found.record.labels[place] for place in found.record.scorers["context"].top[:, 0]]
    assert first == [guesses[0] for guesses in answers]
    alone = evaluate_folders(small, [photo_folders], "all").to_dict()
    assert "transductive" not in alone
    assert [one for one in stored["rows"] if one["scorer"] != "context"] == json.loads(json.dumps(alone["rows"]))


def test_one_photo_has_no_transductive_row(small: Model, photo_folders: Path):
    for path in photo_folders.glob("n0*/*.png"):
        if path.parent.name != ZEBRA:
            path.unlink()
    with pytest.raises(UsageError, match="context needs at least 2 photos"):
        evaluate_folders(small, [photo_folders], request=EvaluationRequest("all", context=True))
