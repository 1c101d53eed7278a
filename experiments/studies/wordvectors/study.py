"""Word vectors hold the meaning in the space, not in single coordinates."""

import time

from experiments.studies import words
from experiments.studies.properties.setting import Setting
from experiments.studies.wordvectors import accuracy, coordinates, rotations
from robust_jax.commands.shared import common, recording

_MOST = 30_000
_PLANTED = words.Settings(size=50)


def planted(setting: Setting, run: recording.Run) -> dict[str, float]:
    """The study on a made-up language, as one of `experiments.studies.properties`."""
    read, sections = words.planted_language(seed=setting.seed)
    text = words.corpus(read)
    trained, _ = train(text, _PLANTED, setting.seed)
    values = looked_at(
        text, {"ours": trained}, sections, _MOST, setting.seed, False, run
    )
    return values | rotations.equivariance(text, _PLANTED, setting.seed, run)


def train(
    text: words.Corpus, settings: words.Settings, seed: int
) -> tuple[words.WordVectors, float]:
    """Trains with a bar; the vectors and how many words were read per second."""
    total = settings.epochs * len(text)
    begun = time.perf_counter()
    with common.counted(total, f"train {settings.model}", "word") as bar:
        done = words.train(text, settings, seed, on_progress=bar.update)
    took = time.perf_counter() - begun
    return done.vectors, settings.epochs * text.raw / took


def check_asked(text: words.Corpus, sections: list[words.Section], most: int) -> None:
    """Raises ValueError if the text has the words of no question."""
    known = {word.upper() for word in text.vocabulary.words[:most]}
    asked = (q for section in sections for q in section.questions)
    if not any(known.issuperset(word.upper() for word in q) for q in asked):
        raise ValueError(
            f"questions: the text's {min(most, len(text.vocabulary)):,} commonest "
            "words answer none; choose others, or a larger vocabulary_cut"
        )


def looked_at(
    text: words.Corpus,
    vectors: dict[str, words.WordVectors],
    sections: list[words.Section],
    most: int,
    seed: int,
    paper: bool,
    run: recording.Run,
) -> dict[str, float]:
    """Analogies, rotation and coordinates; the first of `vectors` is ours."""
    found = {
        name: words.answer(each, sections, most=most) for name, each in vectors.items()
    }
    accuracy.accuracy(found, paper, run)
    first, answers = next(iter(vectors.values())), next(iter(found.values()))
    accuracy.drawn_pairs(first.cut(most), sections, run)
    values = {"accuracy": words.accuracy(answers)}
    values |= {f"accuracy, {each.section.name}": each.accuracy for each in answers}
    for name, others in list(found.items())[1:]:
        values[f"points below {name}"] = 100 * (
            words.accuracy(others) - values["accuracy"]
        )
    values["answers kept by a rotation"] = rotations.answers_kept(
        first, answers, sections, most, seed
    )
    return values | coordinates.coordinates(text, first, seed, run)


def neighbours(
    vectors: words.WordVectors, asked: list[str], run: recording.Run
) -> None:
    """The ten nearest of each word, with the cosine of the first."""
    rows = []
    for word in asked:
        near = vectors.nearest(word)
        told = " ".join(each.word for each in near)
        rows.append({"word": word, "cosine": near[0].cosine, "nearest": told})
    run.table("Nearest words", "By cosine; the first one's is shown.", rows)
