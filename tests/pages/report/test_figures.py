"""Charts and figures: what is drawn is where the numbers say, and the files hold the same numbers."""

import csv
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from devise.evaluation.record import Hedging, Record
from devise.pages import frame as page
from devise.pages.report.build import ReportOptions, build_content, report_html
from devise.pages.report.charts import (
    PALETTE,
    Bar,
    Box,
    Dot,
    Drawing,
    Line,
    Series,
    Words,
    bar_rows,
    curves,
    png,
    series_colours,
    svg,
    tick_values,
)
from devise.pages.report.figures import figures_of, write_figures
from devise.pages.report.measured import measured_of
from devise.taxonomy.wordnet import default_taxonomy


@pytest.fixture
def figures(record: Record):
    content = build_content(measured_of(record, default_taxonomy()), default_taxonomy(), lambda _: None)
    return figures_of(content)


def test_every_figure_is_there_with_its_numbers(figures):
    assert [figure.name for figure in figures] == [
        "hit-at-k",
        "hp-at-k",
        "distance",
        "reliability-fused",
        "reliability-softmax",
        "classes",
        "confusion",
    ]
    rows = list(csv.reader(StringIO(figures[0].csv())))
    assert rows[0] == ["scorer", "measure", "value", "photos low", "photos high", "classes low", "classes high"]
    values = {(scorer, measure): value for scorer, measure, value, *_ in rows[1:]}
    assert [values["fused", measure] for measure in ("hit@1", "hit@2", "hit@5")] == ["0.5", "1.0", "1.0"]
    assert [values["softmax", measure] for measure in ("hit@1", "hit@2", "hit@5")] == ["0.25", "0.25", ""]
    assert all(float(low) <= float(value) <= float(high) for _, _, value, low, high, *_ in rows[1:] if low)
    assert rows[1][3:5] != ["", ""]
    flows = {tuple(row[:3]): row[3] for row in csv.reader(StringIO(figures[-1].csv()))}
    assert flows["equine", "ass", "zebra"] == "1"


def test_the_hedging_curve_is_drawn_where_the_record_keeps_answers(record: Record):
    """All right: the root for half of the probability, the truth at 0.05."""
    truth = [record.labels.index(one) for one in record.truth_ids]
    fused = replace(record.scorers["fused"], answers=np.array([[place, 5] for place in truth]))
    made = replace(record, scorers={**record.scorers, "fused": fused}, hedging=Hedging((0.05, 0.7), ("n00001740",)))
    measured = measured_of(made, default_taxonomy())
    content = build_content(measured, default_taxonomy(), lambda _: None)
    figure = next(one for one in figures_of(content) if one.name == "hedging")
    assert figure.rows == (("fused", 0.05, pytest.approx(np.log2(5)), 1.0), ("fused", 0.7, 0.0, 1.0))
    assert "fused 1.000" in figure.caption
    assert "fused 100 percent right at 0.0 bits" in figure.description
    dots = [shape for shape in figure.drawing.shapes if isinstance(shape, Dot)]
    assert len({shape.y for shape in dots}) == 1
    assert dots[0].x < dots[1].x
    row = dict(zip(measured.tables[6].header[1:], measured.tables[6].rows[0][1], strict=True))
    assert (row["hedging area"].text, row["right@0.7"].text, row["bits@0.7"].text) == ("1.000", "100.0", "0.0")
    assert "<h3>Wider names</h3>" in report_html(content)


def test_a_scorer_of_any_name_makes_a_file_in_the_folder(record: Record, tmp_path: Path):
    odd = replace(record, scorers={"fused": record.scorers["fused"], "../a b": record.scorers["softmax"]})
    measured = measured_of(odd, default_taxonomy())
    content = build_content(measured, default_taxonomy(), lambda _: None, ReportOptions(beside="../a b"))
    odd_one = next(figure for figure in figures_of(content) if "a-b" in figure.name)
    assert odd_one.name == "reliability-..-a-b"
    assert [path.parent for path in write_figures(tmp_path, [odd_one])] == [tmp_path] * 2


def test_files_are_pictures_and_tables(figures, tmp_path: Path):
    written = write_figures(tmp_path / "new" / "figures", figures, "scorer\nfused\n")
    assert [path.name for path in written if path.stem == "measures"] == ["measures.csv"]
    assert len(written) == 2 * len(figures) + 1
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width == round(3 * next(f for f in figures if f.name == path.stem).drawing.width)
                assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 3
        else:
            assert len(path.read_text(encoding="utf-8").splitlines()) > 1
    marked = write_figures(tmp_path / "excel", figures[:1], "scorer\nfused\n", excel=True)
    assert [path.read_bytes()[:3] for path in marked if path.suffix == ".csv"] == [b"\xef\xbb\xbf"] * 2


def test_a_scorer_that_a_spreadsheet_would_run_is_quoted(record: Record):
    odd = replace(record, scorers={"fused": record.scorers["fused"], "=1+2": record.scorers["softmax"]})
    content = build_content(
        measured_of(odd, default_taxonomy()), default_taxonomy(), lambda _: None, ReportOptions(beside="=1+2")
    )
    written = [content.numbers, *(figure.csv() for figure in figures_of(content))]
    assert any('\n"\'=1+2",' in text for text in written)
    assert not any("\n=" in text for text in written)


def test_the_svg_is_xml_with_words_for_those_who_do_not_see_it(figures):
    for figure in figures:
        root = ET.fromstring(svg(figure.drawing, name=figure.name, title="<t>", description="a & b"))
        assert (root.get("role"), root[0].text, root[1].text) == ("img", "<t>", "a & b")
        assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
        assert all(len(figure.description) > 20 for figure in figures)


def test_the_palette_is_the_light_look_of_the_page():
    style = (Path(page.__file__).parent / "theme.css").read_text(encoding="utf-8")
    light = style.partition("@media")[0]
    told = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", light))
    assert {name: told[name] for name in PALETTE} == PALETTE
    dark = style.partition("prefers-color-scheme: dark")[2].partition("}")[0]
    assert set(re.findall(r"--([a-z0-9]+):", dark)) == set(re.findall(r"--([a-z0-9]+):", light))


def test_a_drawing_has_its_shapes_where_they_are_said_to_be():
    drawing = Drawing(20, 10, (Box(0, 0, 10, 10, "s0"), Dot(15, 5, 3, "s1"), Line(((10, 9), (20, 9)), "ink", 2)))
    with Image.open(BytesIO(png(drawing))) as image:
        assert image.size == (60, 30)
        colours = [image.getpixel(place) for place in ((9, 15), (45, 15), (45, 27), (36, 3))]
    assert colours == [tuple(bytes.fromhex(PALETTE[name][1:])) for name in ("s0", "s1", "ink", "card")]


def test_dashes_leave_gaps():
    drawing = Drawing(30, 4, (Line(((0, 2), (30, 2)), "ink", 2, (5, 5)),))
    with Image.open(BytesIO(png(drawing))) as image:
        dark = [image.getpixel((3 * x + 1, 6))[0] < 128 for x in range(30)]
    assert dark[1:4] == [True] * 3
    assert dark[6:9] == [False] * 3
    assert dark[11:14] == [True] * 3


@given(st.floats(0, 1e6, allow_nan=False))
def test_ticks_are_round_and_reach_the_highest(highest: float):
    ticks = tick_values(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest * (1 - 1e-9)
    assert 2 <= len(ticks) <= 7
    assert list(ticks) == sorted(ticks)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_no_two_names_of_lines_overlap(ends: list[float]):
    series = [Series(f"line {i}", (0.0, end), f"s{i % 6}") for i, end in enumerate(ends)]
    shapes = curves(series, (1, 20), "k", percent=True).shapes
    places = sorted(shape.y for shape in shapes if isinstance(shape, Words) and shape.text.startswith("line "))
    assert len(places) == len(ends)
    assert all(below - above > 12.9 for above, below in itertools.pairwise(places))


def test_an_interval_is_an_upright_line_through_its_dot():
    series = Series("one", (0.2, 0.4), "s0", None, ((0.1, 0.5), None))
    shapes = curves([series], (1, 2), "k", percent=True).shapes
    dot = next(shape for shape in shapes if isinstance(shape, Dot))
    (upright,) = [
        shape
        for shape in shapes
        if isinstance(shape, Line) and shape.colour == "s0" and shape.points[0][0] == shape.points[1][0]
    ]
    (x, low), (_, high) = upright.points
    assert x == dot.x
    assert high < dot.y < low
    assert (low - dot.y) / (low - high) == pytest.approx(0.25)


def test_luck_is_grey_and_others_differ():
    names = ["fused", "devise", "conse", "softmax", "random", "chance", "clip"]
    colours = series_colours(names)
    assert colours["random"][0] == colours["chance"][0] == "s6"
    assert len({colour for name, colour in colours.items()}) == len(names)


def test_a_bar_is_as_long_as_its_parts():
    drawing = bar_rows([Bar("a" * 90, ((1, "good"), (1, "bad")), "2"), Bar("b", ((4, "good"),), "4")], ())
    boxes = [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.colour != "line"]
    assert [box.width for box in boxes] == [boxes[0].width] * 2 + [4 * boxes[0].width]
    words = [shape.text for shape in drawing.shapes if isinstance(shape, Words)]
    assert words[0].endswith("…")
