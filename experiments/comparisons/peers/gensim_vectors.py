"""gensim's word vectors of a text, trained in the environment of `make peers`."""

import json
import pathlib
import subprocess
import tempfile
from typing import NamedTuple

from experiments.comparisons.peers import child
from experiments.studies import words

_PROGRAM = pathlib.Path(__file__).with_name("served") / "train_gensim.py"


class Trained(NamedTuple):
    """What gensim made of the text."""

    vectors: words.WordVectors
    seconds: float  # of the training alone
    version: str


def train(
    python: str,
    text: str,
    settings: words.Settings,
    min_count: int,
    workers: int,
    seed: int,
) -> Trained:
    """Trains by gensim with the same settings.

    Args:
        python: interpreter of the environment that `make peers` set up.
        text: the text file.
        settings: of ours; `shared`, `group` and `groups` have nothing beside them.
        min_count: how often a word has to occur.
        workers: threads.
        seed: of gensim, which with several threads is not repeatable.
    Raises: FileNotFoundError: no such interpreter. ValueError: gensim failed, with its
        last line.
    """
    child.check_installed(python)
    is_tree = settings.objective == "hierarchical"
    options = {
        "vector_size": settings.size,
        "window": settings.window,
        "epochs": settings.epochs,
        "alpha": settings.first_rate,
        "min_alpha": settings.final_rate,
        "sample": settings.sample,
        "sg": int(settings.model == "skipgram"),
        "hs": int(is_tree),
        "negative": 0 if is_tree else settings.negatives,
        "min_count": min_count,
        "workers": workers,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        out = str(pathlib.Path(folder) / "vectors.bin")
        command = [python, str(_PROGRAM), text, out, json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no output"]
            raise ValueError(
                f"peer_python={python}: gensim failed ({last[0]}); run `make peers`"
            )
        said = json.loads(done.stdout.splitlines()[-1])
        vectors = words.load(out, binary=True)
    return Trained(vectors, said["seconds"], said["version"])
