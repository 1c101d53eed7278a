"""Texts as numbers."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

from experiments.studies import words
from experiments.studies.words import vocabulary

SENTENCES = [["b", "a", "c"], ["a", "d", "b", "a"], []]


def of(sentences, **options):
    return words.corpus(lambda: sentences, **options)


def test_common_words_first_and_rare_ones_left_out():
    made = of(SENTENCES, min_count=2)
    assert made.vocabulary.words == ("a", "b")
    np.testing.assert_array_equal(made.vocabulary.counts, [3, 2])
    np.testing.assert_array_equal(made.tokens, [1, 0, 0, 1, 0])
    np.testing.assert_array_equal(made.sentences, [0, 0, 1, 1, 1])
    assert (made.raw, len(made), made.vocabulary.index["b"]) == (7, 5, 1)


def test_equal_counts_go_by_the_alphabet_and_most_is_a_cut():
    backwards = [["d", "c", "b"], ["a", "b", "a"], ["a"]]
    for sentences in (SENTENCES, backwards):
        assert of(sentences, min_count=1).vocabulary.words == ("a", "b", "c", "d")
        assert of(sentences, min_count=1, most=3).vocabulary.words == ("a", "b", "c")


@pytest.mark.parametrize(
    ("suffix", "opener"),
    [("", open), (".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)],
)
def test_files_are_read_line_by_line(tmp_path, suffix, opener):
    path = tmp_path / f"text{suffix}"
    with opener(path, "wt", encoding="utf-8") as file:
        file.write("b a  c\na d b a\n\nü")
    read = words.text_file(path)
    assert list(read()) == [["b", "a", "c"], ["a", "d", "b", "a"], [], ["ü"]]
    assert list(read()) == list(read())


@pytest.mark.parametrize("block", [3, 4, 7, 16, 1000])
def test_a_long_line_is_one_sentence_whatever_the_pieces(tmp_path, monkeypatch, block):
    monkeypatch.setattr(vocabulary, "_BLOCK", block)
    path = tmp_path / "text"
    path.write_text("one two three four five six\nseven eight\nnine")
    made = words.corpus(words.text_file(path), min_count=1)
    told = [made.vocabulary.words[i] for i in made.tokens]
    assert told == [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
    ]
    np.testing.assert_array_equal(made.sentences, [0] * 6 + [1] * 2 + [2])


@pytest.mark.parametrize("space", ["\t", "\u00a0", "\u3000", " \t", "\x1c"])
@pytest.mark.parametrize("block", [3, 7, 16])
def test_a_long_line_may_have_any_white_space(tmp_path, monkeypatch, block, space):
    monkeypatch.setattr(vocabulary, "_BLOCK", block)
    monkeypatch.setattr(vocabulary, "_LONGEST", 5)
    spelt = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    (tmp_path / "text").write_text(space.join(spelt) + space, encoding="utf-8")
    read = list(words.text_file(tmp_path / "text")())
    assert [word for sentence in read for word in sentence] == spelt
    assert all(isinstance(sentence, words.Piece) for sentence in read[1:])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.gz", gzip.compress(b"a b " * 9, mtime=0)[:-9], "ended before"),
        ("text.gz", b"a b", "Not a gzipped file"),
        ("text.xz", b"a b", "format not supported"),
        ("text.bz2", b"a b", "Invalid data stream"),
        ("text", b"a \xff b", "can't decode byte 0xff"),
        ("text.gz", gzip.compress(bytes(1 << 26, mtime=0), 1), "a word of more than 1,048,576"),
    ],
)
def test_what_is_no_text_is_told_by_name(tmp_path, monkeypatch, name, content, told):
    monkeypatch.setattr(vocabulary, "_BLOCK", 1 << 20)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} cannot be read as a text .*{told}"):
        words.corpus(words.text_file(tmp_path / name))


def test_what_cannot_be_counted():
    with pytest.raises(ValueError, match="min_count=9: none of the 4 words"):
        of(SENTENCES, min_count=9)
    with pytest.raises(ValueError, match="min_count=0"):
        of(SENTENCES, min_count=0)
    with pytest.raises(ValueError, match="most=0"):
        of(SENTENCES, most=0)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        words.text_file("nowhere")
