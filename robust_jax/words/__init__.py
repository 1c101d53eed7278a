"""Word vectors: word2vec's models, analogies, and what single coordinates mean."""

from robust_jax.words.analogies import (
    Answers,
    Section,
    accuracy,
    answer,
    read_questions,
)
from robust_jax.words.coherence import Cooccurrences, intruder_ratios, top_words
from robust_jax.words.formats import load, save
from robust_jax.words.huffman import Tree, tree
from robust_jax.words.planted import planted_language
from robust_jax.words.settings import Settings
from robust_jax.words.training import Trained, keep_odds, train
from robust_jax.words.updates import Tables
from robust_jax.words.vectors import Neighbour, WordVectors
from robust_jax.words.vocabulary import Corpus, Piece, Vocabulary, corpus, text_file

__all__ = [
    "Answers",
    "Cooccurrences",
    "Corpus",
    "Neighbour",
    "Piece",
    "Section",
    "Settings",
    "Tables",
    "Trained",
    "Tree",
    "Vocabulary",
    "WordVectors",
    "accuracy",
    "answer",
    "corpus",
    "intruder_ratios",
    "keep_odds",
    "load",
    "planted_language",
    "read_questions",
    "save",
    "text_file",
    "top_words",
    "train",
    "tree",
]
