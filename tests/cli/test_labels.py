import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Cli, Run
from smallmodel import write_small_bundle

import devise
from devise.cli.app import main
from devise.model.labeller import Model

OLD_BUNDLE = Path(__file__).parents[1] / "data" / "bundle-v1"


@pytest.fixture
def cli(packaged_once: None, run: Run) -> Cli:
    return Cli(run)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: str) -> list[str]:
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", screen)
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert not caught.value.code
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()


def test_a_name_gives_its_senses_and_nearest_labels(cli: Cli) -> None:
    lines = cli("labels", "snow-leopards", "--top", "3")[0].splitlines()
    assert lines[0] == "snow leopard, ounce, Panthera uncia  n02128757"
    assert lines[1] == "    large feline of upland central Asia having long thick whitish fur"
    assert lines[2].startswith("    entity > physical entity > ")
    assert lines[2].endswith(" > big cat > snow leopard")
    assert lines[3].startswith("    a trained label of the model; vector from ")
    heads = [i for i, line in enumerate(lines) if line.startswith("nearest ")]
    assert [lines[i] for i in heads] == [
        "nearest labels to snow leopard (n02128757), by cosine",
        "nearest trained labels",
    ]
    assert all(len(lines[i + 1 : i + 4]) == 3 and lines[i + 3].strip() for i in heads)
    assert all(line == line.rstrip() and "\x1b" not in line for line in lines)


def test_json_says_the_same(cli: Cli) -> None:
    found = cli.json("labels", "mouse", "--sense", "n03793489", "-k", "4")
    assert found["chosen"] == "n03793489"
    assert found["senses"][0]["id"] == "n02330245"
    trained = {sense["id"]: sense["seen"] for sense in found["senses"]}
    assert trained["n03793489"] is True
    assert trained["n02330245"] is False
    assert found["senses"][0]["path"][0] == "entity"
    assert len(found["nearest"]) == len(found["nearest_trained"]) == 4
    assert all(one["seen"] for one in found["nearest_trained"])
    cosines = [one["cosine"] for one in found["nearest"]]
    assert cosines == sorted(cosines, reverse=True)
    text = cli("labels", "mouse", "--sense", "n03793489", "-k", "4")[0]
    assert f"{cosines[0]:.3f}  {found['nearest'][0]['name']}" in text


def test_a_label_no_photo_carried_has_a_star(cli: Cli) -> None:
    found = cli.json("labels", "guitar", "--top", "30")
    lines = cli("labels", "guitar", "--top", "30")[0].splitlines()
    for one in found["nearest"]:
        row = next(line for line in lines if one["id"] in line)
        assert (f"{one['name']} *" in row) != one["seen"]


def test_more_neighbours_than_labels_are_all_labels(cli: Cli) -> None:
    found = cli.json("labels", "guitar", "--top", "1500")
    assert len(found["nearest"]) == 1500
    assert len(found["nearest_trained"]) == cli.json("labels")["trained"]


def test_two_names_are_compared(cli: Cli) -> None:
    found = cli.json("labels", "komondor", "swab")
    assert [found["one"]["id"], found["other"]["id"]] == ["n02105505", "n04367480"]
    assert found["visual"]["cosine"] > 0.05 > found["semantic"]["cosine"]
    text, _ = cli("labels", "komondor", "swab")
    assert f"looks        {found['visual']['cosine']:.3f}, above " in text
    assert f"meaning      {found['semantic']['cosine']:.3f}, above " in text
    assert f"{found['edges']} edges apart, lowest common ancestor: {found['common_ancestor']['name']} (" in text


def test_without_training_looks_are_predicted_from_the_kernel(cli: Cli, packaged: Model) -> None:
    text, _ = cli("labels", "guitar", "harp")
    assert (
        "of pairs of labels; predicted, because not trained: guitar; trained labels below it: acoustic guitar" in text
    )
    assert "lowest common ancestor: stringed instrument (n04338517)" in text
    found = cli.json("labels", "guitar", "harp")
    one, other = (
        packaged.parts.placed.vectors[packaged.parts.space.labels.position(i)] for i in ("n03467517", "n03495258")
    )
    assert found["visual"]["cosine"] == pytest.approx(float(one @ other), abs=1e-6)
    assert found["visual_is_predicted"] is True
    assert cli.json("labels", "komondor", "swab")["visual_is_predicted"] is False
    assert "predicted" in cli("labels", "zedonk: offspring of a zebra and a donkey", "zebra")[0]


def test_without_training_and_without_a_kernel_there_is_no_visual_similarity(cli: Cli, tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "small")
    text, _ = cli("labels", "kiang", "zebra", "--model", str(tmp_path / "small"))
    assert "not trained: no visual similarity (kiang)" in text
    assert cli.json("labels", "kiang", "zebra", "--model", str(tmp_path / "small"))["visual"] is None


def test_a_name_in_two_pieces_is_pointed_out(cli: Cli) -> None:
    assert "write 'snow leopard' in quotes for one name" in cli("labels", "snow", "leopard")[1]
    assert cli("labels", "guitar", "harp")[1] == ""


def test_pairs_are_listed(cli: Cli) -> None:
    text, _ = cli("labels", "--pairs", "--top", "4")
    found = cli.json("labels", "--pairs", "--top", "4")
    assert [len(found[kind]) for kind in ("look_alike", "mean_alike")] == [4, 4]
    for pair in (*found["look_alike"], *found["mean_alike"]):
        assert any(
            pair["one"]["name"] in line and pair["other"]["name"] in line and f"{pair['visual']['cosine']:.3f}" in line
            for line in text.splitlines()
        )


def test_no_name_counts_the_labels(cli: Cli) -> None:
    found = cli.json("labels")
    sides = found["vector_sources"].values()
    assert found["trained"] == sum(side["trained"] for side in sides)
    assert found["labels"] == found["trained"] + sum(side["others"] for side in sides)
    text, _ = cli("labels")
    assert text.startswith(f"{found['labels']:,} labels: {found['trained']:,} trained, ")


def test_words_that_wordnet_lacks_still_have_neighbours(cli: Cli) -> None:
    text, _ = cli("labels", "kick scooter")
    assert text.startswith("'kick scooter' is not a noun of WordNet: vector from its parts")
    assert "nearest labels to kick scooter, by cosine" in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["giutarr"], 1, "close spellings: guitar"),
        (["guitar", "giutarr"], 1, "close spellings: guitar"),
        (["n00000000"], 1, "no synset n00000000"),
        (["xyzzyqq"], 1, "not a noun of WordNet"),
        ([""], 1, "needs a word"),
        (["dog", "--sense", "n03793489"], 2, "not a sense of 'dog'"),
        (["--sense", "n03793489"], 2, "--sense needs exactly one name"),
        (["dog", "cat", "--sense", "n03793489"], 2, "--sense needs exactly one name"),
        (["dog", "--pairs"], 2, "--pairs does not take a name"),
        (["dog", "--top", "0"], 2, "at least 1, got 0"),
        (["dog", "--model", "/nonexistent"], 1, "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(cli: Cli, arguments: list[str], code: int, message: str) -> None:
    out, err = cli("labels", *arguments, code=code)
    assert out == ""
    assert err.startswith("devise: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("width", [30, 80])
@pytest.mark.parametrize("arguments", [["mouse", "-k3"], ["guitar", "harp"], ["--pairs"], [], ["kick scooter"]])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int, arguments: list[str]) -> None:
    lines = on_terminal(monkeypatch, width, "labels", *arguments)
    assert max(map(len, lines)) <= width


def test_a_narrow_terminal_loses_no_name_and_no_number(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    found = cli.json("labels", "guitar")
    lines = on_terminal(monkeypatch, 40, "labels", "guitar")
    start = next(i for i, line in enumerate(lines) if line.startswith("nearest labels"))
    shown = "\n".join(lines[start:])
    for one in (*found["nearest"], *found["nearest_trained"]):
        assert f"{one['cosine']:.3f}" in shown
        assert one["id"] in shown


def test_control_characters_do_not_reach_the_terminal(cli: Cli) -> None:
    text, _ = cli("labels", "snow \x1b[2Jx")
    assert "\x1b" not in text


def test_another_model_is_asked(cli: Cli) -> None:
    assert cli("labels", "--model", str(OLD_BUNDLE))[0].startswith("6 labels: 3 trained, 3 without ")


def test_looking_up_loads_no_network_and_no_torch() -> None:
    code = (
        "import sys\nfrom devise.cli.app import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'openvino', 'numba', 'onnx') if name in sys.modules])"
    )
    done = python("-c", code, "labels", "guitar", "harp")
    assert done.stdout.splitlines()[-1] == "[]"
    assert "lowest common ancestor" in done.stdout


def test_the_package_runs_as_a_module() -> None:
    done = python("-m", "devise", "labels", "xyzzyqq")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("devise: 'xyzzyqq' is not a noun of WordNet")


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    source = str(Path(devise.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": source},
    )


def test_kinds_of_a_name_and_two_names_are_drawn(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "tree.svg"
    out, err = cli("labels", "cat", "--tree", str(path), "-k", "3")
    assert (out, err) == ("", f"devise: tree of 3 names: {path}\n")
    cli("labels", "guitar", "harp", "--tree", str(path))
    drawing = path.read_text(encoding="utf-8")
    assert ">guitar" in drawing
    assert ">harp" in drawing
    assert ">stringed instrument" in drawing
    _, err = cli("labels", "xqzzy: a tabby cat", "--tree", str(path), code=1)
    assert "WordNet has no noun 'xqzzy'" in err
    _, err = cli("labels", "--tree", str(path), code=2)
    assert "--tree needs one or two names" in err


def test_withheld_nouns_are_counted_and_said(cli: Cli, packaged: Model):
    counts = packaged.parts.withheld_counts
    assert cli.json("labels")["withheld"] == counts
    told = f"withheld unless requested: {sum(counts.values()):,} ({counts['people']:,} kinds of person"
    assert told in " ".join(cli("labels")[0].split())
    assert devise.load().parts.withheld_counts == counts


def test_a_withheld_noun_says_why_and_is_near_nothing_by_default(cli: Cli, packaged: Model):
    record = cli.json("labels", "nurse")
    assert record["senses"][0]["withheld"] == "people"
    assert {one["id"] for one in record["nearest"]}.isdisjoint(packaged.parts.withheld)
    assert "withheld unless requested (a kind of person that no photo shows)" in " ".join(
        cli("labels", "nurse")[0].split()
    )
    every = cli.json("labels", "nurse", "--all-nouns")
    assert not {one["id"] for one in every["nearest"]}.isdisjoint(packaged.parts.withheld)
