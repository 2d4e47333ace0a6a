import json
from pathlib import Path

import pytest

from devise.errors import LabelError, TaxonomyError, UsageError
from devise.evaluation.testsets import Protocol, ProtocolFiles, choose_protocol, hops_away, read_counts
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))
TRAINED = (TABBY, DOG)


@pytest.fixture
def files(tmp_path: Path) -> ProtocolFiles:
    lists = {"2-hops": [KITTEN, CAT, KITTEN], "3-hops": [KITTEN, CAT, DOG, TOOL], "all": [TOOL, KITTEN, CAT, ENTITY]}
    (tmp_path / "splits.json").write_text(json.dumps(lists))
    (tmp_path / "counts.txt").write_text(f"{TOOL} 5\n{CAT}\t7\n{DOG},9 # trained\n\n{KITTEN} 5\n{PUPPY} 99\n")
    return ProtocolFiles(tmp_path / "splits.json", tmp_path / "counts.txt")


def chosen(name: str, nine: Taxonomy, files: ProtocolFiles) -> Protocol:
    return choose_protocol(name, TRAINED, nine, [PUPPY, DOG, CAT], files)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("2-hops", (KITTEN, CAT)),
        ("3-hops", (KITTEN, CAT, TOOL)),
        ("imagenet-all", (TOOL, KITTEN, CAT, ENTITY)),
        ("test-classes", (PUPPY, CAT)),
        ("most-2", (CAT, KITTEN)),  # kitten and tool have as many: the lower id; the puppy is not in "all"
        ("least-2", (KITTEN, TOOL)),
    ],
)
def test_candidates_and_classes(nine: Taxonomy, files: ProtocolFiles, name: str, others: tuple[str, ...]) -> None:
    alone = chosen(name, nine, files)
    assert set(alone.candidates) == set(others)
    assert alone.classes == frozenset(others)
    both = chosen(f"{name}+1K", nine, files)
    assert both.candidates == (*alone.candidates, *TRAINED)
    assert both.classes == alone.classes | set(TRAINED)


def test_seen_is_what_was_trained(nine: Taxonomy, files: ProtocolFiles) -> None:
    assert chosen("seen", nine, files) == Protocol("seen", TRAINED, frozenset(TRAINED), "the trained labels", {})


def test_what_is_taken_out_is_counted(nine: Taxonomy, files: ProtocolFiles) -> None:
    assert chosen("2-hops", nine, files).left_out == {"a duplicate class in the split file": 1}
    trained = {"a class of the protocol that the model was trained on": 1}
    assert chosen("3-hops", nine, files).left_out == trained
    assert chosen("test-classes+1K", nine, files).left_out == trained


def test_hops_by_hand(nine: Taxonomy) -> None:
    """From tabby and dog one edge away: cat; animal, puppy, hound. Two: kitten; entity."""
    assert hops_away(nine, TRAINED, 2) == (ANIMAL, CAT, PUPPY, HOUND)
    assert hops_away(nine, TRAINED, 3) == (ANIMAL, CAT, PUPPY, HOUND, KITTEN, ENTITY)
    found = choose_protocol("2-hops", TRAINED, nine, [], ProtocolFiles())
    assert found.candidates == (ANIMAL, CAT, PUPPY, HOUND)
    assert found.source == "WordNet, 1 is-a edges or fewer from a trained label"
    with pytest.raises(UsageError, match="hops start at 2"):
        hops_away(nine, TRAINED, 1)


@pytest.mark.parametrize(
    "name", ["", "4-hops", "seen+1K", "2-hops+2K", "2-hops+1K+1K", "most-", "most-x", "+1K", "most-0", "least-4"]
)
def test_names_that_are_no_protocol(nine: Taxonomy, files: ProtocolFiles, name: str) -> None:
    with pytest.raises(UsageError):
        chosen(name, nine, files)


def test_protocols_that_need_a_file(nine: Taxonomy) -> None:
    with pytest.raises(UsageError, match="give a file that contains it with --splits"):
        chosen("imagenet-all", nine, ProtocolFiles())
    with pytest.raises(UsageError, match="give it with --counts"):
        chosen("most-5", nine, ProtocolFiles())


def test_a_split_file_with_unknown_ids_names_itself(nine: Taxonomy, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"2-hops": [CAT, "n99999999", "n99999998"]}))
    with pytest.raises(TaxonomyError, match=r"odd\.json#2-hops names 2 synsets that .*, the first n99999999"):
        chosen("2-hops", nine, ProtocolFiles(path))


def test_a_split_file_of_trained_classes_only(nine: Taxonomy, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"2-hops": [DOG]}))
    with pytest.raises(UsageError, match="names only trained classes"):
        chosen("2-hops", nine, ProtocolFiles(path))


def test_counts_as_json(nine: Taxonomy, tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({CAT: 3, DOG: 0}))
    assert read_counts(path, nine) == {CAT: 3, DOG: 0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", f"{CAT}\n"),
        ("a.txt", f"{CAT} many\n"),
        ("a.txt", f"{CAT} 1\n{CAT} 2\n"),
        ("a.txt", "n99999999 1\n"),
        ("a.txt", f"{CAT} -1\n"),
        ("a.json", f'{{"{CAT}": 1, "{CAT}": 2}}'),
        ("a.json", f'{{"{CAT}": true}}'),
        ("a.json", f'["{CAT}"]'),
        ("a.json", "3"),
        ("a.json", "{"),
    ],
)
def test_counts_of_another_form(nine: Taxonomy, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LabelError, match=rf"{name}: expected a synset id and a number") as caught:
        read_counts(tmp_path / name, nine)
    assert "\n" not in str(caught.value)


def test_no_file_of_counts(nine: Taxonomy, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file of counts"):
        read_counts(tmp_path / "absent", nine)


def test_hops_against_the_published_lists(shared: Path) -> None:
    """What docs/evaluation.md says of the difference."""
    lists = json.loads((shared / "data/splits/imagenet-testsets.json").read_text())
    photographed = set(lists["all"])
    two, three = (set(hops_away(default_taxonomy(), lists["train"], hops)) for hops in (2, 3))
    published = {name: set(lists[name]) for name in ("2-hops", "3-hops")}
    assert (len(two & photographed), len(published["2-hops"] & two), len(published["2-hops"])) == (1548, 1548, 1549)
    assert (len(three & photographed), len(published["3-hops"] & three)) == (5990, 5982)
    assert len(published["3-hops"]) == 7860
