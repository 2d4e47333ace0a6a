from pathlib import Path

import numpy as np
import pytest

from devise.errors import TextError
from devise.text.similarity import (
    Analogy,
    WordPair,
    judge_analogies,
    judge_pairs,
    read_analogies,
    read_pairs,
)
from devise.text.vectors import WordTable

TABLE = WordTable(
    ("man", "woman", "king", "queen", "apple", "snow_leopard"),
    np.array([[1, 0, 0], [1, 1, 0], [1, 0, 3], [1, 1, 3], [-1, 0, 0], [0, 0, 0]], dtype=np.float32),
)


def test_pairs_without_a_vector_are_counted_and_left_out() -> None:
    pairs = [
        WordPair("king", "queen", 9.0),
        WordPair("man", "woman", 8.0),
        WordPair("man", "apple", 1.0),
        WordPair("man", "zebra", 5.0),
        WordPair("Man", "woman", 5.0),
    ]
    found = judge_pairs(TABLE, pairs)
    assert (found.pairs, found.covered, found.coverage) == (5, 4, 0.8)
    # capitals are folded where the word does not stand so
    # cosines .953 .707 -1 .707 have ranks 4 2.5 1 2.5, the scores 4 3 1 2
    assert found.spearman == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    nothing = judge_pairs(TABLE, [WordPair("zebra", "okapi", 3.0)])
    assert (nothing.covered, nothing.spearman, nothing.coverage) == (0, None, 0.0)


def test_a_vector_of_zeros_and_phrases() -> None:
    found = judge_pairs(TABLE, [WordPair("snow-leopard", "man", 1.0), WordPair("snow leopard", "man", 1.0)])
    assert found.covered == 1


def test_analogies() -> None:
    questions = [
        Analogy("man", "woman", "king", "queen", "family"),
        Analogy("man", "king", "woman", "queen", "family"),
        Analogy("man", "woman", "king", "apple", "fruit"),
        Analogy("man", "woman", "king", "zebra", "fruit"),
    ]
    family, fruit, both = judge_analogies(TABLE, questions)
    assert (family.section, family.analogies, family.covered, family.right, family.accuracy) == ("family", 2, 2, 2, 1.0)
    assert (fruit.section, fruit.analogies, fruit.covered, fruit.right, fruit.accuracy) == ("fruit", 2, 1, 0, 0.0)
    assert (both.section, both.analogies, both.covered, both.right, both.coverage) == ("all", 4, 3, 2, 0.75)
    few = judge_analogies(TABLE, questions, most_words=3)[-1]
    assert (few.covered, few.accuracy) == (0, None)


def test_files(tmp_path: Path) -> None:
    pairs, commas, questions = tmp_path / "p.txt", tmp_path / "p.csv", tmp_path / "q.txt"
    pairs.write_text("# by people\ncat\tdog\t7.5\n\nsun  moon 3\n")
    commas.write_text("ice cream,cake,4.5\n")
    questions.write_text(": capital cities\nAthens Greece Oslo Norway\n: family\nhe she king queen\n")
    assert read_pairs(pairs) == (WordPair("cat", "dog", 7.5), WordPair("sun", "moon", 3.0))
    assert read_pairs(commas) == (WordPair("ice cream", "cake", 4.5),)
    assert read_analogies(questions) == (
        Analogy("Athens", "Greece", "Oslo", "Norway", "capital cities"),
        Analogy("he", "she", "king", "queen", "family"),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", 'Word 1,Word 2,Human (mean)\n"ice cream",cake,4.5\n'),
        ("p.CSV", "word1,word2,score\r\nice cream,cake,4.5\r\n"),
        ("p.txt", "# by people\nWord 1\tWord 2\tHuman (mean)\nice cream\tcake\t4.5\n"),
        ("p.tsv", "one other score\nice cream\tcake\t4.5"),
        ("p.txt", "word1\tword2\tPOS\tSimLex999\tconc(w1)\nice cream\tcake\tN\t4.5\t2.7\n"),  # SimLex-999
        ("p.txt", "ice cream\tcake\t4.5\t7\t6\t1\n"),  # Rare Words
        ("p.csv", "sep=;\nword1;word2;score\nice cream;cake;4,5\n"),  # Excel in many countries
        ("p.csv", ",word1,word2,score\n0,ice cream,cake,4.5\n"),  # pandas
        ("p.csv", "score,word1,word2\n4.5,ice cream,cake\n"),
    ],
)
def test_a_head_line_is_passed_over(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_pairs(tmp_path / name) == (WordPair("ice cream", "cake", 4.5),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b head\nc d head\n", "line 2: expected two words and a number"),
        ("tiger cat 7x35\nlion cat 3\n", "line 1: expected two words and a number"),
        ("New York Paris 3\n", "line 1: expected two words and a number"),
        ("cat dog\n", "line 1: expected two words and a number"),
        ("a b 1\ncat dog seven\n", "line 2: expected two words and a number, got 'cat dog seven'"),
        ("cat dog nan\n", "line 1: expected a finite number"),
        ("\n", "contains no pairs"),
    ],
)
def test_files_that_hold_no_pairs(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.txt"
    path.write_text(text)
    with pytest.raises(TextError, match=message):
        read_pairs(path)


def test_the_heading_and_the_columns_of_analogies(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("word1,word2,word3,word4\nAthens,Greece,Oslo,Norway\n")
    assert read_analogies(path) == (Analogy("Athens", "Greece", "Oslo", "Norway", ""),)


def test_files_that_hold_no_analogies(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text(": one\na b c\n")
    with pytest.raises(TextError, match="line 2: expected four words"):
        read_analogies(path)
    path.write_text(": one\n")
    with pytest.raises(TextError, match="no analogies"):
        read_analogies(path)
    with pytest.raises(TextError, match="is not a file"):
        read_analogies(tmp_path)
    path.write_bytes(b"\xff b c d\n")
    with pytest.raises(TextError, match="line 1 is not UTF-8"):
        read_analogies(path)


def test_the_sets_that_people_use(shared: Path) -> None:
    folder = shared / "data" / "similarity"
    sizes = {path.stem: len(read_pairs(path)) for path in sorted(folder.glob("EN-*.txt"))}
    assert sizes["EN-WS-353-ALL"] == 353
    assert sizes["EN-SIMLEX-999"] == 999
    assert sizes["EN-MEN-TR-3k"] == 3000
    assert len(read_analogies(folder / "questions-words.txt")) == 19544
