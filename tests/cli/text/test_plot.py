from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


def test_a_map_of_a_branch(cli, tmp_path: Path):
    out, _ = cli("plot", "--out", tmp_path / "dogs.html", "--under", "terrier", "--branches", 4)
    assert out == f"26 points in {tmp_path / 'dogs.html'}\n"  # the terriers among the 1000
    page = (tmp_path / "dogs.html").read_text()
    assert page.count("<circle") == 26
    assert "Airedale" in page
    cli("plot", "--out", tmp_path / "again.html", "--under", "terrier", "--branches", 4)
    assert (tmp_path / "again.html").read_text() == page


def test_a_png_and_a_sample(cli, tmp_path: Path):
    out, err = cli("plot", "--out", tmp_path / "map.png", "--method", "pca", "--most", 50)
    assert out.startswith("50 points")
    assert "left out: 950 of 1,000 labels, outside the random sample (seed 0)" in err
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"


def test_offsets(cli, tmp_path: Path):
    out, _ = cli("plot", "--out", tmp_path / "offsets.html", "--offsets")
    page = (tmp_path / "offsets.html").read_text()
    assert "points in" in out
    assert page.count("<svg") == 2
    assert ">queen<" in page


@pytest.mark.slow
def test_other_words(cli, tmp_path: Path, vectors_file: Path):
    _, err = cli(
        "plot",
        "--out",
        tmp_path / "m.html",
        "--label-vectors",
        vectors_file,
        "--label-policy",
        "mean-of-terms",
        "--method",
        "pca",
    )
    assert "labels without a vector" in err


def test_wrong_usage(cli, tmp_path: Path):
    assert "must end in .png or .html" in cli("plot", "--out", tmp_path / "map.svg", code=2)[1]
    assert "existing folder" in cli("plot", "--out", tmp_path / "no" / "map.png", code=2)[1]
    assert "--method must be" in cli("plot", "--out", tmp_path / "map.png", "--method", "umap", code=2)[1]
    assert "got 1" in cli("plot", "--out", tmp_path / "map.png", "--under", "tabby cat", code=1)[1]
    assert list(tmp_path.iterdir()) == []
