import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.tabletext import cell_text, csv_text


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+2", '"\'=1+2"'),
        ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""),
        ("-2+3", '"\'-2+3"'),
        ("@SUM(1)", '"\'@SUM(1)"'),
        ("\t=1", '"\'\t=1"'),
        ("\r=1", '"\'\r=1"'),
        ('=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'),
        ("'=1", "\"''=1\""),
        ("＝1+2", '"\'＝1+2"'),
        ("＠SUM(1)", '"\'＠SUM(1)"'),
        ("a;=1", '"a;=1"'),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("-", "-"),
        (-0.5, "-0.5"),
        (None, ""),
        ("it's", "it's"),
        ("a=b", "a=b"),
    ],
)
def test_what_a_spreadsheet_would_run_is_quoted_as_owasp_says(cell: object, written: str):
    assert csv_text([[cell, "x"]]) == f"{written},x\n"


@given(
    st.lists(
        st.lists(st.text(st.one_of(st.sampled_from("'=+-@\t\r\n,;\" 1"), st.characters())), min_size=2), min_size=1
    )
)
def test_every_text_comes_back_and_none_begins_as_a_formula(rows: list[list[str]]):
    rows = [[cell.replace("\0", "") for cell in row] for row in rows]
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert [[cell_text(cell) for cell in row] for row in read] == rows
    assert not [cell for row in read for cell in row if cell[:1] in ("=", "@", "\t", "\r")]
