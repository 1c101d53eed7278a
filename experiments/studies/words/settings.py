"""How word vectors are trained."""

import dataclasses

from robust_jax.core import checks

_RATES = {"skipgram": 0.025, "cbow": 0.05}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How word vectors are trained; the defaults are word2vec's.

    Args:
        model: "skipgram": a word's vector foretells each word around it; "cbow": the
            mean of the vectors around a place foretells the word there.
        objective: "negative": true words against drawn ones; "hierarchical": each turn
            on the way down Huffman's tree.
        size: d, numbers of a vector.
        window: C; a word's window reaches 1 to C words, drawn anew each time.
        epochs: passes over the text.
        rate: at the start; None: 0.025 for skip-gram, 0.05 for CBOW.
        final_rate: at the end; it falls on a line.
        sample: words of a larger share of the text are often left out; 0 keeps all.
        negatives: K, drawn words for each true one, by weight.
        shared: drawn words for `group` places together; each counts K / shared.
        group: neighbouring places that share them.
        groups: of one update of the vectors.
    Raises: ValueError: a value that there cannot be.
    """

    model: str = "skipgram"
    objective: str = "negative"
    size: int = 100
    window: int = 5
    epochs: int = 5
    rate: float | None = None
    final_rate: float = 1e-4
    sample: float = 1e-3
    negatives: int = 5
    shared: int = 64
    group: int = 32
    groups: int = 2

    def __post_init__(self) -> None:
        checks.known_name("model", self.model, tuple(_RATES))
        checks.known_name("objective", self.objective, ("negative", "hierarchical"))
        for name in ("size", "window", "epochs", "negatives", "shared"):
            checks.positive_integer(name, getattr(self, name))
        for name in ("group", "groups"):
            checks.positive_integer(name, getattr(self, name))
        checks.non_negative_number("rate", self.first_rate)
        if not 0 <= self.final_rate <= self.first_rate:
            raise ValueError(
                f"rate={self.first_rate}, final_rate={self.final_rate}; expected "
                "0 <= final_rate <= rate"
            )
        if not 0 <= self.sample < 1:
            raise ValueError(f"sample={self.sample}; expected 0 <= sample < 1")

    @property
    def first_rate(self) -> float:
        """The rate at the start."""
        return _RATES[self.model] if self.rate is None else self.rate

    @property
    def places(self) -> int:
        """Places of the text in one update."""
        return self.group * self.groups
