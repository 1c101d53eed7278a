"""Word vectors: word2vec's models, analogies, and what single coordinates mean."""

from experiments.studies.words.analogies import (
    Answers,
    Section,
    accuracy,
    answer,
    read_questions,
)
from experiments.studies.words.coherence import (
    Cooccurrences,
    intruder_ratios,
    top_words,
)
from experiments.studies.words.formats import load, save
from experiments.studies.words.huffman import Tree, tree
from experiments.studies.words.planted import planted_language
from experiments.studies.words.sampling import keep_odds
from experiments.studies.words.settings import Settings
from experiments.studies.words.training import Trained, train
from experiments.studies.words.updates import Tables
from experiments.studies.words.vectors import Neighbour, WordVectors
from experiments.studies.words.vocabulary import (
    Corpus,
    Piece,
    Vocabulary,
    corpus,
    text_file,
)

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
