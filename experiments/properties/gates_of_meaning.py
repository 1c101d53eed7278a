"""What the studies of what units see have to find; see `gates`."""

from experiments.properties.gate import PLANTED, TEXT, Gate

GATES = (
    Gate("wordvectors", "accuracy", 0.95, datasets=PLANTED),
    Gate("wordvectors", "change by rotated start, SGD", high=1e-4, datasets=PLANTED),
    Gate("wordvectors", "change by rotated start, Adam", 1e-2, datasets=PLANTED),
    Gate("wordvectors", "accuracy", 0.3, datasets=TEXT, paper="0.404"),
    Gate("wordvectors", "accuracy, family", 0.45, datasets=TEXT, paper="0.59"),
    Gate(
        "wordvectors",
        "accuracy, gram6-nationality-adjective",
        0.6,
        datasets=TEXT,
        paper="0.77",
    ),
    Gate("wordvectors", "points below gensim", high=3.0, datasets=TEXT[1:]),
    Gate("wordvectors", "answers kept by a rotation", 0.999, datasets=PLANTED + TEXT),
    Gate(
        "wordvectors",
        "AUC of coordinates over random",
        high=0.6,
        datasets=PLANTED + TEXT,
    ),
)
