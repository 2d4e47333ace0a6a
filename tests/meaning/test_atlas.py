import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from devise.errors import LabelError, UsageError
from devise.labels import Label, LabelSet
from devise.meaning.atlas import (
    OFFSETS,
    Panel,
    Picture,
    Point,
    branches,
    label_map,
    offset_consistency,
    offset_picture,
    placed_names,
)
from devise.pages.atlas import picture_html, picture_png
from devise.space.labelspace import LabelSpace
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.text.vectors import WordTable


def space_of(count: int = 40, without: int = 0) -> LabelSpace:
    """Dogs at one end, birds at the other."""
    taxonomy = default_taxonomy()
    kinds = [sorted(taxonomy.subtree(one))[: count // 2] for one in ("n02084071", "n01503061")]
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((count, 6)).astype(np.float32)
    vectors[:, 0] += np.repeat([8, -8], count // 2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:without] = 0
    ids = [one for kind in kinds for one in kind]
    return LabelSpace(LabelSet(Label(one, taxonomy.synset(one).name) for one in ids), vectors)


def places(panel: Panel) -> np.ndarray:
    return np.array([(point.x, point.y) for point in panel.points])


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_what_is_apart_in_space_is_apart_on_the_map(method: str):
    if method == "tsne":
        pytest.importorskip("sklearn")
    space = space_of()
    picture = label_map(space, default_taxonomy(), method=method, colours=4)
    (panel,) = picture.panels
    plane = places(panel)
    dogs, birds = plane[:20], plane[20:]
    within = max(np.linalg.norm(side - side.mean(axis=0), axis=1).mean() for side in (dogs, birds))
    assert np.linalg.norm(dogs.mean(axis=0) - birds.mean(axis=0)) > 2 * within
    assert plane.min() >= -1e-9
    assert plane.max() <= 1 + 1e-9
    assert [point.name for point in panel.points] == [label.name for label in space.labels]
    assert not {point.group for point in panel.points[:20]} & {point.group for point in panel.points[20:]}
    assert picture == label_map(space, default_taxonomy(), method=method, colours=4)


def test_what_is_left_out_is_said():
    picture = label_map(space_of(without=3), default_taxonomy(), method="pca", most=20, seed=1)
    assert picture.left_out == ("3 labels without a vector", "17 of 37 labels, outside the random sample (seed 1)")
    assert len(picture.panels[0].points) == 20
    with pytest.raises(LabelError, match="a map needs 8 labels with vectors, got 5"):
        label_map(space_of(without=35), default_taxonomy(), method="pca")
    with pytest.raises(UsageError, match="--method must be one of tsne, pca"):
        label_map(space_of(), default_taxonomy(), method="umap")


def test_the_main_axes_are_those_of_the_covariance():
    space = space_of()
    plane = places(label_map(space, default_taxonomy(), method="pca").panels[0])
    rows = space.vectors.astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(rows.T))
    wanted = (rows - rows.mean(axis=0)) @ axes[:, ::-1][:, :2]
    for axis in (0, 1):
        assert abs(np.corrcoef(plane[:, axis], wanted[:, axis])[0, 1]) == pytest.approx(1.0)
    spread = plane.std(axis=0)
    assert spread[0] / spread[1] == pytest.approx(float(np.sqrt(values[-1] / values[-2])))


def table_of_offsets() -> WordTable:
    """Every form is a word plus a step that its form has: perfect parallels; the aunt is unknown."""
    rng = np.random.default_rng(4)
    vectors: dict[str, np.ndarray] = {}
    for rows in OFFSETS.values():
        steps = rng.standard_normal((3, 30)) * 0.2
        for row in rows:
            start = rng.standard_normal(30)
            vectors |= {word: start + step for word, step in zip(row, steps, strict=False)}
    del vectors["aunt"]
    return WordTable(tuple(vectors), np.array(list(vectors.values()), dtype=np.float32))


def test_offsets():
    picture = offset_picture(table_of_offsets())
    assert picture.left_out == ("uncle - aunt (no vector: aunt)",)
    gender, degrees = picture.panels
    assert len(gender.points) == 18
    assert len(gender.lines) == 9
    assert len(degrees.points) == 27
    assert len(degrees.lines) == 18
    for panel in picture.panels:
        for start, end in panel.lines:
            assert panel.points[start].detail == panel.points[end].detail
            assert panel.points[end].group == panel.points[start].group + 1
    steps = [gender.points[end].x - gender.points[start].x for start, end in gender.lines]
    heights = [gender.points[end].y - gender.points[start].y for start, end in gender.lines]
    assert min(steps) > 0.02  # to the right, all of them
    assert np.abs(heights).mean() < np.mean(steps)
    with pytest.raises(LabelError, match="use other word vectors"):
        offset_picture(WordTable(("man", "woman"), np.eye(2, dtype=np.float32)))


def test_consistency_by_hand():
    assert offset_consistency(np.array([[2.0, 0.0], [1.0, 0.0]])) == pytest.approx(1)
    assert offset_consistency(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0)
    assert offset_consistency(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-1)


def test_names_do_not_cover_each_other():
    crowd = tuple(Point(0.5 + 0.001 * place, 0.5, "crowded", 0, named=True) for place in range(9))
    alone = Point(0.1, 0.1, "alone", 0, named=True)
    nameless = Point(0.9, 0.9, "nameless", 0)
    placed = placed_names(Panel("", (*crowd, alone, nameless), ("g",)), 0.01, 0.02)
    assert [name.point.name for name in placed] == ["crowded"] * 4 + ["alone"]
    assert len({(name.right, name.above) for name in placed[:4]}) == 4
    words = Panel("", crowd, ("g",), lines=((0, 1),))
    assert len(placed_names(words, 0.01, 0.02)) == 9  # words are all shown


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


NASTY = Point(0.0, 0.0, "<script>alert('x')</script>", 0, detail='a "gloss" & more', named=True)


def test_the_page_is_whole_in_itself():
    points = (NASTY, Point(1.0, 0.5, "plain", 1))
    page = picture_html(Picture("T < U", "note", (Panel("", points, ("one (1)", "other (1)")),), ("3 labels",)))
    tags = Tags()
    tags.feed(page)
    named = [tag for tag, _ in tags.seen]
    assert named.count("circle") == 2
    assert named.count("script") == 1
    assert "&lt;script&gt;alert" in page
    assert "<title>T &lt; U</title>" in page
    assert [attrs.get("src") or attrs["href"] for _, attrs in tags.seen if attrs.keys() & {"src", "href"}] == ["data:,"]
    assert "script-src 'sha256-" in page
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    (svg,) = [attrs for tag, attrs in tags.seen if tag == "svg"]
    assert svg["tabindex"] == "0"
    assert "arrow keys" in (svg["aria-label"] or "")
    assert [attrs["aria-pressed"] for tag, attrs in tags.seen if tag == "button"] == ["false"] * 2
    assert "3 labels" in page
    for control in ("prefers-color-scheme: dark", 'aria-live="polite"', "All 2 as a list"):
        assert control in page


def test_the_png_is_a_picture_with_the_colours_of_its_groups():
    pytest.importorskip("matplotlib")
    picture = label_map(space_of(), default_taxonomy(), method="pca", colours=4)
    data = picture_png(picture)
    assert data == picture_png(picture)
    with Image.open(BytesIO(data)) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
        assert image.size[0] > 800
    assert len(colours) > 20
    offsets = picture_png(offset_picture(table_of_offsets()))
    assert offsets[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.dumps(picture.left_out) == "[]"


NAMES = {
    "entity": "", "animal": "entity", "tool": "entity", "dog": "animal", "cat": "animal",
    "puppy": "dog", "hound": "dog", "spaniel": "dog", "kitten": "cat", "tabby": "cat", "saw": "tool", "axe": "tool",
}  # fmt: skip
IDS = {name: f"n{number:08d}" for number, name in enumerate(NAMES, 1)}
TREE = Taxonomy.from_synsets(
    Synset(IDS[name], (name,), hypernyms=(IDS[parent],) if parent else ()) for name, parent in NAMES.items()
)


def parted(*names: str, most: int) -> dict[str, set[str]]:
    found = branches(TREE, [IDS[name] for name in names], most)
    return {branch.name: {names[place] for place in branch.members} for branch in found}


def test_by_hand():
    leaves = ("puppy", "hound", "spaniel", "kitten", "tabby", "saw", "axe")
    dogs, cats, tools = set(leaves[:3]), set(leaves[3:5]), set(leaves[5:])
    # all are entities: that subtree is the whole, then the animals are cut off it, then the dogs off the animals
    assert parted(*leaves, most=3) == {"animal": dogs | cats, "entity, other": tools}
    assert parted(*leaves, most=4) == {"dog": dogs, "animal, other": cats, "entity, other": tools}
    assert parted(*leaves, most=9) == {"dog": dogs, "cat": cats, "tool": tools}


def test_a_label_that_is_in_no_subtree_large_enough_is_among_the_others():
    assert parted("puppy", "hound", "kitten", "tabby", "saw", most=9) == {
        "cat": {"kitten", "tabby"},
        "dog": {"puppy", "hound"},
        "other": {"saw"},
    }


@given(st.sets(st.integers(0, 82114), min_size=2, max_size=40), st.integers(2, 11))
@settings(max_examples=25)
def test_each_label_is_in_one_branch_below_it(places: set[int], most: int):
    taxonomy = default_taxonomy()
    ids = [taxonomy.ids[place] for place in sorted(places)]
    found = branches(taxonomy, ids, most)
    assert 1 <= len(found) <= most
    assert sorted(place for branch in found for place in branch.members) == list(range(len(ids)))
    for branch in found:
        assert branch.members
        if branch.id:
            assert all(ids[place] in taxonomy.subtree(branch.id) for place in branch.members)
    assert [branch.name for branch in found[:-1]].count("other") == 0
