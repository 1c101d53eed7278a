"""Vectors, their files, analogies and coherence, on words laid out by hand."""

import gzip

import numpy as np
import pytest

from experiments.studies import words
from experiments.studies.words import formats
from tests.experiments.words import company

PLANE = words.WordVectors(
    ("a", "b", "c", "d"),
    np.array([[1, 0], [0.9, 0.1], [0, 2], [-1, 0]], np.float32),
)


def test_neighbours():
    first, second = PLANE.nearest("a", 2)
    assert (first.word, second.word) == ("b", "c")
    assert first.cosine == pytest.approx(0.9 / np.hypot(0.9, 0.1))
    assert [n.word for n in PLANE.nearest([0, -1], 1)] == ["a"]
    assert len(PLANE.nearest("a", 10)) == 3
    assert PLANE.cut(2).words == ("a", "b") and len(PLANE.cut(2)) == 2
    turned = PLANE.rotated([[0, 1], [-1, 0]])
    np.testing.assert_allclose(turned["c"], [-2, 0])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: PLANE.nearest("e"), "'e' is not among the 4 words"),
        (lambda: PLANE.nearest("e" * 99), r"'e{56}\.\.\. is not among the 4 words"),
        (lambda: PLANE.nearest("a", 0), "k=0"),
        (lambda: words.WordVectors(("a",), np.ones((2, 2))), "a row for each word"),
        (lambda: words.WordVectors((), np.ones((0, 2))), "a row for each word"),
        (lambda: words.top_words(PLANE, np.ones((1, 3))), "expected .M, 2."),
        (lambda: words.top_words(PLANE, np.ones((1, 2)), 0), "k=0"),
        (lambda: words.intruder_ratios(PLANE, np.ones((1, 2)), PLANE.unit, 1), "k=1"),
        (lambda: words.planted_language(0), "sentences=0"),
        (lambda: words.planted_language(pairs=1), "pairs=1; expected at least 2"),
    ],
)
def test_what_cannot_be(call, told):
    with pytest.raises(ValueError, match=told):
        call()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_keep_every_bit(tmp_path, binary, suffix):
    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(5, 7)) * 10.0 ** rng.integers(-9, 9, (5, 7))).astype(
        "f4"
    )
    vectors = words.WordVectors(("ü", "1\u00a0km", "a\tb", "</s>", "\x85"), matrix)
    path = tmp_path / f"vectors{suffix}"
    words.save(path, vectors, binary=binary)
    again = words.load(path, binary=binary)
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_the_bytes_are_those_of_word2vec(tmp_path):
    path = tmp_path / "vectors"
    words.save(path, PLANE.cut(2), binary=True)
    rows = [np.array(row, "<f4").tobytes() for row in ([1, 0], [0.9, 0.1])]
    assert path.read_bytes() == b"2 2\na " + rows[0] + b"\nb " + rows[1] + b"\n"
    path.write_bytes(b"2 2\na " + rows[0] + b"b " + rows[1])  # gensim's writer.
    assert words.load(path, binary=True).words == ("a", "b")
    words.save(path, PLANE.cut(2), binary=False)
    assert path.read_text() == "2 2\na 1.0 0.0\nb 0.9 0.1\n"


@pytest.mark.parametrize(
    ("content", "binary", "told"),
    [
        (b"", False, ":1: b''; expected the numbers of words"),
        (b"two 2\n", True, "expected the numbers of words"),
        (b"-1 2\n", True, ":1: b'-1 2'; expected the numbers of words"),
        (b"2 2\na 1 2\n", False, "word 2 of 2: 0 coordinates; expected 2"),
        (b"1 2\na 1 x\n", False, "word 1 of 1"),
        (b"1 2\na 1234567", True, "word 1 of 1: 7 bytes of coordinates; expected 8"),
        (b"1 2\n", True, "no word that ends in a space"),
        (b"999999999999 300\n", True, "word 1 of 999999999999: no word"),
        (b"999999999999 300\n", False, "0 coordinates; expected 300"),
        (b"1 999999999999\n", True, "of coordinates, at most 100,000"),
        (b"9" * 100_000, True, ":1: b'999"),
        (b"1 2\na " + b"1" * 100_000, False, "word 1 of 1: 1 coordinates"),
    ],
)
def test_files_that_are_none(tmp_path, content, binary, told):
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        words.load(path, binary=binary)


def test_what_a_file_cannot_hold(tmp_path):
    for word in ("a b", "a\n", ""):
        bad = words.WordVectors((word,), np.ones((1, 2), np.float32))
        with pytest.raises(ValueError, match=f"word={word!r}".replace("\\", ".")):
            words.save(tmp_path / "vectors", bad, binary=False)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        words.load("nowhere", binary=False)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: words.save(3, PLANE, binary=True),
            "path=3; expected the name of a fi",
        ),
        (
            lambda: words.save("v", [1], binary=True),
            r"vectors=\[1\]; expected a WordVec",
        ),
        (lambda: words.save("v", PLANE, binary="no"), "binary='no'; expected True or"),
        (
            lambda: words.load(None, binary=True),
            "path=None; expected the name of a fil",
        ),
        (lambda: words.load("v", binary=1), "binary=1; expected True or False"),
        (lambda: words.text_file(b"v"), "path=b'v'; expected the name of a file"),
    ],
)
def test_what_is_no_file_of_words(call, said):
    with pytest.raises(TypeError, match=said):
        call()


def test_many_words_are_read_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_AT_FIRST", 3)
    rng = np.random.default_rng(0)
    vectors = words.WordVectors(tuple("abcdefghij"), rng.random((10, 2), np.float32))
    words.save(tmp_path / "vectors", vectors, binary=True)
    again = words.load(tmp_path / "vectors", binary=True)
    np.testing.assert_array_equal(again.matrix, vectors.matrix)


def test_a_file_that_is_no_gz_is_told(tmp_path):
    path = tmp_path / "vectors.gz"
    path.write_bytes(b"1 2\na 1 2\n")
    with pytest.raises(ValueError, match="vectors.gz: Not a gzipped file"):
        words.load(path, binary=False)


def test_a_cut_gz_is_told(tmp_path):
    path = tmp_path / "vectors.gz"
    path.write_bytes(gzip.compress(b"2 2\na 1 2\nb 3 4\n")[:-12])
    with pytest.raises(ValueError, match="word . of 2: .* is it a text file"):
        words.load(path, binary=False)


QUESTIONS = """: capital
Paris France Rome Italy
Paris France Oslo Norway
: gram1-plural
cat cats dog dogs
"""


@pytest.fixture
def sections(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS)
    return words.read_questions(path)


def test_questions_are_read(sections):
    assert [(s.name, len(s.questions), s.is_syntactic) for s in sections] == [
        ("capital", 2, False),
        ("gram1-plural", 1, True),
    ]
    assert sections[0].questions[1] == ("Paris", "France", "Oslo", "Norway")


@pytest.mark.parametrize("text", ["a b c d\n", ": x\na b c\n"])
def test_questions_of_another_form(tmp_path, text):
    path = tmp_path / "questions.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="expected four words"):
        words.read_questions(path)


def test_answers_follow_the_protocol(sections):
    """Words without case; unknown and rare ones not asked; a, b, c no answers."""
    names = ("paris", "france", "rome", "italy", "cat", "cats", "dog", "dogs")
    rng = np.random.default_rng(0)
    capital, plural, *rest = rng.normal(size=(6, 40))
    rows = [rest[0] + capital, rest[0], rest[1] + capital, rest[1]]
    rows += [rest[2], rest[2] + plural, rest[3], rest[3] + plural]
    vectors = words.WordVectors(names, np.asarray(rows, np.float32))
    capitals, plurals = words.answer(vectors, sections)
    np.testing.assert_array_equal(capitals.asked, [0])
    np.testing.assert_array_equal(capitals.answers, [3])
    assert words.accuracy([capitals, plurals]) == 1.0 == plurals.accuracy
    capitals, plurals = words.answer(vectors, sections, most=7)
    assert len(plurals.asked) == 0 and np.isnan(plurals.accuracy)
    wrong = words.WordVectors(
        names, np.asarray(rows[::3] + rows[1::3] + rows[2::3], "f4")
    )
    assert words.accuracy(words.answer(wrong, sections)) < 1
    assert np.isnan(words.accuracy([]))


@pytest.mark.parametrize(
    "rows",
    [  # The nearest to b - a + c would be c, b and a.
        [[1, 0, 0], [1, 0.01, 0], [0, 0, 1], [0, 0.3, 1]],
        [[1, 0, 0], [0, 0, 1], [1, 0.01, 0], [0, 0.3, 1]],
        [[1, 0, 0], [0.9, 0.4, 0], [0.9, -0.4, 0], [0.8, 0, 0.6]],
    ],
)
def test_the_words_of_a_question_are_no_answers(rows):
    vectors = words.WordVectors((*"abcde",), np.array([*rows, [0, -1, 0]], np.float32))
    (found,) = words.answer(vectors, [words.Section("s", (("a", "b", "c", "d"),))])
    assert found.is_right.all()


def test_company_is_counted_inside_sentences():
    text = words.corpus(lambda: company.SENTENCES, min_count=1)
    index = text.vocabulary.index
    groups = [[index[w] for w in group] for group in (["a", "b"], ["a", "y"])]
    close, apart = words.Cooccurrences(text, window=2).npmi(groups)
    np.testing.assert_allclose(close, company.npmi("a", "b", 2))
    assert close > 0.1 and apart == -1.0
    with pytest.raises(ValueError, match="expected .M, k."):
        words.Cooccurrences(text).npmi([[0]])


def test_an_intruder_stands_out_along_a_planted_axis():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 8)).astype(np.float32)
    matrix[:20, 0] += 8  # One topic, along the first axis.
    vectors = words.WordVectors(tuple(map(str, range(200))), matrix)
    found = words.intruder_ratios(vectors, np.eye(8), vectors.unit)
    assert found[0] > 2 and (found[1:] < 2).all()
    assert set(words.top_words(vectors, np.eye(8))[0]) <= set(range(20))
