"""Word vectors as word2vec trains them, and what the space of words holds.

    python -m experiments.studies.wordvectors --corpus=planted
    python -m experiments.studies.wordvectors --corpus=text8 \
        --questions=questions-words.txt --sample=1e-4 --save=vectors.bin

Trains, answers analogies by the protocol of word2vec's compute-accuracy, turns the
space to see whether answers change, and compares single coordinates with random
directions. A text is a file of words, packed or not, one line or many; `--peer_python`
trains gensim on it too (`make peers`). `--check` exits with 1 if a gate fails.
"""

import math
import pathlib
import sys

from absl import flags

from experiments.comparisons.peers import child, gensim_vectors
from experiments.studies import words
from experiments.studies.properties import gates
from experiments.studies.wordvectors import rotations, study
from robust_jax import report
from robust_jax.commands.shared import common, numbers, recording
from robust_jax.core import checks

_CORPUS = flags.DEFINE_string("corpus", "planted", "A text file, or planted.")
_QUESTIONS = flags.DEFINE_string(
    "questions", None, "Analogies in the form of questions-words.txt; for a text."
)
_MODEL = flags.DEFINE_enum("model", "skipgram", ["skipgram", "cbow"], "Which.")
_OBJECTIVE = flags.DEFINE_enum(
    "objective", "negative", ["negative", "hierarchical"], "What is learnt."
)
_DIM = flags.DEFINE_integer("dim", None, "Default: 50 for planted, 100 for a text.")
_WINDOW = flags.DEFINE_integer("window", 5, "Words on each side at most.")
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Passes over the text.")
_RATE = numbers.DEFINE_number("rate", None, "Default: 0.025, for cbow 0.05.")
_SAMPLE = numbers.DEFINE_number("sample", 1e-3, "Leaves out words of a larger share.")
_NEGATIVES = flags.DEFINE_integer("negatives", 5, "Drawn words for each true one.")
_GROUPS = flags.DEFINE_integer(
    "groups", 2, "Groups of 32 neighbouring places in one update."
)
_LEAST = flags.DEFINE_integer("min_count", 5, "How often a word has to occur.")
_MOST = flags.DEFINE_integer("vocabulary_cut", 30_000, "Words asked and answered.")
_NEIGHBOURS = flags.DEFINE_list(
    "neighbours", [], "Words whose nearest ones are shown, such as king,paris."
)
_SAVE = flags.DEFINE_string(
    "save", None, "File for the vectors: binary if it has .bin in it, else text."
)
_PEER = flags.DEFINE_string(
    "peer_python", None, "Interpreter with gensim, such as .venv-peers/bin/python."
)
_WORKERS = flags.DEFINE_integer("peer_workers", 2, "Threads of gensim.", lower_bound=1)
_PAPER = flags.DEFINE_bool("paper", True, "Show published numbers beside ours.")
_CHECK = flags.DEFINE_bool("check", False, "Exit with 1 if a gate fails.")


def main(argv: list[str]) -> None:
    """Trains, looks, prints, writes, checks."""
    is_planted, seed = _CORPUS.value == "planted", common.SEED.value
    settings, read, sections = _asked(is_planted, seed)
    run = recording.Run("wordvectors")
    text = words.corpus(read, min_count=_LEAST.value)
    for word in _NEIGHBOURS.value:
        if word not in text.vocabulary.index:
            raise ValueError(
                f"neighbours={word}: not among the text's {len(text.vocabulary):,} "
                "words; choose others"
            )
    study.check_asked(text, sections, _MOST.value)
    ours, speed = study.train(text, settings, seed)
    if _SAVE.value:
        words.save(_SAVE.value, ours, binary=".bin" in _SAVE.value)
    vectors, speeds = {"ours": ours}, {"ours": speed}
    if _PEER.value:
        theirs = gensim_vectors.train(
            _PEER.value, _CORPUS.value, settings, _LEAST.value, _WORKERS.value, seed
        )
        vectors["gensim"] = theirs.vectors
        speeds["gensim"] = settings.epochs * text.raw / theirs.seconds
        run.notes.append(f"gensim {theirs.version}, {_WORKERS.value} threads.")
    run.table(
        "Speed",
        "Words of the text read per second of training, all epochs; ours with its "
        f"compilation, gensim's with {_WORKERS.value} threads.",
        [{"trainer": k, "words per second": round(v)} for k, v in speeds.items()],
    )
    values = study.looked_at(
        text, vectors, sections, _MOST.value, seed, _PAPER.value and not is_planted, run
    )
    if _NEIGHBOURS.value:
        study.neighbours(ours, _NEIGHBOURS.value, run)
    if is_planted:
        values |= rotations.equivariance(text, settings, seed, run)
    kind = "planted" if is_planted else "text beside gensim" if _PEER.value else "text"
    run.series["values"], run.series["speeds"] = values, speeds
    _finish(run, text, kind, values)


def _asked(is_planted, seed):
    """Settings, text and questions, all checked before any work."""
    size = _DIM.value
    if size is None:
        size = 50 if is_planted else 100
    settings = words.Settings(
        _MODEL.value, _OBJECTIVE.value, size, _WINDOW.value, _EPOCHS.value,
        _RATE.value, sample=_SAMPLE.value, negatives=_NEGATIVES.value,
        groups=_GROUPS.value,
    )  # fmt: skip
    checks.positive_integer("vocabulary_cut", _MOST.value)
    checks.positive_integer("min_count", _LEAST.value)
    if _SAVE.value and not pathlib.Path(_SAVE.value).parent.is_dir():
        raise ValueError(f"save={_SAVE.value}: no such directory; make it first")
    if is_planted:
        if _PEER.value:
            raise ValueError("peer_python needs a text file; pass --corpus=FILE")
        return settings, *words.planted_language(seed=seed)
    if _QUESTIONS.value is None:
        raise ValueError(f"questions=None with corpus={_CORPUS.value}; pass a file")
    if _PEER.value:
        child.check_installed(_PEER.value)
    read = words.text_file(_CORPUS.value)
    return settings, read, words.read_questions(_QUESTIONS.value)


def _finish(run, text, kind, values):
    sections = {g.value for g in gates.GATES if g.value.startswith("accuracy, ")}
    absent = dict.fromkeys(sections - values.keys(), math.nan)  # Not in the questions.
    rows = gates.judged(kind, ["wordvectors"], {"wordvectors": values | absent})
    run.rows = [row for row in rows if row["value"] not in absent]
    columns = gates.columns(False)
    print(f"\n{report.for_terminal(run.rows, columns)}")
    failed = [row["value"] for row in run.rows if row["passed"] is False]
    run.notes += [f"The gate on {value!r} does not hold." for value in failed]
    run.save(
        f"The space of words, on {_CORPUS.value}",
        f"{text.raw:,} words, {len(text.vocabulary):,} different ones that count; "
        f"accuracy {100 * values['accuracy']:.1f} %.",
        columns,
    )
    if failed and _CHECK.value:
        print(f"error: {len(failed)} gates do not hold", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
