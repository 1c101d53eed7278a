"""Trains word vectors by gensim.

python train_gensim.py TEXT OUT SETTINGS: a text file of one token sequence or of lines;
where the vectors are written, in word2vec's binary form; keyword arguments of gensim's
Word2Vec as JSON. Prints one line of JSON: version and seconds of the training alone.
"""

import bz2
import gzip
import json
import lzma
import pathlib
import sys
import time
from typing import Any

import gensim
from gensim.models import word2vec

_OPENERS: dict[str, Any] = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}
_MOST = 10_000  # Words of a sentence: gensim leaves out what is beyond.


def main(text: str, out: str, settings: str) -> None:
    """Reads, trains, writes."""
    options = json.loads(settings)
    lines = []
    opener = _OPENERS.get(pathlib.Path(text).suffix, open)
    with opener(text, "rt", encoding="utf-8") as file:
        for line in file:
            words = line.split()
            lines += [words[i : i + _MOST] for i in range(0, len(words), _MOST)]
    epochs = options.pop("epochs")
    model = word2vec.Word2Vec(**options)
    model.build_vocab(lines)
    begun = time.perf_counter()
    model.train(lines, total_examples=model.corpus_count, epochs=epochs)
    took = time.perf_counter() - begun
    model.wv.save_word2vec_format(out, binary=True)
    print(json.dumps({"version": gensim.__version__, "seconds": took}))


if __name__ == "__main__":
    main(*sys.argv[1:])
