import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import DeviseError, LabelError, UsageError
from devise.model.candidatefile import CandidateList, read_candidates


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    lists = {
        "2-hops": ["n00000001", "n00000002", "n00000001"],
        "all": ["n00000003"],
        "wrong": ["n00000001", 7],
    }
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(lists), encoding="utf-8")
    return path


def test_text_with_blanks_comments_and_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("# animals\n\nn00000002\n  n00000001 \t# the first\r\nn00000002\nn00000002\n", encoding="utf-8-sig")
    assert read_candidates(str(path)) == CandidateList(("n00000002", "n00000001"), 2, "labels.txt")


def test_a_list_of_a_json_object(splits: Path) -> None:
    expected = CandidateList(("n00000001", "n00000002"), 1, "splits.json#2-hops")
    assert read_candidates(f"{splits}#2-hops") == expected


def test_a_json_list(tmp_path: Path) -> None:
    path = tmp_path / "LABELS.JSON"
    path.write_text('["n00000005"]', encoding="utf-8")
    assert read_candidates(str(path)) == CandidateList(("n00000005",), 0, "LABELS.JSON")


def test_a_text_file_whose_name_holds_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "set#1.txt"
    path.write_text("n00000005\n", encoding="utf-8")
    assert read_candidates(str(path)).ids == ("n00000005",)


@pytest.mark.parametrize(
    "entry", ["dog", "n123", "N00000001", "n00000001x", "tench n00000001", "n٠٠٠٠٠٠٠١", "-n00000001"]
)
def test_a_malformed_id_names_its_line(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"n00000001\n\n{entry}\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"labels\.txt, line 3: expected a synset id like n02084071, got '"):
        read_candidates(str(path))


def test_a_malformed_item_names_its_place(splits: Path) -> None:
    with pytest.raises(LabelError, match=r"splits\.json#wrong, item 2: expected a synset id .* got 7"):
        read_candidates(f"{splits}#wrong")


def test_a_missing_key_lists_the_keys(splits: Path) -> None:
    with pytest.raises(UsageError, match="has no key '3-hops': use one of 2-hops, all, wrong"):
        read_candidates(f"{splits}#3-hops")


def test_an_object_without_a_key_lists_the_keys(splits: Path) -> None:
    with pytest.raises(UsageError, match=r"give splits\.json#KEY, with KEY one of 2-hops, all, wrong"):
        read_candidates(str(splits))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("list.json#key", '["n00000001"]', UsageError, "contains one list without keys: leave out #key"),
        ("number.json", "3", LabelError, "expected a list of synset ids, got int"),
        ("object.json#a", '{"a": {"b": []}}', LabelError, "expected a list of synset ids, got dict"),
        ("broken.json", '["n00000001"', LabelError, "is not JSON"),
        ("deep.json", "[" * 100_000, LabelError, "is not JSON"),
        ("empty.json", "[]", LabelError, "contains no synset ids"),
        ("empty.txt", "# nothing\n\n", LabelError, "contains no synset ids"),
    ],
)
def test_files_of_another_form(tmp_path: Path, name: str, content: str, error: type[DeviseError], message: str) -> None:
    (tmp_path / name.partition("#")[0]).write_text(content, encoding="utf-8")
    with pytest.raises(error, match=message) as caught:
        read_candidates(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*absent\.txt: check the path of the candidate labels"):
        read_candidates(str(tmp_path / "absent.txt"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_candidates(str(tmp_path))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(LabelError, match=r"photo\.txt line 1 is not UTF-8"):
        read_candidates(str(path))


@given(entries=st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_nothing_is_dropped_uncounted(tmp_path_factory: pytest.TempPathFactory, entries: list[int]) -> None:
    path = tmp_path_factory.mktemp("candidates") / "labels.txt"
    path.write_text("\n".join(f"n{number:08d}" for number in entries), encoding="utf-8")
    found = read_candidates(str(path))
    assert len(found.ids) + found.duplicates == len(entries)
    assert list(found.ids) == [f"n{number:08d}" for number in dict.fromkeys(entries)]


def test_the_published_lists(shared: Path) -> None:
    splits = shared / "data/splits/imagenet-testsets.json"
    sizes = {key: len(read_candidates(f"{splits}#{key}").ids) for key in ("train", "2-hops", "3-hops", "all")}
    assert sizes == {"train": 1000, "2-hops": 1549, "3-hops": 7860, "all": 20_842}
    classes = read_candidates(str(shared / "data/splits/ilsvrc2012-wnids.txt"))
    assert sorted(read_candidates(f"{splits}#train").ids) == list(classes.ids)


def test_names_behind_the_ids_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "synset_words.txt"
    path.write_text('n00000001 tench, Tinca tinca\nn00000002\tgoldfish\n"n00000003","great white"\n', encoding="utf-8")
    assert read_candidates(str(path)).ids == ("n00000001", "n00000002", "n00000003")
    path.write_text("0 n00000001 tench\nn00000002,\n'n00000003'\nn00000004-ray\nn00000005;cock\n", encoding="utf-8")
    assert read_candidates(str(path)).ids == tuple(f"n0000000{number}" for number in range(1, 6))


def test_the_class_index_of_keras_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "imagenet_class_index.json"
    path.write_text('{"10": ["n00000010", "ten"], "9": ["n00000009", "nine"]}', encoding="utf-8")
    assert read_candidates(str(path)).ids == ("n00000009", "n00000010")
    path.write_text('{"0": ["n00000010", "ten"], "all": ["n00000009"]}', encoding="utf-8")
    with pytest.raises(UsageError, match="several lists"):
        read_candidates(str(path))
